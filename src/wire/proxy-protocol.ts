/**
 * PROXY protocol headers, versions 1 and 2 (haproxy's doc/proxy-protocol.txt): the client's address and port, before all other bytes
 * of a connection.
 */

/** Bytes of the longest header: a line of version 1. */
export const MAX_PROXY_HEADER = 107;

const SIGNATURE = [0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a];
/** Version 2, command PROXY. */
const VERSION_COMMAND = 0x21;
const TCP_OVER_IPV4 = 0x11;
const TCP_OVER_IPV6 = 0x21;
/** Bytes of a header of version 2 before its addresses. */
const FIXED = 16;
/** Bytes of the addresses and ports, by address family (high four bits): unspecified, IPv4, IPv6, Unix. */
const ADDRESS_BYTES = [0, 12, 36, 216];
const LINE_START = new TextEncoder().encode("PROXY ");
/** `PROXY UNKNOWN`, whatever follows in the line, or both addresses and ports. */
const LINE =
  /^PROXY (?:UNKNOWN(?: .*)?|TCP([46]) ([0-9a-fA-F.:]+) ([0-9a-fA-F.:]+) ([0-9]{1,5}) ([0-9]{1,5}))$/;

/** Bytes of the longest header that is read. */
export const MOST_READ = 65536;

/**
 * Bytes of the header that begins at `from`; 0: more bytes are needed to know whether there is one, or to read it; -1: there is
 * none.
 */
export function proxyHeaderLength(bytes: Uint8Array, from: number, to: number): number {
  const count = to - from;
  const start = bytes[from] === SIGNATURE[0] ? SIGNATURE : LINE_START;
  for (let i = 0; i < Math.min(count, start.length); i++) if (bytes[from + i] !== start[i]) return -1;
  if (start === LINE_START) {
    const lf = bytes.indexOf(0x0a, from);
    const length = lf < 0 || lf >= to ? 0 : lf + 1 - from;
    if (length > MAX_PROXY_HEADER || (length === 0 && count >= MAX_PROXY_HEADER)) return -1;
    return length === 0 || lineOf(bytes, from, length) ? length : -1;
  }
  if (count > 12 && bytes[from + 12]! >>> 1 !== VERSION_COMMAND >>> 1) return -1;
  if (count < FIXED) return 0;
  const [family, transport] = [bytes[from + 13]! >>> 4, bytes[from + 13]! & 15];
  const length = (bytes[from + 14]! << 8) | bytes[from + 15]!;
  const least = bytes[from + 12] === VERSION_COMMAND ? ADDRESS_BYTES[family] : 0;
  if (least === undefined || transport > 2 || length < least || FIXED + length > MOST_READ) return -1;
  return count < FIXED + length ? 0 : FIXED + length;
}

/** The line of a header of version 1 with `length` bytes; null if it is none. */
function lineOf(bytes: Uint8Array, from: number, length: number): RegExpExecArray | null {
  const text = new TextDecoder("latin1").decode(bytes.subarray(from, from + length));
  return text.endsWith("\r\n") ? LINE.exec(text.slice(0, -2)) : null;
}

/**
 * Reads the addresses of a whole header of `length` bytes into eight words at `words`: source and destination, IPv4 as
 * IPv4-mapped IPv6. Returns the ports, source first; null if the header names no addresses of TCP.
 */
export function readProxyHeader(
  bytes: Uint8Array,
  from: number,
  length: number,
  words: Int32Array,
): [source: number, destination: number] | null {
  if (bytes[from] === SIGNATURE[0]) {
    const kind = bytes[from + 12] === VERSION_COMMAND ? bytes[from + 13] : 0;
    if (kind !== TCP_OVER_IPV4 && kind !== TCP_OVER_IPV6) return null;
    const view = new DataView(bytes.buffer, bytes.byteOffset + from, length);
    const size = kind === TCP_OVER_IPV4 ? 4 : 16;
    for (const [at, which] of [
      [0, 0],
      [4, 1],
    ] as const) {
      mapWords(
        words,
        at,
        Uint8Array.from(bytes.subarray(from + FIXED + which * size, from + FIXED + which * size + size)),
      );
    }
    return [view.getUint16(FIXED + 2 * size), view.getUint16(FIXED + 2 * size + 2)];
  }
  const line = lineOf(bytes, from, length);
  if (!line?.[1]) return null;
  const read = line[1] === "4" ? ip4Bytes : ip6Bytes;
  const [source, destination] = [read(line[2]!), read(line[3]!)];
  const [sourcePort, destinationPort] = [Number(line[4]), Number(line[5])];
  if (!source || !destination || sourcePort > 65535 || destinationPort > 65535) return null;
  mapWords(words, 0, source);
  mapWords(words, 4, destination);
  return [sourcePort, destinationPort];
}

const OCTET = /^(?:0|[1-9][0-9]{0,2})$/;
const GROUP = /^[0-9a-fA-F]{1,4}$/;

/** The bytes of an IPv4 address as text; null if it is none. */
function ip4Bytes(text: string): Uint8Array | null {
  const octets = text.split(".");
  const isAddress = octets.length === 4 && octets.every((octet) => OCTET.test(octet) && Number(octet) < 256);
  return isAddress ? Uint8Array.from(octets, Number) : null;
}

/** The bytes of an IPv6 address as text (RFC 4291 section 2.2: the last two groups may be an IPv4 address); null if it is none. */
function ip6Bytes(text: string): Uint8Array | null {
  const tail = text.slice(text.lastIndexOf(":") + 1);
  if (tail.includes(".")) {
    const [a, b, c, d] = ip4Bytes(tail) ?? [];
    if (d === undefined) return null;
    const groups = [(a! << 8) | b!, (c! << 8) | d].map((group) => group.toString(16));
    text = text.slice(0, -tail.length) + groups.join(":");
  }
  const [left, right, ...more] = text.split("::").map((half) => (half === "" ? [] : half.split(":")));
  const known = left!.length + (right?.length ?? 0);
  if (more.length > 0 || (right ? known > 7 : known !== 8)) return null;
  const groups = [...left!, ...Array<string>(8 - known).fill("0"), ...(right ?? [])];
  if (!groups.every((group) => GROUP.test(group))) return null;
  return Uint8Array.from(
    groups.flatMap((group) => [Number.parseInt(group, 16) >>> 8, Number.parseInt(group, 16) & 255]),
  );
}

/** Four words of an address at `at`. */
function mapWords(words: Int32Array, at: number, address: Uint8Array): void {
  const view = new DataView(address.buffer);
  words.fill(0, at, at + 4);
  if (address.length === 4) words[at + 2] = 0xffff;
  for (let i = 0; i < address.length; i += 4) words[at + 4 - address.length / 4 + i / 4] = view.getInt32(i);
}

/** Whether the four words at `at` are an IPv4-mapped address. */
function isMapped(words: Int32Array, at: number): boolean {
  return words[at] === 0 && words[at + 1] === 0 && words[at + 2] === 0xffff;
}

function ipv4Text(word: number): string {
  return [24, 16, 8, 0].map((shift) => (word >>> shift) & 255).join(".");
}

function ipv6Text(words: ArrayLike<number>, at: number): string {
  return Array.from({ length: 8 }, (_, i) =>
    ((words[at + (i >> 1)]! >>> (i & 1 ? 0 : 16)) & 0xffff).toString(16),
  ).join(":");
}

/**
 * Writes the header for a connection from `words[source...]` to `words[destination...]` (four 32-bit words each, IPv4 as
 * IPv4-mapped IPv6) at the start of `into` and returns its bytes.
 */
export function writeProxyHeader(
  into: Uint8Array,
  version: 1 | 2,
  words: Int32Array,
  source: number,
  destination: number,
  sourcePort: number,
  destinationPort: number,
): number {
  // A header of IPv6 may name an IPv4-mapped address and one that is none: what is written then is IPv6 too.
  const isIpv4 = isMapped(words, source) && isMapped(words, destination);
  if (version === 1) {
    const text = isIpv4
      ? `PROXY TCP4 ${ipv4Text(words[source + 3]!)} ${ipv4Text(words[destination + 3]!)}`
      : `PROXY TCP6 ${ipv6Text(words, source)} ${ipv6Text(words, destination)}`;
    return new TextEncoder().encodeInto(`${text} ${sourcePort} ${destinationPort}\r\n`, into).written;
  }
  const view = new DataView(into.buffer, into.byteOffset);
  into.set(SIGNATURE);
  into[12] = VERSION_COMMAND;
  into[13] = isIpv4 ? TCP_OVER_IPV4 : TCP_OVER_IPV6;
  const count = isIpv4 ? 1 : 4;
  view.setUint16(14, count * 8 + 4);
  let at = 16;
  for (const address of [source, destination]) {
    for (let i = 4 - count; i < 4; i++, at += 4) view.setUint32(at, words[address + i]!);
  }
  view.setUint16(at, sourcePort);
  view.setUint16(at + 2, destinationPort);
  return at + 4;
}
