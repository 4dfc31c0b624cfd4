/** Frames of all link types, with tags, tunnels and fragments, as a recording has them: the dissector and all below it. */
import { Services } from "../../../src/capture/services.ts";
import { Dissector } from "../../../src/capture/trace/dissector.ts";
import { Frame } from "../../../src/capture/trace/frame.ts";
import { IPPROTO_TCP } from "../../../src/wire/ip.ts";
import { isKnownLink, networkLayer } from "../../../src/wire/link.ts";
import { GuardedView, type Placed, readAmid } from "../surroundings.ts";
import { expectThat, type Target } from "../target.ts";

/** Each frame of an input: link type (2 bytes), captured bytes (2), bytes on the wire beyond these (1), the bytes. */
const FRAME_HEADER = 5;
const MOST_FRAMES = 40;
const services = new Services([
  { address: Uint8Array.of(10, 0, 0, 2), family: 4, port: 80, index: 3 },
  { address: null, family: 6, port: 80, index: 4 },
]);
const datagrams = new Services([{ address: null, family: 4, port: 53, index: 5, transport: "udp" }]);

export const target: Target = {
  about: "frames of a recording: every link type, tags, labels, tunnels, fragments, TCP and UDP headers",
  longest: 4096,
  rounds: 3000,
  words: [
    "\x08\x00E\x00",
    "\x86\xdd`\x00",
    "\x81\x00\x00\x01",
    "\x88\xa8",
    "\x88\x47",
    "\x88\x64\x11\x00",
    "\x88\xe5",
    "\x89\x4f",
    "\x65\x58",
    "\x00\x50",
    "\x0a\x00\x00\x02",
    "\x12\xb5",
    "\x17\xc1",
    "\x08\x68",
    "\x06\xa5",
    "\x88\xbe",
    "\x22\xeb",
    "\x00\x21",
    "\x00\x57",
    "\xaa\xaa\x03\x00\x00\x00",
    "\x20\x00",
    "\x2c",
    "\x2b",
    "\x33",
    "\x3c",
    "\xc2\x04\x00\x01\x00\x00",
  ],

  take(input) {
    return readAmid(input, readFrames).split(",").slice(-2).join();
  },
};

function readFrames(input: Placed): string {
  const dissector = new Dissector(services, IPPROTO_TCP, datagrams);
  const found: string[] = [];
  const { bytes, view, to } = input;
  let at = input.from;
  for (let count = 0; at + FRAME_HEADER <= to && count < MOST_FRAMES; count++) {
    const frame = new Frame();
    frame.linkType = view.getUint16(at);
    frame.start = at + FRAME_HEADER;
    frame.end = Math.min(to, frame.start + (view.getUint16(at + 2) & 0xfff));
    frame.length = frame.end - frame.start + view.getUint8(at + 4);
    frame.bytes = bytes;
    frame.view = new GuardedView({ bytes, view, from: frame.start, to: frame.end });
    frame.time = 1e15 + count;
    found.push(readOne(dissector, frame));
    at = frame.end;
  }
  return found.join();
}

function readOne(dissector: Dissector, frame: Frame): string {
  const { start, end, linkType } = frame;
  const ip = networkLayer(frame.view, start, end, linkType);
  expectThat(
    ip === -1 || (ip >= start && ip < end),
    () => `The IP packet begins at ${ip - start} of ${end - start}`,
  );
  expectThat(ip === -1 || isKnownLink(linkType), () => `Link type ${linkType} is read and not known`);
  const result = dissector.read(frame);
  expectThat(result >= -5 && result <= 5, () => `No such service: ${result}`);
  const { header, payload, depth, fragments, isReassembled } = dissector;
  expectThat(depth >= 0 && depth < 5, () => `${depth} IP headers`);
  expectThat(fragments.pending <= fragments.limit, () => `${fragments.pending} datagrams are kept`);
  if (result >= 0) {
    const { ip, transport, length, family, protocol } = header;
    const { bytes } = dissector;
    expectThat(ip + (family === 4 ? 20 : 40) <= transport, () => `An IP header of ${transport - ip} bytes`);
    expectThat(
      transport < payload && payload <= header.end,
      () => `Payload at ${payload - ip}, end at ${header.end - ip}`,
    );
    expectThat(header.end - ip <= length, () => `${header.end - ip} of ${length} bytes are captured`);
    expectThat(isReassembled || header.end <= end, () => "It ends behind the frame");
    expectThat(bytes[ip]! >> 4 === family, () => `IP version ${bytes[ip]! >> 4}, not ${family}`);
    expectThat(
      result === 5 ? protocol === 17 : protocol === 6,
      () => `Protocol ${protocol} to service ${result}`,
    );
    expectThat(
      ((bytes[transport + 2]! << 8) | bytes[transport + 3]!) === (result === 5 ? 53 : 80),
      () => "Another port",
    );
  }
  return [linkType, result, result >= 0 ? depth : "", isReassembled ? "r" : ""].join(" ");
}
