/** Connections that a recording shows before and after translation. */
import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { KernelService } from "../../../src/capture/services.ts";
import { TRACE_INDEX } from "../../../src/capture/trace/counters.ts";
import { createTraceMemory, viewTraceMemory } from "../../../src/capture/trace/memory.ts";
import type { TraceOptions } from "../../../src/capture/trace/options.ts";
import { readTraces } from "../../../src/capture/trace/reader.ts";
import { TraceRing } from "../../../src/capture/trace/trace-ring.ts";
import { ACK, build, bytesOf, checksum, FIN, type Frame, PSH, SYN } from "../../bpf/build.ts";
import { hex } from "../../wire/placed.ts";
import { concat, description, enhanced, type Laid, pcap, section } from "./lay.ts";
import { optionsFor } from "./read.ts";
import { fc } from "./seed.ts";

const NOW = 1_700_000_000_000_000;
const scratch = mkdtempSync(join(tmpdir(), "xcopy-translation-"));
afterAll(() => rmSync(scratch, { recursive: true }));

/** A packet as it passes a place. */
interface Passing extends Frame {
  time: number;
  hops?: number;
  /** Interface, and whether it came (0) or went (4). */
  on?: number;
  type?: number;
}

const MSS = [2, 4, 5, 0xb4];
const stamp = (value: number) => [8, 10, 0, 0, value >> 8, value & 0xff, 0, 0, 0, 0];
const optionsOf = (value: number | null) => [...MSS, 4, 2, ...(value === null ? [1, 1] : stamp(value))];

interface Kind {
  source?: string;
  sourcePort?: number;
  isn?: number;
  id?: number;
  at?: number;
  /** null: without timestamps. */
  stamp?: number | null;
  /** Without SYN. */
  isMidstream?: boolean;
}

/** The packets of one connection with two requests, as the client sends them. */
function connection(kind: Kind = {}): Passing[] {
  const {
    source = "10.9.0.1",
    sourcePort = 40_000,
    isn = 5000,
    id = 700,
    at = 0,
    isMidstream = false,
  } = kind;
  const value = kind.stamp === undefined ? 4000 : kind.stamp;
  const destination = source.includes(":") ? "fd09::50" : "10.9.0.80";
  const common = { source, destination, sourcePort };
  const later = value === null ? [] : [1, 1, ...stamp(value + 1)];
  const steps: Passing[] = [
    { time: at, id, seq: isn, ack: 0, flags: SYN, options: optionsOf(value) },
    { time: at + 1000, id: id + 1, seq: isn + 1, ack: 9, flags: ACK, options: later },
    {
      time: at + 2000,
      id: id + 2,
      seq: isn + 1,
      ack: 9,
      flags: ACK | PSH,
      options: later,
      payload: "GET /one HTTP/1.1",
    },
    {
      time: at + 4000,
      id: id + 3,
      seq: isn + 18,
      ack: 50,
      flags: ACK | PSH,
      options: later,
      payload: "GET /two HTTP/1.1",
    },
    { time: at + 6000, id: id + 4, seq: isn + 35, ack: 90, flags: ACK | FIN, options: later },
  ];
  return steps.slice(isMidstream ? 2 : 0).map((step) => ({ ...common, ...step }));
}

/** What becomes of packets on their way: other addresses, one hop less, some us later, at another interface. */
function translated(packets: Passing[], change: Partial<Passing>, after = 10): Passing[] {
  return packets.map((packet) => ({
    ...packet,
    hops: 63,
    on: 5,
    type: 4,
    ...change,
    time: packet.time + after,
  }));
}

function frame({ hops = 64, ...packet }: Passing): Uint8Array {
  const { bytes } = build(packet);
  const isV4 = bytes[12] === 8;
  bytes[14 + (isV4 ? 8 : 7)] = hops;
  if (isV4) writeIpChecksum(bytes, 14);
  return bytes;
}

/** Of the IPv4 header at `ip`. */
function writeIpChecksum(bytes: Uint8Array, ip: number): void {
  const header = bytes.subarray(ip, ip + (bytes[ip]! & 15) * 4);
  header.fill(0, 10, 12);
  new DataView(bytes.buffer, header.byteOffset).setUint16(10, checksum(header));
}

const etherType = (bytes: Uint8Array) => bytes.subarray(12, 14);

/** In LINUX_SLL2, as `tcpdump -i any` writes it. */
function cooked(packet: Passing): Laid {
  const bytes = frame(packet);
  const { on = 2, type = 0, time } = packet;
  const header = concat(etherType(bytes), Uint8Array.of(0, 0, 0, 0, 0, on, 0, 1, type, 6), new Uint8Array(8));
  return { time: NOW + time, data: concat(header, bytes.subarray(14)) };
}

/** In LINUX_SLL, as older ones do. */
function cookedBefore(packet: Passing): Laid {
  const bytes = frame(packet);
  const header = concat(Uint8Array.of(0, packet.type ?? 0, 0, 1, 0, 6), new Uint8Array(8), etherType(bytes));
  return { time: NOW + packet.time, data: concat(header, bytes.subarray(14)) };
}

const plain = (packet: Passing): Laid => ({ time: NOW + packet.time, data: frame(packet) });
const inOrder = (packets: Passing[]) => packets.toSorted((one, other) => one.time - other.time);
const any = (packets: Passing[]) => pcap(inOrder(packets).map(cooked), { linkType: 276 });

function sectionOf(packets: Passing[]): Uint8Array {
  const blocks = inOrder(packets).map((packet) =>
    enhanced(true, BigInt(NOW + packet.time), frame(packet), { index: (packet.on ?? 2) === 2 ? 0 : 1 }),
  );
  return concat(section(), description(), description(), ...blocks);
}

const service = (address: string | null, index: number, family: 4 | 6 = 4, port = 80): KernelService => ({
  address: address === null ? null : bytesOf(address),
  family,
  port,
  index,
});
const SERVICES = [service(null, 0), service(null, 0, 6)];

/** Reads files; `flows` has a line for each request with data, or with SYN, that is copied. */
async function copied(files: Uint8Array[], options: Partial<TraceOptions> = {}) {
  const paths = files.map((bytes, index) => {
    const path = join(scratch, `${index}`);
    writeFileSync(path, bytes);
    return path;
  });
  const memory = createTraceMemory(1 << 19);
  const warnings: string[] = [];
  const events = {
    onWarning: (text: string) => warnings.push(text),
    onReady() {},
    onBroken(failure: Error) {
      throw failure;
    },
    onStep() {},
    onUnmatched() {},
  };
  await readTraces(
    optionsFor(paths, { services: SERVICES, targets: [0], ...options }),
    memory,
    events,
    new Promise(() => {}),
  );
  const ring = new TraceRing(memory);
  const flows: string[] = [];
  while (!ring.isEnd) {
    ring.drain((packet) => {
      const { view, ip, family, sourcePort, index, flags, length } = packet;
      const last = (at: number) => view.getUint8(ip + (family === 4 ? at : at === 15 ? 23 : 39));
      if (length > 0 || flags & SYN) flows.push(`${last(15)}:${sourcePort} ${last(19)} ${index}`);
    }, 1000);
  }
  const { counters } = viewTraceMemory(memory);
  const count = (name: keyof typeof TRACE_INDEX) => counters[TRACE_INDEX[name]]!;
  return { flows, warnings, count, kinds: [...new Set(flows)] };
}

const ORIGINAL = "1:40000 80 0";
const DNAT = { destination: "172.17.0.2" };
const SNAT = { source: "172.17.0.1", sourcePort: 51_000 };
const both = (packets: Passing[], change: Partial<Passing>) => [...packets, ...translated(packets, change)];

describe("one connection", () => {
  const first = connection();
  const six = connection({ source: "fd09::1", stamp: null });
  const bare = connection({ stamp: null });
  test.each<[string, Uint8Array[], string?]>([
    ["DNAT", [any(both(first, DNAT))]],
    ["DNAT to another port that is copied, too", [any(both(first, { ...DNAT, destinationPort: 8080 }))]],
    ["DNAT without timestamps", [any(both(bare, DNAT))]],
    [
      "DNAT without timestamps and identification",
      [
        any(
          both(
            connection({ stamp: null, id: 0 }).map((p) => ({ ...p, id: 0 })),
            DNAT,
          ),
        ),
      ],
    ],
    ["SNAT", [any(both(first, SNAT))]],
    ["SNAT without timestamps", [any(both(bare, SNAT))]],
    ["both, as of kube-proxy", [any(both(first, { ...DNAT, ...SNAT }))]],
    [
      "both, and one after the other",
      [
        any([
          ...first,
          ...translated(first, DNAT),
          ...translated(first, { ...DNAT, ...SNAT, hops: 62, on: 7 }, 20),
        ]),
      ],
    ],
    [
      "DNAT seen at a bridge and at its port",
      [any([...both(first, DNAT), ...translated(first, { ...DNAT, on: 9 }, 20)])],
    ],
    ["DNAT in a bridge, which is no hop", [any(both(first, { ...DNAT, hops: 64 }))]],
    [
      "with an MSS that was clamped",
      [
        any([
          ...first,
          ...translated(first, DNAT).map((packet) => ({
            ...packet,
            options: packet.flags === SYN ? [2, 4, 5, 0x50, ...packet.options!.slice(4)] : packet.options!,
          })),
        ]),
      ],
    ],
    ["IPv6, DNAT", [any(both(six, { destination: "fd17::2" }))]],
    [
      "IPv6, both",
      [any(both(connection({ source: "fd09::1" }), { source: "fd17::1", destination: "fd17::2" }))],
    ],
    ["without its SYN", [any(both(connection({ isMidstream: true }), { ...DNAT, ...SNAT }))]],
    ["LINUX_SLL", [pcap(inOrder(both(first, DNAT)).map(cookedBefore), { linkType: 113 })]],
    ["interfaces of a pcapng file", [sectionOf(both(first, { ...DNAT, ...SNAT }))]],
    ["two files", [pcap(first.map(plain)), pcap(translated(first, SNAT).map(plain))]],
    [
      "one interface, through which it goes back",
      [pcap(inOrder(both(first, { ...DNAT, ...SNAT })).map(plain))],
    ],
    [
      "a file of the later place whose clock is ahead",
      [pcap(first.map(plain)), pcap(translated(first, { ...DNAT, ...SNAT }, -400).map(plain))],
      "1:51000 2 0",
    ],
  ])("%s", async (_, files, kept = ORIGINAL) => {
    const { kinds, flows, warnings, count } = await copied(files, {
      services: [...SERVICES, service(null, 0, 4, 8080)],
    });
    expect(kinds).toEqual([kept]);
    const isMidstream = flows.length === 2;
    expect(flows.length).toBe(isMidstream ? 2 : 3);
    expect(count("translatedConnections")).toBeGreaterThan(0);
    expect(count("translated")).toBeGreaterThan(0);
    expect(count("requests") + count("translated") + count("pureAcks") + count("duplicates")).toBe(
      count("packets"),
    );
    expect(warnings).toHaveLength(1);
  });

  test("is told once, with its places", async () => {
    const others = [1, 2].flatMap((n) =>
      both(connection({ sourcePort: 40_000 + n, isn: 5000 * n + 7, id: 90 * n, at: 100 * n }), DNAT),
    );
    const dnat = await copied([any([...both(first, DNAT), ...others])], { loops: 1 });
    expect(dnat.warnings).toEqual([
      "3 connections are in this recording twice, before and after translation (10.9.0.80:80 and 172.17.0.2:80): copied once",
    ]);
    const snat = await copied([any(both(first, SNAT))]);
    expect(snat.warnings[0]).toContain(
      "1 connection is in this recording twice, before and after translation (10.9.0.80:80, from 10.9.0.1:40000 and from 172.17.0.1:51000)",
    );
  });

  test("is left out with its tunnel, on one interface", async () => {
    const inside = translated(first, { ...DNAT, ...SNAT }).map((packet) => {
      const inner = frame(packet);
      const udp = concat(hex("d000 2118 0000 0000 08000000 00002a00"), inner);
      const { bytes } = build({ protocol: 17, payload: 0 });
      const outer = concat(bytes.subarray(0, 34), udp);
      new DataView(outer.buffer).setUint16(16, 20 + udp.length);
      return { time: NOW + packet.time, data: outer };
    });
    const packets = [...first.map(plain), ...inside].toSorted((one, other) => one.time! - other.time!);
    expect((await copied([pcap(packets)])).kinds).toEqual([ORIGINAL]);
  });

  test("is that which -x names", async () => {
    const options = { services: [service("172.17.0.2", 0)] };
    const { kinds, count } = await copied([any(both(first, DNAT))], options);
    expect(kinds).toEqual(["1:40000 2 0"]);
    expect(count("translated")).toBe(0);
  });

  test("goes to both where -x names both for other targets", async () => {
    const services = [service(null, 0), service("172.17.0.2", 1)];
    const files = [any(both(first, DNAT))];
    expect((await copied(files, { services, targets: [0, 1] })).kinds).toEqual([ORIGINAL, "1:40000 2 1"]);
    expect((await copied(files, { services, targets: [0, 0] })).kinds).toEqual([ORIGINAL]);
  });

  test("is sampled as a whole", async () => {
    for (const leftOut of [0.2, 0.5, 0.8]) {
      const { flows, count } = await copied([any(both(first, SNAT))], { leftOut: leftOut * 2 ** 32 });
      expect([0, 3]).toContain(flows.length);
      expect(count("translated")).toBe(first.length);
    }
  });

  test("on ports that were left out before is a new one", async () => {
    const again = connection({ isn: 90_000, id: 3000, at: 50_000, stamp: 5000 });
    const direct = translated(again, { ...DNAT, hops: 64, on: 2, type: 0 }, 0);
    const { flows } = await copied([any([...both(first, DNAT), ...direct])]);
    expect(flows).toEqual([ORIGINAL, ORIGINAL, ORIGINAL, "1:40000 2 0", "1:40000 2 0", "1:40000 2 0"]);
  });
});

describe("two connections of generators, which look the same,", () => {
  const first = connection();
  const other = (change: Partial<Passing>, kind: Kind = {}, after = 10) =>
    translated(connection(kind), { hops: 64, on: 2, type: 0, source: "10.9.0.2", ...change }, after);
  test.each<[string, Passing[]]>([
    ["on one interface", other({})],
    ["on two", other({ on: 3 })],
    [
      "one a hop further away, on one interface, with another identification",
      other({ hops: 63 }, { id: 9000, stamp: 9 }),
    ],
    ["one a hop further away, on another, with other numbers", other({ hops: 63, on: 3 }, { isn: 70_000 })],
    [
      "one a hop further away, with nothing else the same",
      other({ hops: 63, on: 3 }, { id: 9000, stamp: 9 }),
    ],
    ["of other systems", other({ hops: 128, on: 3 })],
    ["with other options", other({ hops: 63, on: 3 }, { stamp: null })],
    ["one after the other", other({ hops: 63, on: 3 }, {}, 1_500_000)],
  ])("%s, are two", async (_, second) => {
    const { flows, count, warnings } = await copied([any([...first, ...second])]);
    expect(flows).toHaveLength(6);
    expect(count("translated")).toBe(0);
    expect(warnings).toEqual([]);
  });

  test("with numbers, places and times by chance, are as many as there are", async () => {
    const client = fc.record({
      on: fc.nat(3),
      hops: fc.constantFrom(64, 63, 60),
      isn: fc.nat(0xffffff),
      id: fc.integer({ min: 1, max: 60_000 }),
      at: fc.nat(3000),
    });
    await fc.assert(
      fc.asyncProperty(
        fc.uniqueArray(client, { selector: ({ isn }) => isn, maxLength: 12 }),
        async (clients) => {
          const packets = clients.flatMap(({ on, hops, ...kind }, n) =>
            connection({ ...kind, sourcePort: 40_000 + n, stamp: 100 + n }).map((packet) => ({
              ...packet,
              on,
              hops,
            })),
          );
          const { flows } = await copied([any(packets)]);
          expect(flows).toHaveLength(3 * clients.length);
        },
      ),
      { numRuns: 10 },
    );
  });
});

describe("datagrams", () => {
  const services = [{ ...service(null, 0, 4, 53), transport: "udp" as const }];
  const ports = { sourcePort: 40_000, destinationPort: 53 };
  function datagram(time: number, id: number, text: string, change: Partial<Passing> = {}): Laid {
    const packet = { ...ports, source: "10.9.0.1", destination: "10.9.0.80", time, id, ...change };
    const { data } = cooked({ ...packet, protocol: 17, payload: text });
    // In the place of TCP's header.
    const udp = new Uint8Array(8);
    const view = new DataView(udp.buffer);
    view.setUint16(0, packet.sourcePort);
    view.setUint16(2, packet.destinationPort);
    view.setUint16(4, 8 + text.length);
    const bytes = concat(data.subarray(0, 40), udp, new TextEncoder().encode(text));
    new DataView(bytes.buffer).setUint16(22, 28 + text.length);
    writeIpChecksum(bytes, 20);
    return { time: NOW + time, data: bytes };
  }
  const read = (packets: Laid[]) => copied([pcap(packets, { linkType: 276 })], { services });
  const later = { hops: 63, on: 5, type: 4 };

  test.each<[string, Laid[], number]>([
    ["DNAT", [datagram(0, 9, "query"), datagram(10, 9, "query", { ...later, ...DNAT })], 1],
    [
      "DNAT without identification",
      [datagram(0, 0, "query"), datagram(10, 0, "query", { ...later, ...DNAT })],
      1,
    ],
    ["both", [datagram(0, 9, "query"), datagram(10, 9, "query", { ...later, ...DNAT, ...SNAT })], 1],
    ["of two clients", [datagram(0, 9, "query"), datagram(10, 10, "query", { ...later, ...SNAT })], 2],
    [
      "of two clients without identification",
      [datagram(0, 0, "query"), datagram(10, 0, "query", { ...later, ...SNAT })],
      2,
    ],
    ["of other content", [datagram(0, 9, "query"), datagram(10, 9, "other", { ...later, ...DNAT })], 2],
    [
      "again after a while",
      [datagram(0, 9, "query"), datagram(400_000, 9, "query", { ...later, ...SNAT })],
      2,
    ],
  ])("%s", async (_, packets, expected) => {
    const { count, warnings } = await read(packets);
    expect(count("requests")).toBe(expected);
    expect(count("translatedDatagrams")).toBe(2 - expected);
    expect(warnings.length).toBe(2 - expected);
  });

  test("at a bridge and its port are one in LINUX_SLL, too", async () => {
    const old = ({ time, data }: Laid): Laid => ({
      time: time!,
      data: concat(
        Uint8Array.of(0, 4, 0, 1, 0, 6),
        new Uint8Array(8),
        Uint8Array.of(8, 0),
        data.subarray(20),
      ),
    });
    const packets = [
      datagram(0, 9, "query"),
      datagram(10, 9, "query"),
      datagram(20, 0, "again"),
      datagram(30, 0, "again"),
    ];
    const { count } = await copied([pcap(packets.map(old), { linkType: 113 })], { services });
    expect(count("requests")).toBe(3);
    expect(count("duplicates")).toBe(1);
  });
});
