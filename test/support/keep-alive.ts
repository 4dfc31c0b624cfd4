/** Requests on one connection, one after the other; run as `bun keep-alive.ts HOST PORT COUNT` in a namespace. */
import { Agent, request } from "node:http";

const [host, port, count] = process.argv.slice(2);
const agent = new Agent({ keepAlive: true, maxSockets: 1 });
for (let done = 0; done < Number(count); done++) {
  await new Promise<void>((resolve, reject) => {
    const sent = request({ host: host!, port: Number(port), agent, path: `/${done}` }, (response) => {
      response.resume();
      response.on("end", resolve);
    });
    sent.on("error", reject);
    sent.end();
  });
}
agent.destroy();
