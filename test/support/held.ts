/**
 * A client that opens connections, and uses them when it is told; run as
 * `bun held.ts HOST PORT CONNECTIONS REQUESTS THINK` in a namespace. Each connection sends one HTTP request; when all are
 * answered it prints "open". At SIGUSR1 each sends REQUESTS more, each of them THINK ms after the answer to the one
 * before, then closes; at the end of all it prints "done".
 */
import { once } from "node:events";
import { connect } from "node:net";

const [host, port, connections, requests, think] = process.argv.slice(2);
const told = once(process, "SIGUSR1");

async function open(index: number): Promise<(path: string) => Promise<void>> {
  const socket = connect({ host: host!, port: Number(port), noDelay: true });
  await once(socket, "connect");
  let received = "";
  let check = () => {};
  socket.on("data", (chunk) => {
    received += chunk.toString();
    check();
  });
  return async (path) => {
    received = "";
    const answered = new Promise<void>((resolve) => {
      check = () => {
        const body = received.indexOf("\r\n\r\n") + 4;
        const length = Number(/content-length: (\d+)/i.exec(received)?.[1]);
        if (body > 3 && received.length >= body + length) resolve();
      };
    });
    const close = path === "/last" ? "Connection: close\r\n" : "";
    socket.write(
      `GET ${path === "/last" ? `/${index}-last` : path} HTTP/1.1\r\nHost: ${host}\r\n${close}\r\n`,
    );
    await answered;
  };
}

async function use(index: number, ask: (path: string) => Promise<void>): Promise<void> {
  for (let request = 0; request < Number(requests); request++) {
    if (Number(think) > 0) await Bun.sleep(Number(think));
    await ask(request === Number(requests) - 1 ? "/last" : `/${index}-${request}`);
  }
}

const all = await Promise.all(
  Array.from({ length: Number(connections) }, async (_, index) => {
    const ask = await open(index);
    await ask(`/${index}-first`);
    return ask;
  }),
);
console.log("open");
// Keeps the process when nothing but a signal is waited for.
const awake = setInterval(() => {}, 1000);
await told;
clearInterval(awake);
await Promise.all(all.map((ask, index) => use(index, ask)));
console.log("done");
process.exit(0);
