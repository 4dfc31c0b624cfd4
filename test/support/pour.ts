/**
 * A client of sink.ts; run as `bun pour.ts HOST PORT BYTES RATE CONNECTIONS` in a namespace. On each connection it sends
 * so many random bytes, RATE of them per second (0: as many as are taken), closes its side, and reads the answer to its
 * end. Prints for each connection the number of bytes and the md5 of the answer, which must be that of what it sent.
 */
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { connect } from "node:net";

const [host, port, bytes, rate, connections] = process.argv.slice(2);
const PIECE = 65_536;

async function pour(): Promise<void> {
  const socket = connect({ host: host!, port: Number(port), allowHalfOpen: true });
  await once(socket, "connect");
  let answer = "";
  socket.on("data", (chunk) => {
    answer += chunk.toString();
  });
  const ended = once(socket, "end");
  const hash = createHash("md5");
  const random = randomBytes(PIECE);
  const began = performance.now();
  for (let sent = 0; sent < Number(bytes); ) {
    const piece = random.subarray(0, Math.min(PIECE, Number(bytes) - sent));
    // Every piece is another one.
    random.writeUInt32LE(sent >>> 0, 0);
    hash.update(piece);
    sent += piece.length;
    // A copy: what is written may be sent later.
    if (!socket.write(Buffer.from(piece))) await once(socket, "drain");
    const early = Number(rate) > 0 ? (sent / Number(rate)) * 1000 - (performance.now() - began) : 0;
    if (early > 1) await Bun.sleep(early);
  }
  socket.end();
  await ended;
  const digest = hash.digest("hex");
  if (answer !== `${digest}\n`) throw new Error(`The response is "${answer}", not "${digest}"`);
  console.log(`${bytes} ${digest}`);
}

await Promise.all(Array.from({ length: Number(connections) }, pour));
process.exit(0);
