/** Packet sockets of several workers: the kernel gives each the flows that it gives it elsewhere. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { Control } from "../../src/capture/control.ts";
import type { AnsweringService, KernelService } from "../../src/capture/services.ts";
import { openPacketCapture } from "../../src/capture/socket/sockets.ts";
import type { RequestSource, SourceConfig } from "../../src/capture/source.ts";
import { parseAddress } from "../../src/config/address.ts";
import { createSource } from "../../src/copy/data-plane/request-source.ts";
import { libc } from "../../src/native/libc.ts";
import { mapAddress } from "../../src/wire/address-words.ts";
import { WHOLE } from "../../src/wire/prefix.ts";
import { workerOfClient } from "../../src/wire/shard.ts";
import { build, type Frame } from "../bpf/build.ts";
import { copyOf, MARK, OPTIONS } from "../bpf/capture.ts";
import { until } from "../support/until.ts";
import { HOST_MAC, Link, openSender, writeFrame } from "./link.ts";

const WORKERS = 3;
const DATAGRAM_SERVICES: KernelService[] = ([4, 6] as const).map((family, index) => ({
  address: null,
  family,
  port: 80,
  transport: "udp",
  index: 10 + index,
}));

const SERVICES: KernelService[] = [...OPTIONS.services, ...DATAGRAM_SERVICES];

let link: Link;
beforeAll(() => {
  link = new Link();
});
afterAll(() => link?.remove());

/** A capture that has begun, with a socket for each of so many workers; of `answering` what they send is captured too. */
function openFor(workers: number, answering: AnsweringService[] = []) {
  const capture = link.host.enter(() => {
    const opened = openPacketCapture({
      services: SERVICES,
      answering,
      isOutgoing: false,
      snaplen: 65535,
      mark: MARK,
      bufferBytes: 4 << 20,
      front: null,
      workers,
    });
    opened.start([link.ifindex]);
    return opened;
  });
  return { capture, whole: capture.source as Extract<SourceConfig, { kind: "packet" }> };
}

/** The same frame on its way back. */
function answerTo({ source = "10.0.0.1", destination = "10.0.0.2", sourcePort = 0, ...rest }: Frame): Frame {
  const ports = { sourcePort: 80, destinationPort: sourcePort };
  return { ...rest, ...ports, source: destination, destination: source, destinationMac: [2, 0, 0, 0, 0, 1] };
}

/** The worker that the programs of the kernel choose. */
function expected({ source = "10.0.0.1", sourcePort = 0, protocol }: Frame): number {
  const words = new Int32Array(4);
  mapAddress(parseAddress(source)!.bytes, words, 0);
  return workerOfClient(words, 0, protocol === 17 ? 0 : sourcePort, WORKERS);
}

test.each([
  ["each client's packets come", false],
  ["what services answer comes", true],
])("%s to the worker that the kernel programs would choose", async (_, isAnswer) => {
  const answering = SERVICES.map((service) => ({ ...service, payload: WHOLE }));
  const { capture, whole } = openFor(WORKERS, isAnswer ? answering : []);
  const sender = openSender(link.host, link.ifindex);
  const sources: RequestSource[] = whole.sockets.map((socket, worker) =>
    createSource({ ...whole, sockets: [socket], match: { ...whole.match, worker } }, new Control(-1)),
  );
  try {
    const frames: Frame[] = [];
    for (let client = 0; client < 60; client++) {
      const sourcePort = 1024 + client * 917;
      frames.push({ source: `10.${client}.${255 - client}.7`, sourcePort });
      frames.push({ source: `10.0.${client}.9`, sourcePort, ipOptions: 12 });
      frames.push({ source: `10.0.9.${client + 1}`, sourcePort, tags: [0x8100] });
      frames.push({ source: `fd00::${client + 1}:ff01`, destination: "fd00::2", sourcePort });
      frames.push({ source: `10.${client}.0.3`, sourcePort, protocol: 17 });
      frames.push({ source: `fd00::${client + 1}:3`, destination: "fd00::2", sourcePort, protocol: 17 });
    }
    const wanted = frames.map((frame, index) => `${index}: worker ${expected(frame)}`);
    const found: string[] = [];
    const take = () => {
      for (const [worker, source] of sources.entries()) {
        source.drain((packet) => {
          const { bytes } = copyOf(packet);
          // What follows a header of TCP, which that of a datagram is cut from.
          const index = Buffer.from(bytes.slice(packet.tcp + 20 - packet.ip)).toString();
          found.push(`${index}: worker ${worker}`);
        }, 1000);
      }
    };
    for (const [index, frame] of frames.entries()) {
      const payload = String(index);
      const seq = frame.protocol === 17 ? (20 + payload.length) * 65536 + 1 : 1;
      const sent = { destinationMac: HOST_MAC, ...(isAnswer ? answerTo(frame) : frame), seq, payload };
      if (isAnswer) writeFrame(sender, build(sent).bytes);
      else link.send(build(sent).bytes);
      // Every 2 ms the kernel takes a block for what has come: a ring has few, and who sends slowly would need them all.
      take();
    }
    await until("every packet", () => {
      take();
      return found.length === frames.length;
    });
    const byIndex = (one: string, other: string) => Number.parseInt(one, 10) - Number.parseInt(other, 10);
    expect(found.toSorted(byIndex)).toEqual(wanted);
    const { requestsCaptured, outgoingCaptured } = capture.stats();
    expect([requestsCaptured, outgoingCaptured]).toEqual(isAnswer ? [0, frames.length] : [frames.length, 0]);
    for (const source of sources) expect(source.descriptors.length).toBe(1);
  } finally {
    for (const source of sources) source.close();
    capture.close();
    libc.close(sender);
  }
});

test("a second reader of a ring goes on where the first one stopped", async () => {
  const { capture, whole } = openFor(2);
  const open = () => createSource(whole, new Control(-1));
  const takeAll = async (source: RequestSource, from: number, to: number) => {
    const seen: number[] = [];
    for (let number = from; number < to; number++) {
      link.send(build({ destinationMac: HOST_MAC, sourcePort: 2000 + number, payload: 8 }).bytes);
      await until("the packet", () => {
        source.drain((packet) => seen.push(packet.sourcePort - 2000), 100);
        return seen.length === number - from + 1;
      });
    }
    return seen;
  };
  try {
    // Each packet is a block of its own: the kernel hands one over after 2 ms.
    expect(await takeAll(open(), 0, 10)).toEqual(Array.from({ length: 10 }, (_, index) => index));
    expect(await takeAll(open(), 10, 20)).toEqual(Array.from({ length: 10 }, (_, index) => index + 10));
  } finally {
    capture.close();
  }
});
