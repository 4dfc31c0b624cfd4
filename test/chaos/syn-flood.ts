/**
 * SYNs of clients that never come back: run as `bun syn-flood.ts ADDRESS PORT RATE SECONDS` in a namespace. The sources are
 * all of 10.64.0.0/10, their ports and numbers random; none is sent twice. Prints how many were sent.
 */
import { parseAddress } from "../../src/config/address.ts";
import { AF_INET, address, IPPROTO_RAW, libc, SOCK_RAW } from "../../src/native/libc.ts";
import { Messages } from "../../src/native/messages.ts";
import { makeSegment } from "../support/segment.ts";

const [to, port, rate, seconds] = process.argv.slice(2) as [string, string, string, string];
const BATCH = 64;
/** Bytes of an IPv4 and a TCP header. */
const LENGTH = 40;
const SYN = 2;
const destination = parseAddress(to)!.bytes;

const fd = libc.socket(AF_INET, SOCK_RAW, IPPROTO_RAW) as number;
if (fd < 0) throw new Error("Cannot open a raw socket");
const name = new Uint8Array(16);
new DataView(name.buffer).setUint16(0, AF_INET, true);
name.set(destination, 4);
const messages = new Messages(BATCH, name.length);
const packets = new Uint8Array(new ArrayBuffer(BATCH * LENGTH));
const view = new DataView(packets.buffer);
for (let row = 0; row < BATCH; row++) {
  messages.names.set(name, row * name.length);
  messages.setOne(row, address(packets) + row * LENGTH, LENGTH);
}

/** Writes another SYN over a row: the checksum follows the words that change (RFC 1624, equation 3). */
function change(row: number): void {
  const at = row * LENGTH;
  const random = Math.floor(Math.random() * 2 ** 32);
  replace(at, 12, 0x0a40 | (random & 0x3f));
  replace(at, 14, (random >>> 6) & 0xffff);
  replace(at, 20, 1024 + Math.floor(Math.random() * 64_000));
  replace(at, 24, Math.floor(Math.random() * 65_536));
  replace(at, 26, random >>> 16);
}

function replace(at: number, offset: number, value: number): void {
  const before = view.getUint16(at + offset);
  view.setUint16(at + offset, value);
  let sum = (~view.getUint16(at + 36) & 0xffff) + (~before & 0xffff) + value;
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  view.setUint16(at + 36, ~sum & 0xffff);
}

for (let row = 0; row < BATCH; row++) {
  const source = Uint8Array.of(10, 64, 0, 1);
  const syn = {
    source,
    destination,
    sourcePort: 1024,
    destinationPort: Number(port),
    seq: 0,
    ack: 0,
    flags: SYN,
  };
  packets.set(makeSegment(syn), row * LENGTH);
}
const began = performance.now();
let sent = 0;
let tried = 0;
for (let passed = 0; passed < Number(seconds) * 1000; passed = performance.now() - began) {
  while (tried < (passed * Number(rate)) / 1000) {
    for (let row = 0; row < BATCH; row++) change(row);
    sent += Math.max(0, messages.send(fd, 0, BATCH));
    tried += BATCH;
  }
  await Bun.sleep(1);
}
console.log(`sent ${sent}`);
