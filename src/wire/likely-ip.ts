/** Telling an IP header from other bytes, where no field says that there is one. */
import { fold } from "./checksum.ts";

/** Next headers that an IPv6 packet in a pseudowire or a guessed tunnel may have: extensions, transports, tunnels, ICMP. */
const IPV6_NEXT = [0, 4, 6, 17, 41, 43, 44, 47, 51, 58, 60];

/**
 * Whether the captured bytes at `at` look like an IP header: in IPv4 its checksum is right, in IPv6
 * its next header is one that is in use.
 */
export function isLikelyIp(view: DataView, at: number, end: number): boolean {
  if (at + 20 > end) return false;
  const first = view.getUint8(at);
  if (first >> 4 === 6) {
    return at + 40 <= end && view.getUint8(at + 7) > 0 && IPV6_NEXT.includes(view.getUint8(at + 6));
  }
  const header = (first & 0x0f) * 4;
  if (first >> 4 !== 4 || header < 20 || at + header > end) return false;
  return headerSum(view, at, header) === 0xffff;
}

/** Bytes of the likely IP packet at `at` by its header; 0 if it does not say. */
export function likelyLength(view: DataView, at: number): number {
  if (view.getUint8(at) >> 4 === 4) return view.getUint16(at + 2);
  const payload = view.getUint16(at + 4);
  return payload === 0 ? 0 : payload + 40;
}

function headerSum(view: DataView, at: number, bytes: number): number {
  let sum = 0;
  for (let i = 0; i < bytes; i += 2) sum += view.getUint16(at + i);
  return fold(sum);
}
