/**
 * A TCP service that reads to the client's end and only then answers, with the md5 of what it read; run as
 * `bun sink.ts PORT [mute]` in a namespace. Prints "listening", then for each connection, at its end, the number of bytes
 * and their md5. "mute": it closes without an answer.
 */
import { createHash } from "node:crypto";
import { createServer } from "node:net";

const [port, mute] = process.argv.slice(2);

const server = createServer({ allowHalfOpen: true }, (socket) => {
  const hash = createHash("md5");
  let bytes = 0;
  socket.on("data", (chunk) => {
    hash.update(chunk);
    bytes += chunk.length;
  });
  socket.on("end", () => {
    const digest = hash.digest("hex");
    console.log(`${bytes} ${digest}`);
    socket.end(mute ? "" : `${digest}\n`);
  });
  socket.on("error", (error) => console.log(`error after ${bytes}: ${error.message}`));
});
server.listen(Number(port), "::", 4096, () => console.log("listening"));
