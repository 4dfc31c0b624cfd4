/** Ethernet frames with TCP in them, field by field. The TCP checksum is left 0: nothing here looks at it. */

export const FIN = 0x01;
export const SYN = 0x02;
export const RST = 0x04;
export const PSH = 0x08;
export const ACK = 0x10;

export const HOP_BY_HOP = 0;
export const ROUTING = 43;
export const FRAGMENT = 44;
export const AUTHENTICATION = 51;
export const DESTINATION_OPTIONS = 60;

const TCP = 6;

export interface Frame {
  /** 6 bytes each. */
  destinationMac?: number[];
  sourceMac?: number[];
  /** EtherTypes of tags that are still in the packet, outermost first: 0x8100, 0x88a8. */
  tags?: number[];
  /** Both of one family, as in "10.0.0.1" or "fd00::1". */
  source?: string;
  destination?: string;
  sourcePort?: number;
  destinationPort?: number;
  seq?: number;
  ack?: number;
  flags?: number;
  window?: number;
  payload?: Uint8Array | string | number;
  /** Bytes of IPv4 options, a multiple of 4. */
  ipOptions?: number;
  /** Bytes of TCP options, a multiple of 4; no operation each. */
  tcpOptions?: number;
  /** The TCP options themselves, in place of these. */
  options?: number[];
  /** IPv6 extension headers, in order: type, or type and bytes (a multiple of 8). */
  extensions?: (number | [type: number, bytes: number])[];
  id?: number;
  /** In units of 8 bytes. */
  fragmentOffset?: number;
  moreFragments?: boolean;
  protocol?: number;
  /** Overrides the length field of the IP header. */
  totalLength?: number;
  /** Zeros behind the IP packet, as Ethernet pads to 60 bytes. */
  padding?: number;
}

/** The bytes of an IPv4 or IPv6 address. */
export function bytesOf(address: string): Uint8Array {
  if (!address.includes(":")) return Uint8Array.from(address.split(".").map(Number));
  const [head, tail] = address.split("::").map((part) => (part ? part.split(":") : [])) as [
    string[],
    string[]?,
  ];
  const groups = tail ? [...head, ...Array(8 - head.length - tail.length).fill("0"), ...tail] : head;
  return Uint8Array.from(groups.flatMap((group) => [parseInt(group, 16) >> 8, parseInt(group, 16) & 0xff]));
}

function u16(value: number): number[] {
  return [(value >> 8) & 0xff, value & 0xff];
}

function u32(value: number): number[] {
  return [...u16(value >>> 16), ...u16(value)];
}

function payloadOf(frame: Frame): Uint8Array {
  const { payload = 0 } = frame;
  if (typeof payload === "string") return new TextEncoder().encode(payload);
  if (typeof payload === "number")
    return Uint8Array.from({ length: payload }, (_, index) => index * 7 + (index >> 8));
  return payload;
}

function tcpHeader(frame: Frame): number[] {
  const options = frame.options ?? Array<number>(frame.tcpOptions ?? 0).fill(1);
  return [
    ...u16(frame.sourcePort ?? 50000),
    ...u16(frame.destinationPort ?? 80),
    ...u32(frame.seq ?? 1000),
    ...u32(frame.ack ?? 2000),
    (5 + options.length / 4) << 4,
    frame.flags ?? ACK | PSH,
    ...u16(frame.window ?? 64240),
    0,
    0,
    0,
    0,
    ...options,
  ];
}

function ip4(frame: Frame, source: string, destination: string, content: number): number[] {
  const options = frame.ipOptions ?? 0;
  const header = [
    0x45 + options / 4,
    0,
    ...u16(frame.totalLength ?? 20 + options + content),
    ...u16(frame.id ?? 1),
    ...u16((frame.moreFragments ? 0x2000 : 0) | (frame.fragmentOffset ?? 0)),
    64,
    frame.protocol ?? TCP,
    0,
    0,
    ...bytesOf(source),
    ...bytesOf(destination),
    ...Array<number>(options).fill(1),
  ];
  header.splice(10, 2, ...u16(checksum(header)));
  return header;
}

/** RFC 1071, of a header whose checksum field is 0. */
export function checksum(bytes: ArrayLike<number>): number {
  let sum = 0;
  for (let at = 0; at < bytes.length; at += 2) sum += (bytes[at]! << 8) | bytes[at + 1]!;
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
  return ~sum & 0xffff;
}

function extensionHeader(frame: Frame, type: number, bytes: number, next: number): number[] {
  if (type === FRAGMENT) {
    return [next, 0, ...u16(((frame.fragmentOffset ?? 0) << 3) | (frame.moreFragments ? 1 : 0)), ...u32(1)];
  }
  const length = type === AUTHENTICATION ? bytes / 4 - 2 : bytes / 8 - 1;
  return [next, length, ...Array<number>(bytes - 2).fill(0)];
}

function ip6(frame: Frame, source: string, destination: string, content: number): number[] {
  const extensions = (frame.extensions ?? []).map((one) =>
    typeof one === "number" ? ([one, 8] as const) : one,
  );
  const types = [...extensions.map(([type]) => type), frame.protocol ?? TCP];
  const headers = extensions.flatMap(([type, bytes], index) =>
    extensionHeader(frame, type, bytes, types[index + 1]!),
  );
  return [
    0x60,
    0,
    0,
    0,
    ...u16(frame.totalLength ?? headers.length + content),
    types[0]!,
    64,
    ...bytesOf(source),
    ...bytesOf(destination),
    ...headers,
  ];
}

/** The frame, and where its IP packet lies in it. */
export function build(frame: Frame): { bytes: Uint8Array; ip: Uint8Array } {
  const source = frame.source ?? "10.0.0.1";
  const destination = frame.destination ?? "10.0.0.2";
  const tcp = tcpHeader(frame);
  const payload = payloadOf(frame);
  const content = tcp.length + payload.length;
  const version6 = destination.includes(":");
  const ip = (version6 ? ip6 : ip4)(frame, source, destination, content);
  const types = [...(frame.tags ?? []), version6 ? 0x86dd : 0x0800];
  const ethernet = [
    ...(frame.destinationMac ?? [0, 0, 0, 0, 0, 0]),
    ...(frame.sourceMac ?? [2, 0, 0, 0, 0, 1]),
    ...u16(types[0]!),
    ...types.slice(1).flatMap((type) => [0, 5, ...u16(type)]),
  ];
  const bytes = new Uint8Array(ethernet.length + ip.length + content + (frame.padding ?? 0));
  bytes.set(ethernet);
  bytes.set(ip, ethernet.length);
  bytes.set(tcp, ethernet.length + ip.length);
  bytes.set(payload, ethernet.length + ip.length + tcp.length);
  return { bytes, ip: bytes.subarray(ethernet.length, ethernet.length + ip.length + content) };
}
