/** Addresses as four 32-bit words, as flow tables keep them; IPv4 as IPv4-mapped IPv6 (RFC 4291 section 2.5.5.2). */
import type { Packet } from "./packet.ts";

export const SOURCE = 0;
export const DESTINATION = 1;
/** Third word of an IPv4-mapped IPv6 address. */
export const MAPPED = 0xffff;

/** Writes the source or destination address of the packet's IP header into `into` at `at`. */
export function readAddress(packet: Packet, which: 0 | 1, into: Int32Array, at: number): void {
  const { view, ip } = packet;
  if (packet.family === 4) {
    into[at] = 0;
    into[at + 1] = 0;
    into[at + 2] = MAPPED;
    into[at + 3] = view.getInt32(ip + 12 + 4 * which);
  } else {
    for (let i = 0; i < 4; i++) into[at + i] = view.getInt32(ip + 8 + 16 * which + 4 * i);
  }
}

/** The same for an address of 4 or 16 bytes. */
export function mapAddress(address: Uint8Array, into: Int32Array, at: number): void {
  const view = new DataView(address.buffer, address.byteOffset, address.length);
  into.set([0, 0, MAPPED, 0], at);
  for (let i = 0; i < address.length; i += 4) {
    into[at + 4 - address.length / 4 + i / 4] = view.getInt32(i);
  }
}

/** The 4 or 16 bytes, in network order, of the address at `at`. */
export function addressBytes(words: Int32Array, at: number): Uint8Array {
  const isV4 = words[at] === 0 && words[at + 1] === 0 && words[at + 2] === MAPPED;
  const view = new DataView(new ArrayBuffer(isV4 ? 4 : 16));
  const first = isV4 ? at + 3 : at;
  for (let i = 0; i < view.byteLength; i += 4) view.setInt32(i, words[first + i / 4]!);
  return new Uint8Array(view.buffer);
}
