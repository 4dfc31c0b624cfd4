/**
 * A TCP server in a namespace of its own. usage: server.ts PORT MODE
 *
 *     lines         answers each line with 300 bytes, closes when the client has
 *     pieces        answers whatever it reads with 300 bytes
 *     slow          as lines, but begins to read after 1 s, and stops for 5 ms after each read
 *     hasty         closes at the first byte
 *
 * Prints "listening", and for each connection that has ended one line: bytes read, their md5, "end" or "error". On
 * SIGTERM it prints the open ones as "open" and ends.
 */
import { createHash } from "node:crypto";
import { createServer, type Socket } from "node:net";

const [port, mode] = process.argv.slice(2);
const ANSWER = Buffer.alloc(300, "a");
/** ms. */
const SLOW_START = 1000;
const SLOW_PAUSE = 5;

/** Connections that are still open, and how to report them. */
const open = new Map<Socket, (how: string) => void>();

function serve(socket: Socket): void {
  const hash = createHash("md5");
  let bytes = 0;
  if (mode === "slow") Bun.sleepSync(SLOW_START);
  open.set(socket, (how) => {
    if (open.delete(socket)) console.log(`${bytes} ${hash.digest("hex")} ${how}`);
  });
  socket.on("data", (data: Buffer) => {
    bytes += data.length;
    hash.update(data);
    if (mode === "hasty") socket.end();
    else if (mode === "pieces") socket.write(ANSWER);
    else for (let at = data.indexOf(10); at >= 0; at = data.indexOf(10, at + 1)) socket.write(ANSWER);
    if (mode === "slow") Bun.sleepSync(SLOW_PAUSE);
  });
  socket.on("end", () => {
    socket.end();
    open.get(socket)?.("end");
  });
  socket.on("error", (error) => open.get(socket)?.((error as NodeJS.ErrnoException).code ?? "error"));
  socket.on("close", () => open.get(socket)?.("close"));
}

createServer({ allowHalfOpen: true }, serve).listen(
  { port: Number(port), host: "0.0.0.0", backlog: 4096 },
  () => console.log("listening"),
);
process.on("SIGTERM", () => {
  for (const report of [...open.values()]) report("open");
  process.exit(0);
});
