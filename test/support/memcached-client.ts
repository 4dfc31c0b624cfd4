/**
 * A client of memcached; run as `bun memcached-client.ts HOST PORT CONNECTIONS ROUNDS` in a namespace. A round sets a few
 * values, some of them without an answer ("noreply"), and reads them in one request.
 */
import { randomBytes, randomInt } from "node:crypto";
import { connect } from "node:net";

const [host, port, connections, rounds] = process.argv.slice(2);

async function talk(index: number): Promise<void> {
  const socket = connect({ host: host!, port: Number(port) });
  let received = "";
  let check = () => {};
  socket.on("data", (chunk) => {
    received += chunk.toString("latin1");
    check();
  });
  const ends = (end: string) =>
    new Promise<void>((resolve) => {
      check = () => {
        if (!received.endsWith(end)) return;
        received = "";
        resolve();
      };
    });
  for (let round = 0; round < Number(rounds); round++) {
    const keys = Array.from({ length: 5 }, (_, key) => `${index}-${round}-${key}`);
    for (const key of keys) {
      const value = randomBytes(randomInt(1, 2000)).toString("hex");
      const quiet = randomInt(2) === 0;
      socket.write(`set ${key} 0 0 ${value.length}${quiet ? " noreply" : ""}\r\n${value}\r\n`);
      if (!quiet) await ends("STORED\r\n");
    }
    socket.write(`get ${keys.join(" ")} ${index}-${round}-none\r\n`);
    await ends("END\r\n");
  }
  socket.end("quit\r\n");
}

await Promise.all(Array.from({ length: Number(connections) }, (_, index) => talk(index)));
