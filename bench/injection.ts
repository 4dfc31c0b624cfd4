/**
 * Sends the same packets by the packet injector and by a bare loop of sendmmsg on a packet socket, in turn, and prints the CPU time of
 * each per packet (us) as JSON. usage, in the namespace that leads to the target: bun bench/injection.ts RUNS
 */
import { TARGET } from "../src/demo/network.ts";
import { createInjector } from "../src/inject/create.ts";
import { resolveEgress } from "../src/inject/egress.ts";
import { openSocket } from "../src/inject/socket.ts";
import { AF_PACKET, address, libc } from "../src/native/libc.ts";
import { Messages } from "../src/native/messages.ts";
import { PacketBatch } from "../src/wire/batch.ts";
import { buildPacket, bytesOf } from "../test/inject/packets.ts";

const BATCH = 64;
const BATCHES = 4000;
const ETHERNET_HEADER = 14;

const runs = Number(process.argv[2]);
const { egress: found } = await resolveEgress(bytesOf(TARGET), 4);
/** To another host: the receiver, which works on our time here, drops both kinds at once. */
const egress = { ...found, nextHopMac: Uint8Array.of(2, 9, 9, 9, 9, 9) };
const packet = buildPacket({
  source: "10.0.0.77",
  destination: TARGET,
  sourcePort: 5000,
  destinationPort: 9,
  flags: 0,
  seq: 1000,
  ack: 1,
  payload: new Uint8Array(200),
});

function fill(batch: PacketBatch): void {
  batch.clear();
  for (let row = 0; row < BATCH; row++) {
    batch.bytes.set(packet, batch.next);
    batch.push(packet.length, 0);
  }
}

const batch = new PacketBatch();
const injector = createInjector(egress, batch, 0);

const fd = openSocket(AF_PACKET, 0, 0, "measure");
const link = new Uint8Array(20);
new DataView(link.buffer).setUint16(0, AF_PACKET, true);
new DataView(link.buffer).setInt32(4, egress.ifindex, true);
libc.bind(fd, link, link.length);
const frames = new Uint8Array(new ArrayBuffer(BATCH * 512));
const messages = new Messages(BATCH, 0);
for (let row = 0; row < BATCH; row++) {
  const at = row * 512;
  frames.set(egress.nextHopMac, at);
  frames.set(egress.sourceMac, at + 6);
  frames.set([8, 0], at + 12);
  frames.set(packet, at + ETHERNET_HEADER);
  messages.setOne(row, address(frames) + at, packet.length + ETHERNET_HEADER);
}

function measure(send: () => void): number {
  const before = process.cpuUsage();
  for (let index = 0; index < BATCHES; index++) send();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / (BATCHES * BATCH);
}

const byInjector = () => {
  fill(batch);
  injector.send(batch);
};
const bare = () => void messages.send(fd, 0, BATCH);
measure(byInjector);
measure(bare);
const samples = { injector: [] as number[], bare: [] as number[] };
for (let run = 0; run < runs; run++) {
  samples.injector.push(measure(byInjector));
  samples.bare.push(measure(bare));
}
console.log(JSON.stringify(samples));
