/** TCP segments made by hand, for senders that are no TCP. */
import { finishTcpChecksum, fold, sum, wordsOf } from "../../src/wire/checksum.ts";

export interface Segment {
  /** 4 or 16 bytes. */
  source: Uint8Array;
  destination: Uint8Array;
  sourcePort: number;
  destinationPort: number;
  seq: number;
  ack: number;
  flags: number;
  /** 8 bytes of an option that tells an intercept whose flow it is. */
  cookie?: Uint8Array | null;
  payload?: Uint8Array;
}

/** The experimental option (RFC 6994) that carries a cookie. */
const COOKIE_OPTION = [253, 12, 0x78, 0x63];

/** The whole IP packet, for a raw socket. */
export function makeSegment(segment: Segment): Uint8Array {
  const { source, destination, cookie = null, payload = new Uint8Array(0) } = segment;
  const isIp4 = source.length === 4;
  const ip = isIp4 ? 20 : 40;
  const tcp = 20 + (cookie ? 12 : 0);
  const length = tcp + payload.length;
  const bytes = new Uint8Array(new ArrayBuffer(ip + length));
  const view = new DataView(bytes.buffer);
  if (isIp4) {
    bytes[0] = 0x45;
    view.setUint16(2, ip + length);
    bytes[8] = 64;
    bytes[9] = 6;
    bytes.set(source, 12);
    bytes.set(destination, 16);
    view.setUint16(6, 0x4000);
  } else {
    bytes[0] = 0x60;
    view.setUint16(4, length);
    bytes[6] = 6;
    bytes[7] = 64;
    bytes.set(source, 8);
    bytes.set(destination, 24);
  }
  view.setUint16(ip, segment.sourcePort);
  view.setUint16(ip + 2, segment.destinationPort);
  view.setUint32(ip + 4, segment.seq);
  view.setUint32(ip + 8, segment.ack);
  bytes[ip + 12] = (tcp / 4) << 4;
  bytes[ip + 13] = segment.flags;
  view.setUint16(ip + 14, 65535);
  if (cookie) {
    bytes.set(COOKIE_OPTION, ip + 20);
    bytes.set(cookie, ip + 24);
  }
  bytes.set(payload, ip + tcp);
  const words = wordsOf(bytes);
  const pseudo = new Uint8Array(new ArrayBuffer(4));
  pseudo[1] = 6;
  new DataView(pseudo.buffer).setUint16(2, length);
  const addresses = sum(words, isIp4 ? 12 : 8, source.length * 2);
  const start = fold(addresses + sum(wordsOf(pseudo), 0, 4));
  bytes[ip + 16] = start & 0xff;
  bytes[ip + 17] = start >>> 8;
  finishTcpChecksum(words, ip, length);
  return bytes;
}
