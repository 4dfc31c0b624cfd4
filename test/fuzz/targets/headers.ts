/** TCP options, and ICMP's word of a packet that was too big, against plain readers of the same. */
import { readTooBig, type TooBig } from "../../../src/wire/icmp.ts";
import { Packet } from "../../../src/wire/packet.ts";
import { emptyOptions, parseOptions, parseTimestamps, type TcpOptions } from "../../../src/wire/tcp.ts";
import { GuardedView, type Placed, readAmid } from "../surroundings.ts";
import { expectThat, roughly, type Target } from "../target.ts";

const TCP_HEADER = 20;

export const target: Target = {
  about:
    "the options of a TCP header and ICMP's packet too big; agrees with a plain reader of RFC 9293's options",
  longest: 160,
  rounds: 5000,
  words: [
    "\x01\x01\x08\x0a",
    "\x02\x04\x05\xb4",
    "\x03\x03\x07",
    "\x04\x02",
    "\x1e\x0c",
    "\x13\x12",
    "\x1d\x10",
    "\x80\x10",
    "\x60\x12",
    "\xf0\x10",
  ],

  take(input) {
    const options = readAmid(input, readTcp);
    return `${options} ${readAmid(input, readIcmp)}`;
  },
};

function readTcp(input: Placed): string {
  const { from, to } = input;
  // Whoever makes a packet has seen that its header is there, except for options that the capture cut.
  if (to - from < TCP_HEADER) return "short";
  const packet = new Packet(input.bytes);
  packet.view = new GuardedView(input);
  packet.tcp = from;
  const size = Math.max(TCP_HEADER, (input.bytes[from + 12]! >> 4) * 4);
  packet.payload = from + size;
  packet.end = to;
  const options = emptyOptions();
  parseOptions(packet, options);
  const expected = plainOptions(
    input.bytes.subarray(from + TCP_HEADER, Math.min(to, from + packet.headerLength)),
    from,
  );
  expectThat(
    Bun.deepEquals(options, expected),
    () => `${JSON.stringify(options)}, not ${JSON.stringify(expected)}`,
  );
  const quick = emptyOptions();
  if (parseTimestamps(packet, quick)) {
    const { hasTimestamps, isSigned } = quick;
    const isSame =
      hasTimestamps === options.hasTimestamps &&
      quick.tsval === options.tsval &&
      isSigned === options.isSigned;
    expectThat(isSame && quick.tsecr === options.tsecr, () => "The quick way reads other timestamps");
  }
  const { mss, windowScale, multipath, ...rest } = options;
  return [mss > 0, windowScale, multipath > 0, rest.sackPermitted, rest.hasTimestamps, rest.isSigned].join();
}

/** As RFC 9293 section 3.1 has it: kind, length, value; the last of a kind counts, a wrong length ends the list. */
function plainOptions(list: Uint8Array, from: number): TcpOptions {
  const found = emptyOptions();
  const view = new DataView(list.buffer, list.byteOffset, list.length);
  for (let at = 0; at < list.length; ) {
    const [kind, length] = [list[at]!, list[at + 1] ?? 0];
    if (kind === 0) break;
    if (kind === 1) {
      at++;
      continue;
    }
    if (length < 2 || at + length > list.length) break;
    const is = (wanted: number, size: number) => kind === wanted && length === size;
    if (is(2, 4)) found.mss = view.getUint16(at + 2);
    if (is(3, 3)) found.windowScale = Math.min(14, list[at + 2]!);
    if (is(4, 2)) found.sackPermitted = true;
    if (is(8, 10))
      Object.assign(found, {
        hasTimestamps: true,
        tsval: view.getUint32(at + 2),
        tsecr: view.getUint32(at + 6),
      });
    if (kind === 19 || kind === 29) found.isSigned = true;
    if (kind === 30 && length >= 4 && list[at + 2]! < 0x30) found.multipath = from + TCP_HEADER + at;
    at += length;
  }
  return found;
}

function readIcmp(input: Placed): string {
  const packet = new Packet(input.bytes);
  // The kernel program captures these: an IP header of either version, whole.
  const first = input.bytes[input.from]! >> 4;
  if (input.to - input.from < 40 || (first !== 4 && first !== 6)) return "none";
  packet.view = new GuardedView(input);
  packet.ip = input.from;
  packet.end = input.to;
  const found: TooBig = { mtu: 0, sourcePort: 0, seq: 0 };
  return readTooBig(packet, found) ? `${roughly(found.mtu)} ${roughly(found.sourcePort)}` : "cut";
}
