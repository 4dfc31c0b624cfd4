/** Writing UDP datagrams (RFC 768) into a batch: headers, checksums, IP fragments. */
import type { PacketBatch } from "./batch.ts";
import { fold, sum, type Words } from "./checksum.ts";
import { copyBytes } from "./copy.ts";
import { IPPROTO_TCP, type IpPair, ipHeaderLength } from "./ip.ts";
import type { Packet } from "./packet.ts";

export const IPPROTO_UDP = 17;
export const UDP_HEADER = 8;
/** Bytes of the IPv6 fragment header (RFC 8200 section 4.5). */
const FRAGMENT_HEADER = 8;
const IPPROTO_FRAGMENT = 44;
const MORE_FRAGMENTS = 0x2000;
const DONT_FRAGMENT = 0x4000;
const MAX_IP = 65535;
/** Bytes of a batch that each packet takes besides itself: HEADROOM, and the alignment to 8. */
const ROW_OVERHEAD = 40;

/** Whether a packet is UDP: its transport header is shorter than any TCP header. */
export function isDatagram({ tcp, payload }: Packet): boolean {
  return payload - tcp === UDP_HEADER;
}

/** The header fields of a datagram to be written; reused. */
export class DatagramHeader {
  sourcePort = 0;
  targetPort = 0;
  /** TTL or hop limit. */
  ttl = 64;
  /** Type of service or traffic class: DSCP and ECN. */
  trafficClass = 0;
  /** Whether it has a checksum; false counts for IPv4 only (RFC 768): over IPv6 it always has one. */
  hasChecksum = true;
  /** The don't-fragment flag of IPv4. */
  dontFragment = false;
  /** Identification: 16 bits in IPv4, 32 in IPv6. */
  id = 0;
}

/** The number of packets for a datagram of `length` payload bytes at an MTU of `mtu` bytes; 0 if it is too long for IP. */
export function packetsOf(family: 4 | 6, length: number, mtu: number): number {
  const header = ipHeaderLength(family);
  const size = UDP_HEADER + length;
  if (size > MAX_IP - (family === 4 ? header : 0)) return 0;
  return header + size <= mtu ? 1 : Math.ceil(size / pieceOf(family, mtu));
}

/** Bytes of the datagram in each fragment except the last. */
function pieceOf(family: 4 | 6, mtu: number): number {
  const header = ipHeaderLength(family) + (family === 4 ? 0 : FRAGMENT_HEADER);
  return Math.max(8, (mtu - header) & ~7);
}

/** Whether a batch has room for a datagram of `length` payload bytes in `packets` packets. */
export function hasRoomFor(batch: PacketBatch, length: number, packets: number): boolean {
  const bytes = length + packets * (ROW_OVERHEAD + 48 + UDP_HEADER);
  return batch.count + packets <= batch.offset.length && batch.next + bytes <= batch.bytes.length;
}

/**
 * Adds a datagram to a batch that has room for it, in fragments if it does not fit into `mtu` bytes. The payload is `length`
 * bytes of `from` at `at`. `words`: of the memory of the batch. All checksums are finished. `since`: when it became due, us;
 * only the last fragment gets it, so that the lag is counted once.
 */
export function pushDatagram(
  batch: PacketBatch,
  words: Words,
  pair: IpPair,
  header: DatagramHeader,
  from: Uint8Array,
  at: number,
  length: number,
  mtu: number,
  since: number,
): void {
  const { family } = pair;
  const { view, bytes } = batch;
  const size = UDP_HEADER + length;
  const isWhole = ipHeaderLength(family) + size <= mtu;
  const piece = isWhole ? size : pieceOf(family, mtu);
  const front = ipHeaderLength(family) + (isWhole || family === 4 ? 0 : FRAGMENT_HEADER);
  const udp = batch.next + front;
  let total = 0;
  for (let offset = 0; offset < size; offset += piece) {
    const ip = batch.next;
    const part = Math.min(piece, size - offset);
    const isLast = offset + part === size;
    const transport = ip + front;
    if (offset === 0) {
      writeUdpHeader(view, transport, pair, header, size);
      copyBytes(from, at, part - UDP_HEADER, bytes, transport + UDP_HEADER);
    } else {
      copyBytes(from, at + offset - UDP_HEADER, part, bytes, transport);
    }
    // All pieces except the last have an even length, so that their sums can be added.
    total = fold(total + sum(words, transport, part));
    writeIp(view, ip, pair, header, front - ipHeaderLength(family) + part, isWhole, offset, isLast);
    batch.push(front + part, 0, isLast ? since : 0);
  }
  finishChecksum(bytes, udp + 6, total, header.hasChecksum || family === 6);
}

/** Writes the UDP header, with the folded pseudo-header sum (RFC 768, RFC 8200 section 8.1) in the checksum field. */
function writeUdpHeader(
  view: DataView,
  at: number,
  pair: IpPair,
  header: DatagramHeader,
  length: number,
): void {
  view.setUint32(at, (header.sourcePort << 16) | header.targetPort);
  const pseudo = fold(pair.pseudoSum - IPPROTO_TCP + IPPROTO_UDP + length);
  view.setUint32(at + 4, (length << 16) | pseudo);
}

/** Writes the checksum. A checksum of 0 is sent as all ones, because 0 means that there is none (RFC 768). */
function finishChecksum(bytes: Uint8Array, at: number, total: number, isWanted: boolean): void {
  const checksum = isWanted ? ~total & 0xffff || 0xffff : 0;
  bytes[at] = checksum & 0xff;
  bytes[at + 1] = checksum >>> 8;
}

function writeIp(
  view: DataView,
  at: number,
  pair: IpPair,
  header: DatagramHeader,
  length: number,
  isWhole: boolean,
  offset: number,
  isLast: boolean,
): void {
  const { source, destination } = pair;
  const { ttl, trafficClass, id } = header;
  if (pair.family === 4) {
    const whole = isWhole && header.dontFragment ? DONT_FRAGMENT : 0;
    const fragment = isWhole ? whole : (offset >>> 3) | (isLast ? 0 : MORE_FRAGMENTS);
    const first = (0x45 << 8) | trafficClass;
    const third = (ttl << 8) | IPPROTO_UDP;
    const [from, to] = [source[0]!, destination[0]!];
    const sum = first + 20 + length + (id & 0xffff) + fragment + third + (from >>> 16) + (from & 0xffff);
    const checksum = ~fold(sum + (to >>> 16) + (to & 0xffff)) & 0xffff;
    view.setUint32(at, (first << 16) | (20 + length));
    view.setUint32(at + 4, ((id & 0xffff) << 16) | fragment);
    view.setUint32(at + 8, (third << 16) | checksum);
    view.setUint32(at + 12, from);
    view.setUint32(at + 16, to);
    return;
  }
  view.setUint32(at, (6 << 28) | (trafficClass << 20));
  view.setUint32(at + 4, (length << 16) | ((isWhole ? IPPROTO_UDP : IPPROTO_FRAGMENT) << 8) | ttl);
  for (let i = 0; i < 4; i++) {
    view.setUint32(at + 8 + i * 4, source[i]!);
    view.setUint32(at + 24 + i * 4, destination[i]!);
  }
  if (isWhole) return;
  view.setUint32(at + 40, (IPPROTO_UDP << 24) | offset | (isLast ? 0 : 1));
  view.setUint32(at + 44, id);
}
