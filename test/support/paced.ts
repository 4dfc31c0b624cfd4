/**
 * A client with a timetable; run as `bun paced.ts HOST PORT CONNECTIONS RATE COUNT` in a namespace. Each of the CONNECTIONS
 * sends COUNT GET requests, RATE a second, each at its time or, if the answer to the one before came later, then. The
 * connections stay open. Prints "sent COUNT" when all are answered.
 */
import { once } from "node:events";
import { connect } from "node:net";

const [host, port, connections, rate, count] = process.argv.slice(2);
const gap = 1000 / Number(rate);
/** ms until the timetable begins: all connections are open. */
const LEAD = 200;
const begin = performance.now() + LEAD;

async function use(index: number): Promise<void> {
  const socket = connect({ host: host!, port: Number(port), noDelay: true });
  await once(socket, "connect");
  let received = "";
  let answered = () => {};
  socket.on("data", (chunk) => {
    received += chunk.toString("latin1");
    const body = received.indexOf("\r\n\r\n") + 4;
    const length = Number(/content-length: (\d+)/i.exec(received)?.[1]);
    if (body > 3 && received.length >= body + length) answered();
  });
  const first = begin + (gap * index) / Number(connections);
  for (let request = 0; request < Number(count); request++) {
    const wait = first + request * gap - performance.now();
    if (wait > 0) await Bun.sleep(wait);
    const done = new Promise<void>((resolve) => {
      answered = resolve;
    });
    received = "";
    socket.write(`GET /${index}-${request} HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
    await done;
  }
}

await Promise.all(Array.from({ length: Number(connections) }, (_, index) => use(index)));
console.log(`sent ${Number(connections) * Number(count)}`);
// They stay open until it is ended.
setInterval(() => {}, 1000);
