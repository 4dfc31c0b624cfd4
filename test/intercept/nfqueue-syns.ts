/**
 * Sends forged SYNs to a service through a raw socket; run as `bun nfqueue-syns.ts TARGET PORT COUNT RATE` in a namespace.
 * They come from 10.9.0.0/16 or fd09::/112, each from another address or port. Prints how many the kernel took.
 */
import { createIpInjector } from "../../src/inject/ip.ts";
import { monotonicMicroseconds, sleepMicroseconds } from "../../src/native/libc.ts";
import { PacketBatch } from "../../src/wire/batch.ts";
import { SYN } from "../../src/wire/tcp.ts";
import { buildPacket } from "../inject/packets.ts";

const [target, port, count, rate] = process.argv.slice(2) as [string, string, string, string];
const family = target.includes(":") ? 6 : 4;
const network = family === 6 ? "fd09::" : "10.9.0.";
const nothing = { interface: "", ifindex: 0, nextHop: new Uint8Array(4), sourceMac: new Uint8Array(0) };
const batch = new PacketBatch();
const egress = {
  ...nothing,
  kind: "raw" as const,
  family,
  nextHopMac: new Uint8Array(0),
  mtu: 1500,
} as const;
const injector = createIpInjector(egress, batch, 0);
const perBatch = 32;
const started = monotonicMicroseconds();
for (let sent = 0; sent < Number(count); sent += batch.count) {
  batch.clear();
  for (let index = sent; index < Math.min(sent + perBatch, Number(count)); index++) {
    const packet = buildPacket({
      source: `${network}${1 + (index % 250)}`,
      destination: target,
      sourcePort: 1024 + Math.floor(index / 250),
      destinationPort: Number(port),
      seq: index * 1000,
      flags: SYN,
    });
    batch.bytes.set(packet, batch.next);
    batch.push(packet.length, 0);
  }
  injector.send(batch);
  const due = started + ((sent + batch.count) / Number(rate)) * 1e6;
  const early = due - monotonicMicroseconds();
  if (early > 0) sleepMicroseconds(Math.min(early, 900_000));
}
console.log(`sent ${injector.packets}`);
