/**
 * A client that posts bodies as fast as they are taken; run as `bun upload.ts HOST PORT BYTES COUNT CONNECTIONS` in a namespace.
 * Each request has a path of its own, and all have the same body. Prints, when the last one is answered, the seconds that it took.
 */
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { connect } from "node:net";

const [host, port, bytes, count, connections] = process.argv.slice(2);

const body = randomBytes(Number(bytes));
let next = 0;

async function upload(): Promise<void> {
  const socket = connect({ host: host!, port: Number(port), noDelay: true });
  await once(socket, "connect");
  while (next < Number(count)) {
    const answered = once(socket, "data");
    socket.write(`POST /post/${next++} HTTP/1.1\r\nHost: ${host}\r\nContent-Length: ${bytes}\r\n\r\n`);
    socket.write(body);
    const [answer] = (await answered) as [Buffer];
    if (!answer.toString().startsWith("HTTP/1.1 200")) throw new Error(`Cannot upload: ${answer}`);
  }
  socket.end();
}

const start = performance.now();
await Promise.all(Array.from({ length: Number(connections) }, upload));
console.log((performance.now() - start) / 1000);
process.exit(0);
