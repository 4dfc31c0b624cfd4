/**
 * Cuts a TCP packet above 64 KiB (BIG TCP: IPv4 with total length 0, IPv6 with payload length 0, with or without a jumbo payload
 * option, RFC 2675) into segments of the same bytes that ordinary IP packets hold.
 */
import { fold, sum, swap, type Words, wordsOf, writeChecksum } from "../wire/checksum.ts";
import { copyBytes } from "../wire/copy.ts";
import { IPPROTO_TCP } from "../wire/ip.ts";
import { Packet } from "../wire/packet.ts";
import { FIN, PSH, SYN, URG } from "../wire/tcp.ts";

/** Bytes of the largest part, with its headers: the most that the length field of IPv4 can say. */
export const MAX_PART = 65_535;

const IP6_HEADER = 40;
const HOP_BY_HOP = 0;
const OPTION_JUMBO = 0xc2;
/** Bytes of a hop-by-hop header with no other option than jumbo payload, as Linux makes it. */
const JUMBO_HEADER = 8;

export class Parts {
  readonly #part: Packet;
  readonly #words: Words;

  constructor() {
    this.#part = new Packet(new Uint8Array(new ArrayBuffer(MAX_PART + 1)));
    this.#words = wordsOf(this.#part.bytes);
  }

  /**
   * Passes `packet` to `take`, or where it is large its parts in order, until `take` returns false. All parts are the same
   * object in memory of ours, valid during the call. Each is a whole IP packet; its TCP checksum field has the folded
   * pseudo-header sum, as offloads leave it. FIN and PSH are those of the last part, SYN, URG and the think time of the first.
   */
  pass(packet: Packet, take: (part: Packet) => unknown): void {
    if (packet.payload - packet.ip + packet.length <= MAX_PART) take(packet);
    else this.#cut(packet, take);
  }

  #cut(packet: Packet, take: (part: Packet) => unknown): void {
    const part = this.#part;
    const { length, flags, seq } = packet;
    const header = this.#copyHeader(packet);
    const most = MAX_PART - header;
    part.time = packet.time;
    part.index = packet.index;
    part.ifindex = packet.ifindex;
    part.acksFar = packet.acksFar;
    // What was put together of several packets has no checksum of its own.
    part.isVerified = true;
    for (let offset = 0; offset < length; offset += most) {
      const size = Math.min(most, length - offset);
      const captured = Math.max(0, Math.min(size, packet.end - packet.payload - offset));
      if (captured > 0) copyBytes(packet.bytes, packet.payload + offset, captured, part.bytes, header);
      part.think = offset > 0 ? -1 : packet.think;
      part.length = size;
      part.end = packet.end < packet.payload ? Math.min(header, packet.end - packet.ip) : header + captured;
      const isLast = offset + size === length;
      part.bytes[part.tcp + 13] = flags & ~((offset > 0 ? SYN | URG : 0) | (isLast ? 0 : FIN | PSH));
      part.view.setUint32(part.tcp + 4, seq + offset + (offset > 0 && flags & SYN ? 1 : 0));
      this.#setLengths(header + size);
      if (take(part) === false) return;
    }
  }

  /** Copies the headers without the jumbo payload option, and sets the part's offsets; returns their bytes. */
  #copyHeader({ bytes, ip, tcp, payload }: Packet): number {
    const part = this.#part;
    const left = isJumboHeader(bytes, ip) ? JUMBO_HEADER : 0;
    if (left > 0) {
      copyBytes(bytes, ip, IP6_HEADER, part.bytes, 0);
      part.bytes[6] = bytes[ip + IP6_HEADER]!;
      copyBytes(bytes, ip + IP6_HEADER + left, payload - ip - IP6_HEADER - left, part.bytes, IP6_HEADER);
    } else copyBytes(bytes, ip, payload - ip, part.bytes, 0);
    part.tcp = tcp - ip - left;
    part.payload = payload - ip - left;
    return part.payload;
  }

  /** Writes the lengths of an IP packet of `length` bytes, and the sums that depend on them. */
  #setLengths(length: number): void {
    const { bytes, view, tcp } = this.#part;
    const isIp4 = bytes[0]! >> 4 === 4;
    if (isIp4) {
      view.setUint16(2, length);
      view.setUint16(10, 0);
      writeChecksum(bytes, 10, sum(this.#words, 0, (bytes[0]! & 0x0f) * 4));
    } else view.setUint16(4, length - IP6_HEADER);
    const addresses = isIp4 ? sum(this.#words, 12, 8) : sum(this.#words, 8, 32);
    writeChecksum(bytes, tcp + 16, ~fold(addresses + swap(IPPROTO_TCP) + swap(length - tcp)));
  }
}

function isJumboHeader(bytes: Uint8Array, ip: number): boolean {
  const at = ip + IP6_HEADER;
  if (bytes[ip]! >> 4 !== 6 || bytes[ip + 6] !== HOP_BY_HOP) return false;
  return bytes[at + 1] === 0 && bytes[at + 2] === OPTION_JUMBO && bytes[at + 3] === 4;
}
