/** Segments a large TCP packet into ones that fit the MTU, as the kernel's tcp_gso_segment does. */
import { fold, sum, type Words, writeChecksum } from "../wire/checksum.ts";
import { FIN, PSH } from "../wire/tcp.ts";

const CWR = 0x80;

/**
 * Writes the headers of one segment of the packet at `ip` in `from` (`length` bytes) to `at` in `to` (an even offset). Each
 * segment has its own lengths, IPv4 identification (one more for each), sequence number and checksums; only the last one has
 * FIN and PSH, only the first CWR. The segment has `payload` bytes from `start` of the packet's payload, and is number
 * `index`, from 0. Returns the bytes of the headers.
 */
export function writeSegmentHeaders(
  from: Words,
  ip: number,
  length: number,
  start: number,
  payload: number,
  index: number,
  to: Words,
  at: number,
): number {
  const source = from.bytes;
  const { bytes } = to;
  const isIpv4 = source[ip]! >> 4 === 4;
  const ipLength = isIpv4 ? (source[ip]! & 15) * 4 : 40;
  const headers = ipLength + (source[ip + ipLength + 12]! >> 4) * 4;
  for (let i = 0; i < headers; i++) bytes[at + i] = source[ip + i]!;

  if (isIpv4) {
    writeU16(bytes, at + 2, headers + payload);
    writeU16(bytes, at + 4, readU16(bytes, at + 4) + index);
    writeU16(bytes, at + 10, 0);
    writeChecksum(bytes, at + 10, sum(to, at, ipLength));
  } else {
    writeU16(bytes, at + 4, headers - 40 + payload);
  }

  const tcp = at + ipLength;
  const seq = readU16(bytes, tcp + 4) * 65536 + readU16(bytes, tcp + 6) + start;
  writeU16(bytes, tcp + 4, seq / 65536);
  writeU16(bytes, tcp + 6, seq);
  const isLast = headers + start + payload === length;
  if (!isLast) bytes[tcp + 13]! &= ~(FIN | PSH);
  if (index > 0) bytes[tcp + 13]! &= ~CWR;
  // The field has the sum of the pseudo-header with the length of the whole packet: replace that by the segment's.
  const whole = length - ipLength;
  const own = headers - ipLength + payload;
  writeU16(bytes, tcp + 16, fold(readU16(bytes, tcp + 16) + (~whole & 0xffff) + own));
  writeChecksum(
    bytes,
    tcp + 16,
    fold(sum(to, tcp, headers - ipLength) + sum(from, ip + headers + start, payload)),
  );
  return headers;
}

function readU16(bytes: Uint8Array, at: number): number {
  return (bytes[at]! << 8) | bytes[at + 1]!;
}

function writeU16(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 8;
  bytes[at + 1] = value;
}
