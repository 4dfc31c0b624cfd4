/** What two nginx have served, in a form that can be compared. */
import { ONLINE, TARGET } from "../../src/demo/network.ts";
import type { Lab } from "./lab.ts";
import { type Nginx, readRequests, startNginx } from "./nginx.ts";

export const URL_ONLINE = `http://${ONLINE}`;
export const TRANSFER = `80-${TARGET}:8080`;

/** nginx on port 80 of online and on port 8080 of the target. */
export async function startServices(lab: Lab): Promise<{ online: Nginx; target: Nginx }> {
  const [online, target] = await Promise.all([
    startNginx(lab, lab.online, 80),
    startNginx(lab, lab.target, 8080),
  ]);
  return { online, target };
}

/** Every request that the server has answered, for compareContents. */
export async function contentsOf(server: Nginx): Promise<string[]> {
  return (await readRequests(server)).map(({ content }) => content);
}

/** Path and md5 of every body that the server stored, sorted, like the sorted lines of post.ts. */
export async function digestsOf(server: Nginx): Promise<string[]> {
  const requests = await readRequests(server);
  const lines = requests.map(async ({ content, body }) => {
    const path = /"POST (\S+) /.exec(content)?.[1];
    const digest = new Bun.CryptoHasher("md5");
    if (body !== "-") for await (const chunk of Bun.file(body).stream()) digest.update(chunk);
    return `${path} ${digest.digest("hex")}`;
  });
  return (await Promise.all(lines)).toSorted();
}
