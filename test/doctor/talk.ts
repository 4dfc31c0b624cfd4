/**
 * Clients of several services, each with a new connection every 250 ms until it is ended; run as `bun talk.ts KIND=HOST PORT ...`
 * in a namespace: KIND is what they say, http, tls or proxy.
 */
import { connect } from "node:net";

const GET = Buffer.from("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
/** A ClientHello, as far as anything here reads it. */
const HELLO = Buffer.from(`16030100c8010000c40303${"11".repeat(195)}`, "hex");
const HEADER = Buffer.from("PROXY TCP4 198.51.100.7 10.1.0.1 40000 80\r\n");
const SAYS: Record<string, Buffer> = { http: GET, tls: HELLO, proxy: Buffer.concat([HEADER, GET]) };
const INTERVAL = 250;

const words = process.argv.slice(2);
const talks = words.flatMap((word, index) => {
  if (index % 2 === 1) return [];
  const [kind, host] = word.split("=");
  return [{ says: SAYS[kind!]!, host: host!, port: Number(words[index + 1]) }];
});

const talk = (): void => {
  for (const { says, host, port } of talks) {
    const socket = connect(port, host, () => socket.write(says));
    socket.on("data", () => socket.destroy());
    socket.on("error", () => socket.destroy());
    setTimeout(() => socket.destroy(), 4 * INTERVAL);
  }
};
talk();
setInterval(talk, INTERVAL);
console.log("talking");
