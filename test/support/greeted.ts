/**
 * A client of greeter.ts; run as `bun greeted.ts HOST PORT CONNECTIONS LINES` in a namespace. It waits for the greeting
 * and for the answer to each line. Prints every line it sent.
 */
import { once } from "node:events";
import { connect } from "node:net";

const [host, port, connections, lines] = process.argv.slice(2);

async function talk(index: number): Promise<void> {
  const socket = connect({ host: host!, port: Number(port) });
  const answer = async (): Promise<void> => {
    let text = "";
    while (!text.endsWith("\r\n")) text += (await once(socket, "data")).toString();
  };
  await answer();
  for (let line = 0; line <= Number(lines); line++) {
    const text = line === Number(lines) ? `QUIT ${index}` : `LINE ${index} ${line}`;
    socket.write(`${text}\r\n`);
    await answer();
    console.log(text);
  }
  await once(socket, "close");
}

await Promise.all(Array.from({ length: Number(connections) }, (_, index) => talk(index)));
