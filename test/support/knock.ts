/**
 * Everybody who connects to an intercept and is no copy. usage: bun knock.ts ADDRESS PORT silent|garbage|scan COUNT
 * silent: opens so many connections, says nothing and keeps them; garbage: sends what is no hello; scan: closes at once.
 * Prints "done CONNECTED CLOSED" when all were tried, and again when connections are closed.
 */
import { randomBytes } from "node:crypto";
import { HAS_KEY, makeEphemeral, makeHello } from "../../src/channel/hello.ts";

const [hostname, port, how, count] = process.argv.slice(2) as [string, string, string, string];
let connected = 0;
let closed = 0;
const GARBAGE = [
  () => Buffer.from("GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
  () => randomBytes(200),
  () => Buffer.from([0xff, 0xff, 0xff, 0xff, 1, 0, 0, 0]),
  () => Buffer.from([0, 0, 0, 56, 1, 0, 0, 0, ...Buffer.from("xcopy\0")]),
  () => Buffer.alloc(14),
  // A whole hello, as a copy with a key sends it, and then no record that anybody could open.
  () => {
    const hello = makeHello("copy", HAS_KEY, randomBytes(8), randomBytes(32), makeEphemeral().publicKey);
    return Buffer.concat([hello, Buffer.from([0, 0, 0, 24, 6, 0, 0, 0]), randomBytes(24)]);
  },
];

async function knock(index: number): Promise<void> {
  try {
    const socket = await Bun.connect({
      hostname,
      port: Number(port),
      socket: {
        data() {},
        close() {
          closed++;
        },
      },
    });
    connected++;
    if (how === "garbage") socket.write(GARBAGE[index % GARBAGE.length]!());
    if (how === "scan") socket.end();
  } catch {
    closed++;
  }
}

for (let index = 0; index < Number(count); index += 100) {
  await Promise.all(Array.from({ length: 100 }, (_, more) => knock(index + more)));
}
console.log(`done ${connected} ${closed}`);
setInterval(() => console.log(`now ${connected} ${closed}`), 100);
