/**
 * A client of websocket.ts; run as `bun websocket-client.ts HOST PORT CONNECTIONS MESSAGES` in a namespace. Each
 * connection sends its messages, of 1 to 5,000 random bytes, a few at a time and without waiting for anything, while it
 * reads what comes. At its end it prints what the service must print, and " heard" if the service has sent something.
 */
import { randomBytes, randomInt } from "node:crypto";

const [host, port, connections, messages] = process.argv.slice(2);

async function talk(index: number): Promise<void> {
  const path = `/${process.pid}-${index}`;
  const socket = new WebSocket(`ws://${host}:${port}${path}`);
  const opened = Promise.withResolvers<void>();
  const closed = Promise.withResolvers<void>();
  let heard = 0;
  socket.onopen = () => opened.resolve();
  socket.onmessage = () => heard++;
  socket.onclose = ({ code }) =>
    code === 1000 ? closed.resolve() : closed.reject(new Error(`closed: ${code}`));
  await Promise.race([opened.promise, closed.promise]);
  const hash = new Bun.CryptoHasher("md5");
  for (let sent = 0; sent < Number(messages); sent++) {
    const message = randomBytes(randomInt(1, 5000));
    hash.update(message);
    socket.send(message);
    if (sent % 3 === 0) await Bun.sleep(randomInt(0, 20));
  }
  socket.close(1000);
  await closed.promise;
  console.log(`${path} ${messages} ${hash.digest("hex")}${heard > 0 ? " heard" : ""}`);
}

await Promise.all(Array.from({ length: Number(connections) }, (_, index) => talk(index)));
