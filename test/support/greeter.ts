/**
 * A service that speaks first, as those of mail, FTP and MySQL do; run as `bun greeter.ts PORT DELAY` in a namespace. It
 * greets DELAY ms after the connection has come, then answers every line; QUIT ends the connection. Prints every line it
 * gets, and "early" when a client speaks before it is greeted.
 */
import { createServer } from "node:net";

const [port, delay] = process.argv.slice(2);

const server = createServer((socket) => {
  let greeted = false;
  let rest = "";
  setTimeout(() => {
    greeted = true;
    socket.write("220 ready\r\n");
  }, Number(delay));
  socket.on("data", (chunk) => {
    if (!greeted) console.log("early");
    const lines = (rest + chunk.toString()).split("\r\n");
    rest = lines.pop()!;
    for (const line of lines) {
      console.log(line);
      if (line.startsWith("QUIT")) socket.end("221 bye\r\n");
      else socket.write(`250 ${line}\r\n`);
    }
  });
  socket.on("error", (error) => console.log(`error: ${error.message}`));
});
server.listen(Number(port), "::", 4096, () => console.log("listening"));
