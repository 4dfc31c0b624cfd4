/** Recordings in pcap and pcapng: the same packets in whatever pieces the file is read. */
import { Frame, MAX_BLOCK, TraceError } from "../../../src/capture/trace/frame.ts";
import { TraceParser } from "../../../src/capture/trace/parser.ts";
import { Window } from "../../../src/capture/trace/window.ts";
import { cutsOf, feedPieces } from "../pieces.ts";
import { hashOf } from "../random.ts";
import { expectThat, roughly, type Target } from "../target.ts";

const WINDOW = 64;

export const target: Target = {
  about: "recordings in pcap and pcapng, whole or cut anywhere",
  longest: 16_384,
  rounds: 1000,
  words: [
    "\xd4\xc3\xb2\xa1\x02\x00\x04\x00",
    "\xa1\xb2\xc3\xd4\x00\x02\x00\x04",
    "\x4d\x3c\xb2\xa1",
    "\xa1\xb2\xcd\x34",
    "\x0a\x0d\x0d\x0a",
    "\x4d\x3c\x2b\x1a",
    "\x1a\x2b\x3c\x4d",
    "\x01\x00\x00\x00",
    "\x02\x00\x00\x00",
    "\x03\x00\x00\x00",
    "\x06\x00\x00\x00",
    "\x09\x00\x01\x00\x09",
    "\x09\x00\x01\x00\x8a",
    "\x0e\x00\x08\x00",
  ],

  take(input) {
    const [whole, ...others] = cutsOf(input).map((cut) => read(input, cut));
    for (const other of others) expectThat(other === whole, () => `In pieces it is ${other}, whole ${whole}`);
    const { packets, refused } = JSON.parse(whole!) as { packets: string[]; refused: string };
    return `${roughly(packets.length)} ${refused.replaceAll(/\d+/g, "")} ${packets
      .slice(0, 3)
      .map((one) => one.split(" ")[3])
      .join()}`;
  },
};

function read(input: Uint8Array, cut: number[]): string {
  const window = new Window(WINDOW);
  const parser = new TraceParser(window);
  const frame = new Frame();
  const packets: string[] = [];
  let taken = 0;
  let refused = "";
  try {
    feedPieces(input, cut, (bytes, from, to) => {
      window.push(bytes.subarray(from, to));
      taken += to - from;
      while (parser.next(frame)) packets.push(describe(frame, window));
      const { wanted } = parser;
      expectThat(wanted > window.available, () => `It wants ${wanted} bytes and has ${window.available}`);
      expectThat(wanted <= MAX_BLOCK + 24, () => `It wants ${wanted} bytes at a time`);
      expectThat(window.position + window.available === taken, () => "It loses bytes");
    });
    parser.finish();
  } catch (error) {
    if (!(error instanceof TraceError)) throw error;
    expectThat(error.offset >= 0 && error.offset <= input.length, () => `An error at ${error.offset}`);
    refused = error.message;
  }
  expectThat(
    window.bytes.length <= 4 * (input.length + WINDOW),
    () => `${window.bytes.length} bytes for ${input.length}`,
  );
  return JSON.stringify({ packets, refused });
}

function describe(frame: Frame, window: Window): string {
  const { start, end, length, time, linkType, interface: number, bytes } = frame;
  expectThat(
    start >= 0 && start <= end && end <= window.end,
    () => `A packet from ${start} to ${end} of ${window.end}`,
  );
  expectThat(length >= end - start, () => `${length} bytes on the wire, ${end - start} captured`);
  expectThat(Number.isFinite(time), () => `A packet at ${time}`);
  expectThat(linkType >= 0 && linkType <= 0xffff, () => `Link type ${linkType}`);
  expectThat(bytes === window.bytes, () => "A packet that is not in the window");
  return `${hashOf(bytes.subarray(start, end))} ${length} ${time} ${linkType} ${number}`;
}
