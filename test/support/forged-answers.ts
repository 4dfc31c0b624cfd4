/**
 * Sends packets that look like a service's answers; run as `bun forged-answers.ts FROM PORT TO PORT COUNT` in the service's
 * namespace. They are of no connection.
 */
import { createIpInjector } from "../../src/inject/ip.ts";
import { PacketBatch } from "../../src/wire/batch.ts";
import { ACK } from "../../src/wire/tcp.ts";
import { buildPacket } from "../inject/packets.ts";

const [source, sourcePort, destination, destinationPort, count] = process.argv.slice(2) as string[];
const none = new Uint8Array(0);
const hop = { interface: "", ifindex: 0, nextHop: none, nextHopMac: none, sourceMac: none };
const batch = new PacketBatch();
const injector = createIpInjector({ ...hop, kind: "raw", family: 4, mtu: 1500 }, batch, 0);
const packet = buildPacket({
  source: source!,
  destination: destination!,
  sourcePort: Number(sourcePort),
  destinationPort: Number(destinationPort),
  seq: 1,
  flags: ACK,
});
while (injector.packets < Number(count)) {
  batch.clear();
  for (let index = 0; index < 32; index++) {
    batch.bytes.set(packet, batch.next);
    batch.push(packet.length, 0);
  }
  injector.send(batch);
}
