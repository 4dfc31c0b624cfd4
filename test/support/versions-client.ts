/**
 * Uses the application of versions.ts; run as `bun versions-client.ts ADDRESS PORT COUNT SECRET` in a namespace: sends so many requests,
 * over connections that are kept, each with the secret wherever clients have secrets. Prints how many were answered.
 */
export {};

const [address, port, count, secret] = process.argv.slice(2);

const PLACES = ["users", "orders", "search", "prices", "stock"];
const headers = {
  Authorization: `Bearer ${secret}`,
  Cookie: `session=${secret}; theme=dark`,
  "X-Api-Key": secret!,
};

/** Request number `index`: most read, every eleventh logs in. */
function ask(index: number): Promise<Response> {
  const base = `http://${address}:${port}`;
  if (index % 11 === 10) {
    const body = JSON.stringify({ user: "u", password: secret });
    return fetch(`${base}/login`, { method: "POST", headers, body });
  }
  return fetch(`${base}/${PLACES[index % 5]}/${index % 7}?access_token=${secret}`, { headers });
}

let answered = 0;
let next = 0;
async function visit(): Promise<void> {
  while (next < Number(count)) {
    await (await ask(next++)).text();
    answered++;
  }
}
await Promise.all(Array.from({ length: 4 }, visit));
console.log(answered);
