/**
 * A client that holds connections open from ports of its own; run as `bun from-ports.ts HOST PORT LOCAL...` in a
 * namespace. Each sends one HTTP request; when all are answered it prints "open" and stays until it is ended.
 */
import { once } from "node:events";
import { connect } from "node:net";

const [host, port, ...locals] = process.argv.slice(2);

async function open(localPort: number): Promise<void> {
  const socket = connect({ host: host!, port: Number(port), localPort });
  await once(socket, "connect");
  socket.write(`GET /from-${localPort} HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
  await once(socket, "data");
}

await Promise.all(locals.map((local) => open(Number(local))));
console.log("open");
