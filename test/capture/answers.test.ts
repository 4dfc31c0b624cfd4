/** Answers of targets, from a kernel program or a packet socket: the same packets in, the same headers out. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { openResponseSocket } from "../../src/capture/socket/response-socket.ts";
import { ResponseSource } from "../../src/capture/socket/response-source.ts";
import { readTooBig } from "../../src/wire/icmp.ts";
import { Packet } from "../../src/wire/packet.ts";
import { ACK, build, FIN, type Frame, HOP_BY_HOP, RST, SYN } from "../bpf/build.ts";
import { type Captured, copyOf, loadForTest, OPTIONS, TARGET, TARGET6 } from "../bpf/capture.ts";
import { until } from "../support/until.ts";
import { HOST_MAC, Link } from "./link.ts";

const PORT = 33000;
const OURS: Frame = {
  destinationMac: HOST_MAC,
  source: "10.0.0.9",
  destination: "10.0.0.2",
  sourcePort: 8080,
  destinationPort: PORT,
};
const OURS6: Frame = { ...OURS, source: "fd00::9", destination: "fd00::2" };

let link: Link;
beforeAll(() => {
  link = new Link();
});
afterAll(() => link?.remove());

interface Catcher {
  take(): Captured[];
  close(): void;
}

function byProgram(): Catcher {
  const { kernel, flows, beat, takeResponses } = loadForTest({ services: null, paths: OPTIONS.paths });
  for (const path of [0, 1]) for (const port of [PORT, PORT + 1]) flows.add(path, port);
  beat();
  link.host.enter(() => kernel.attachResponses([link.ifindex]));
  return { take: takeResponses, close: () => link.host.enter(() => kernel.detach()) };
}

function bySocket(): Catcher {
  const opened = link.host.enter(() => openResponseSocket([TARGET, TARGET6], [link.ifindex]));
  link.host.enter(() => opened.start());
  const source = new ResponseSource(opened.source);
  return {
    take() {
      const taken: Captured[] = [];
      while (source.drain((packet) => taken.push(copyOf(packet)), 64) > 0);
      return taken;
    },
    close: opened.close,
  };
}

/** A router's message that a packet was too big, which quotes it. */
function tooBig(quoted: Frame, mtu: number): Uint8Array {
  const inner = build(quoted).ip.subarray(0, 60);
  const isIpv6 = quoted.source!.includes(":");
  const carrier = build({
    destinationMac: HOST_MAC,
    source: isIpv6 ? "fd00::1" : "10.0.0.1",
    destination: quoted.source!,
    payload: 28 + inner.length - 20,
  });
  const { bytes } = carrier;
  const ip = bytes.length - carrier.ip.length;
  const icmp = ip + (isIpv6 ? 40 : 20);
  bytes[isIpv6 ? ip + 6 : ip + 9] = isIpv6 ? 58 : 1;
  bytes.set([isIpv6 ? 2 : 3, isIpv6 ? 0 : 4, 0, 0, 0, 0, mtu >> 8, mtu & 255], icmp);
  bytes.set(inner, icmp + 8);
  return bytes;
}

describe.each([
  ["a program of the kernel", byProgram],
  ["a packet socket", bySocket],
] as const)("%s", (_, open) => {
  let catcher: Catcher;
  beforeEach(() => {
    catcher = open();
  });
  afterEach(() => catcher?.close());

  /** What came before a last packet. */
  async function caught(): Promise<Captured[]> {
    const last = build({ ...OURS, destinationPort: PORT + 1, payload: 1 }).bytes;
    link.send(last);
    const records: Captured[] = [];
    const isLast = ({ bytes, tcp }: Captured) =>
      tcp > 0 && new DataView(bytes.buffer).getUint16(tcp + 2) === PORT + 1;
    await until("the last packet", () => {
      records.push(...catcher.take());
      return records.some(isLast);
    });
    return records.filter((record) => !isLast(record));
  }

  const answers: [name: string, frame: Frame, index: number, headers: number][] = [
    ["SYN-ACK", { ...OURS, flags: SYN | ACK, tcpOptions: 20 }, 0, 60],
    ["ACK", { ...OURS, flags: ACK }, 0, 40],
    ["data", { ...OURS, payload: 1448, tcpOptions: 12 }, 0, 52],
    ["FIN", { ...OURS, flags: FIN | ACK }, 0, 40],
    ["RST", { ...OURS, flags: RST }, 0, 40],
    ["all options", { ...OURS, ipOptions: 40, tcpOptions: 40, payload: 9 }, 0, 120],
    ["a padded frame", { ...OURS, flags: ACK, padding: 6 }, 0, 40],
    ["IPv6", { ...OURS6, payload: 1400, tcpOptions: 12 }, 1, 72],
    ["IPv6 with options", { ...OURS6, extensions: [[HOP_BY_HOP, 56]], tcpOptions: 12, payload: 3 }, 1, 128],
  ];
  test.each(answers)("%s", async (_, frame, index, headers) => {
    const { bytes, ip } = build(frame);
    link.send(bytes);
    const [record, ...others] = await caught();
    expect(others).toEqual([]);
    expect(record!.bytes.subarray(0, headers)).toEqual(ip.subarray(0, headers));
    expect({ tcp: record!.tcp, payload: record!.payload, index: record!.index }).toEqual({
      tcp: headers - 20 - (frame.tcpOptions ?? 0),
      payload: headers,
      index,
    });
    expect(record!.length).toBe(ip.length - headers);
  });

  test("data in one piece, as GRO joined it", async () => {
    link.sendLarge(build({ ...OURS, payload: 60_000 }).bytes, 1428);
    expect((await caught()).map(({ length }) => length)).toEqual([60_000]);
  });

  test("other packets are not captured", async () => {
    const others: Frame[] = [
      { ...OURS, source: "10.0.0.8", payload: 3 },
      { ...OURS, destination: "10.0.0.3", payload: 3 },
      { ...OURS, sourcePort: 8081, payload: 3 },
      { ...OURS6, source: "fd00::8", payload: 3 },
      { ...OURS, protocol: 17, payload: 3 },
      { ...OURS, fragmentOffset: 64, payload: 30 },
    ];
    for (const frame of others) link.send(build(frame).bytes);
    link.send(tooBig({ ...OURS, source: "10.0.0.2", destination: "10.0.0.7", destinationPort: 8080 }, 1300));
    expect(await caught()).toEqual([]);
  });

  test('ICMP "packet too big" about a packet of ours', async () => {
    const sent: Frame = { sourcePort: PORT, destinationPort: 8080, flags: ACK, seq: 77 };
    const messages = [
      tooBig({ ...sent, source: "10.0.0.2", destination: "10.0.0.9" }, 1300),
      tooBig({ ...sent, source: "fd00::2", destination: "fd00::9" }, 1300),
    ];
    for (const message of messages) link.send(message);
    const records = await caught();
    expect(records.map(({ index, tcp }) => ({ index, tcp }))).toEqual([
      { index: 0, tcp: 0 },
      { index: 1, tcp: 0 },
    ]);
    for (const { bytes } of records) {
      const packet = new Packet(bytes);
      packet.end = bytes.length;
      const told = { mtu: 0, sourcePort: 0, seq: 0 };
      expect(readTooBig(packet, told)).toBe(true);
      expect(told).toEqual({ mtu: 1300, sourcePort: PORT, seq: 77 });
    }
  });
});
