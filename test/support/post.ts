/**
 * A client that posts bodies of its own; run as `bun post.ts URL BYTES COUNT CONCURRENCY` in a namespace.
 * Prints one line per answered request: path and md5 of the body.
 */
import { randomBytes } from "node:crypto";

const [url, bytes, count, concurrency] = process.argv.slice(2);

let next = 0;

async function post(): Promise<void> {
  while (next < Number(count)) {
    const path = `/post/${bytes}-${next++}`;
    const body = randomBytes(Number(bytes));
    const answer = await fetch(url + path, { method: "POST", body });
    if (!answer.ok) throw new Error(`Cannot post "${path}": status ${answer.status}`);
    await answer.arrayBuffer();
    console.log(`${path} ${new Bun.CryptoHasher("md5").update(body).digest("hex")}`);
  }
}

await Promise.all(Array.from({ length: Number(concurrency) }, post));
