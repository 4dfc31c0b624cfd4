/**
 * Sends answers of a target, made by hand: TCP packets of 10.0.0.2:8080 to clients in 10.1.0.0/16, each to the next of FLOWS
 * flows. usage: bun answers.ts RATE SECONDS FLOWS syn-ack|data (RATE 0: as many as possible). Prints how many it sent.
 */
import { AF_INET, address, libc, SOCK_RAW } from "../src/native/libc.ts";
import { ACK, PSH, SYN } from "../src/wire/tcp.ts";
import { makeSegment } from "../test/support/segment.ts";
import { clientOf } from "./flow.ts";

const [rate, seconds, flows] = process.argv.slice(2, 5).map(Number) as [number, number, number];
const kind = process.argv[5];
/** ms between two bursts. */
const BURST = 2;
/** Packets between two looks at the clock. */
const STRETCH = 64;

const target = Uint8Array.of(10, 0, 0, 2);
const packet = makeSegment({
  source: target,
  destination: Uint8Array.of(10, 1, 0, 0),
  sourcePort: 8080,
  destinationPort: 0,
  seq: 1,
  ack: 1,
  flags: kind === "data" ? PSH | ACK : SYN | ACK,
  payload: new Uint8Array(kind === "data" ? 200 : 0),
});
const view = new DataView(packet.buffer);
const name = new Uint8Array(new ArrayBuffer(16));
name[0] = AF_INET;
const [packetAt, nameAt] = [address(packet), address(name)];
const raw = libc.socket(AF_INET, SOCK_RAW, 255);

let sent = 0;
let flow = 0;
function send(): void {
  const { host, port } = clientOf(flow);
  flow = flow + 1 === flows ? 0 : flow + 1;
  // The checksum is not corrected: nothing on the way checks it.
  view.setUint16(18, host);
  view.setUint16(22, port);
  name.set(packet.subarray(16, 20), 4);
  if (libc.sendto(raw, packetAt, packet.length, 0, nameAt, name.length) === packet.length) sent++;
}

const began = performance.now();
for (let now = began; now < began + seconds * 1000; now = performance.now()) {
  const due = rate === 0 ? sent + STRETCH : Math.floor(((now - began) / 1000) * rate);
  for (let tries = sent; tries < due; tries++) send();
  if (rate > 0) await Bun.sleep(BURST);
}
console.log(`${sent}`);
