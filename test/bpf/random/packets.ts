/** Arbitrary packets for the kernel programs: of all shapes that their parser knows, then some with bytes changed or cut. */
import fc from "fast-check";
import type { TestContext } from "../../../src/native/bpf/test-run.ts";
import { AUTHENTICATION, bytesOf, DESTINATION_OPTIONS, FRAGMENT, HOP_BY_HOP, ROUTING } from "../build.ts";
import { MARK } from "../capture.ts";

export const TCP = 6;
export const UDP = 17;
export const ICMP = 1;
export const ICMP6 = 58;
/** What other hosts than this one have. */
const OTHER_MAC = [2, 9, 9, 9, 9, 9];
const MACS = [
  [0, 0, 0, 0, 0, 0],
  OTHER_MAC,
  [255, 255, 255, 255, 255, 255],
  [1, 0, 0x5e, 0, 0, 0xfb],
  [0x45, 0, 0, 0, 0, 1],
];
/** Most bytes of a frame in a test run: less than a page, with what the kernel keeps around it. */
const LONGEST = 3000;

export interface Shape {
  mac: number;
  tags: number[];
  family: 4 | 6;
  protocol: "tcp" | "udp" | "icmp" | "other";
  /** Which of two clients, whose addresses no other run has. */
  client: number;
  /** What the client's side is to the other: source or destination. */
  isAnswer: boolean;
  /** Indexes of the service's (target's) addresses and ports of the run. */
  address: number;
  port: number;
  clientPort: number;
  options: number;
  extensions: number[];
  /** Bytes of each, in units of 8, without the first. */
  extensionUnits: number;
  id: number;
  fragment: { offset: number; more: boolean } | null;
  seq: number;
  ack: number;
  flags: number;
  tcpOptions: number;
  /** 8 bytes of a cookie in the option that marks a copy's SYN, in front of the options; null: none. */
  cookie: number[] | null;
  payload: number;
  fill: number;
  /** Whether the payload begins as a head of HTTP/1.x does. */
  isHead: boolean;
  /** Replaces the length in the IP header by itself plus this; null: by 0. */
  wrong: number | null;
  padding: number;
  icmp: { type: number; code: number; isUdp: boolean };
  /** Bytes set at places, then the frame cut to so many per mille. */
  changes: [place: number, value: number][];
  cut: number;
  mark: number;
  gsoSize: number;
  interface: number;
}

/** Mostly `usual`, sometimes one of the others. */
const mostly = <T>(usual: T, ...others: T[]) =>
  fc.oneof(
    { weight: 8, arbitrary: fc.constant(usual) },
    { weight: 2, arbitrary: fc.constantFrom(...others) },
  );
const rarely = <T, U>(usual: T, other: fc.Arbitrary<U>, weight = 1) =>
  fc.oneof(
    { weight: 12, arbitrary: fc.constant(usual) as fc.Arbitrary<T | U> },
    { weight, arbitrary: other },
  );

export const shape: fc.Arbitrary<Shape> = fc.record({
  mac: mostly(0, 1, 2, 3, 4),
  tags: rarely<number[], number[]>(
    [],
    fc.array(fc.constantFrom(0x8100, 0x88a8), { minLength: 1, maxLength: 3 }),
    4,
  ),
  family: fc.constantFrom(4, 6),
  protocol: fc.oneof(
    { weight: 6, arbitrary: fc.constant("tcp" as const) },
    { weight: 4, arbitrary: fc.constant("udp" as const) },
    { weight: 2, arbitrary: fc.constant("icmp" as const) },
    { weight: 1, arbitrary: fc.constant("other" as const) },
  ),
  client: fc.constantFrom(0, 1),
  isAnswer: fc.boolean(),
  address: mostly(0, 1, 2),
  port: mostly(0, 1, 2, 3),
  clientPort: mostly(0, 1),
  options: mostly(0, 4, 8, 40),
  extensions: rarely<number[], number[]>(
    [],
    fc.array(fc.constantFrom(HOP_BY_HOP, ROUTING, DESTINATION_OPTIONS, AUTHENTICATION), {
      minLength: 1,
      maxLength: 5,
    }),
    4,
  ),
  extensionUnits: mostly(1, 0, 6, 9),
  id: fc.constantFrom(1, 2, 5),
  fragment: rarely<null, { offset: number; more: boolean }>(
    null,
    fc.record({ offset: fc.constantFrom(0, 0, 1, 4, 185), more: fc.boolean() }),
    4,
  ),
  seq: fc.constantFrom(1000, 1001, 1010, 0xfffffff0),
  ack: fc.constantFrom(2000, 2001, 0x40000000, 0),
  flags: fc.constantFrom(0x02, 0x10, 0x10, 0x10, 0x18, 0x11, 0x04, 0x12, 0x00, 0xff),
  tcpOptions: mostly(0, 12, 20, 40),
  cookie: fc.constant(null) as fc.Arbitrary<number[] | null>,
  payload: fc.oneof(fc.constantFrom(0, 0, 0, 1, 4, 10, 88, 128, 1400), fc.nat(600)),
  fill: fc.nat(255),
  isHead: fc.boolean(),
  wrong: rarely<number, number | null>(0, fc.constantFrom(null, -1, -9, -20, 1, 40, 60_000), 2),
  padding: mostly(0, 1, 6),
  icmp: fc.oneof(
    // Too big and unreachable, of IPv4 and IPv6.
    {
      weight: 8,
      arbitrary: fc.record({
        type: fc.constantFrom(3, 1, 2),
        code: fc.constantFrom(4, 0),
        isUdp: fc.boolean(),
      }),
    },
    {
      weight: 1,
      arbitrary: fc.record({
        type: fc.constantFrom(11, 5, 8, 128),
        code: fc.constantFrom(0, 3),
        isUdp: fc.boolean(),
      }),
    },
  ),
  changes: rarely<[number, number][], [number, number][]>(
    [],
    fc.array(fc.tuple(fc.nat(120), fc.nat(255)), { minLength: 1, maxLength: 3 }),
    4,
  ),
  cut: rarely(1000, fc.integer({ min: 300, max: 999 })),
  mark: mostly(0, MARK, MARK + 1),
  gsoSize: mostly(0, 100),
  interface: fc.constantFrom(0, 1, 2),
});

/** What the indexes of a shape stand for. */
export interface Places {
  /** Of the service or target, by family. */
  addresses: Record<4 | 6, string[]>;
  ports: number[];
  clientPorts: number[];
  /** Added to the identifications of shapes. */
  firstId?: number;
  /** Address of a client of this run. */
  client(family: 4 | 6, client: number): string;
}

const u16 = (value: number) => [(value >> 8) & 255, value & 255];
const u32 = (value: number) => [...u16(value >>> 16), ...u16(value & 0xffff)];

/** The frame of a shape. */
export function frameOf(shape: Shape, places: Places): Uint8Array {
  const { family, isAnswer, tags } = shape;
  const service = places.addresses[family][shape.address % places.addresses[family].length]!;
  const client = places.client(family, shape.client);
  const ends = { source: isAnswer ? service : client, destination: isAnswer ? client : service };
  const id = (shape.id + (places.firstId ?? 0)) & 0xffff;
  const packet = packetOf({ ...shape, id }, ends.source, ends.destination, contentOf(shape, places, ends));
  const types = [...tags, family === 6 ? 0x86dd : 0x0800];
  const bytes = Uint8Array.from([
    ...MACS[shape.mac]!,
    ...[2, 0, 0, 0, 0, 1],
    ...u16(types[0]!),
    ...types.slice(1).flatMap((type) => [0, 5, ...u16(type)]),
    ...packet,
    ...Array<number>(shape.padding).fill(0),
  ]).slice(0, LONGEST);
  for (const [place, value] of shape.changes) bytes[12 + (place % (bytes.length - 12))] = value;
  // A test run takes no fewer.
  const least = 14 + (shape.family === 4 ? 20 : 40);
  return bytes.slice(0, Math.max(least, Math.floor((bytes.length * shape.cut) / 1000)));
}

export function contextOf(
  { mark, gsoSize, protocol, interface: index }: Shape,
  ifindexes: number[],
): TestContext {
  const isLarge = gsoSize > 0 && (protocol === "tcp" || protocol === "udp");
  return { mark, ...(isLarge && { gsoSize }), ...(index > 0 && { ifindex: ifindexes[index - 1]! }) };
}

function contentOf(shape: Shape, places: Places, ends: { source: string; destination: string }): number[] {
  const [servicePort, clientPort] = [places.ports[shape.port]!, places.clientPorts[shape.clientPort]!];
  const ports = shape.isAnswer ? [servicePort, clientPort] : [clientPort, servicePort];
  const payload = Array<number>(shape.payload).fill(shape.fill);
  if (shape.isHead) payload.splice(0, 7, ...[...Buffer.from("HTTP/1.")].slice(0, payload.length));
  if (shape.protocol === "tcp") return [...tcpOf(shape, ports), ...payload];
  if (shape.protocol === "udp")
    return [...ports.flatMap(u16), ...u16(8 + payload.length), ...u16(shape.seq & 0xffff), ...payload];
  if (shape.protocol === "other") return payload;
  // An error quotes what was sent the other way.
  const { type, code, isUdp } = shape.icmp;
  const quotedPorts = [ports[1]!, ports[0]!].flatMap(u16);
  const quoted = [...quotedPorts, ...u32(shape.seq), ...u32(shape.ack), ...u32(0x50100000), ...u32(0)];
  const inner = { ...shape, extensions: [], fragment: null, wrong: 0, options: 0 };
  return [
    type,
    code,
    0,
    0,
    0,
    0,
    5,
    0,
    ...packetOf({ ...inner, protocol: isUdp ? "udp" : "tcp" }, ends.destination, ends.source, quoted),
  ];
}

function tcpOf({ seq, ack, flags, tcpOptions, cookie }: Shape, ports: number[]): number[] {
  const marked = cookie ? [253, 12, 0x78, 0x63, ...cookie] : [];
  const options = [...marked, ...Array<number>(Math.min(tcpOptions, 40 - marked.length)).fill(1)];
  const words = 5 + options.length / 4;
  return [
    ...ports.flatMap(u16),
    ...u32(seq),
    ...u32(ack),
    words << 4,
    flags,
    ...u16(1000),
    ...[0, 0, 0, 0],
    ...options,
  ];
}

function packetOf(shape: Shape, source: string, destination: string, content: number[]): number[] {
  const { family, fragment, id, wrong } = shape;
  const offset = fragment?.offset ?? 0;
  const more = fragment?.more ?? false;
  const protocol = { tcp: TCP, udp: UDP, icmp: family === 6 ? ICMP6 : ICMP, other: 47 }[shape.protocol];
  if (family === 4) {
    const length = 20 + shape.options + content.length;
    const said = wrong === null ? 0 : length + wrong;
    const flags = offset | (more ? 0x2000 : 0);
    const addresses = [...bytesOf(source), ...bytesOf(destination)];
    return [
      0x45 + shape.options / 4,
      0,
      ...u16(said),
      ...u16(id),
      ...u16(flags),
      64,
      protocol,
      0,
      0,
      ...addresses,
      ...Array<number>(shape.options).fill(1),
      ...content,
    ];
  }
  const types = [...shape.extensions, ...(fragment ? [FRAGMENT] : []), protocol];
  const extensions = types.slice(0, -1).flatMap((type, i) => {
    if (type === FRAGMENT) return [types[i + 1]!, 0, ...u16((offset << 3) | (more ? 1 : 0)), ...u32(id)];
    const size = 8 + shape.extensionUnits * 8;
    const said = type === AUTHENTICATION ? size / 4 - 2 : shape.extensionUnits;
    return [types[i + 1]!, said, ...Array<number>(size - 2).fill(0)];
  });
  const said = wrong === null ? 0 : extensions.length + content.length + wrong;
  return [
    0x60,
    0,
    0,
    0,
    ...u16(said),
    types[0]!,
    64,
    ...bytesOf(source),
    ...bytesOf(destination),
    ...extensions,
    ...content,
  ];
}
