/** How much is captured, and sent on, of the payload of what servers send: the rules of bpf/record/prefix.h. */
import type { Packet } from "./packet.ts";

/** What is captured of each segment, or of each datagram. */
export interface Prefix {
  /** Bytes of payload at most; Infinity: all. */
  bytes: number;
  /** Whether of a segment that begins with a head of HTTP/1.x HEAD_BYTES are captured, if that is more. */
  takesHeads: boolean;
}

/** Heads have some hundred bytes, and seldom more than this; answers to pipelined requests may stand in one segment. */
export const HEAD_BYTES = 4096;
/** Of a datagram: what DNS answers have at most, with EDNS (RFC 6891, section 6.2.5). */
export const DATAGRAM_BYTES = 4096;
export const WHOLE: Prefix = { bytes: Infinity, takesHeads: false };

/** Most bytes of headers in front of a prefix: IP with some options or extension headers, and the largest TCP header. */
export const PREFIX_HEADERS = 256;

const WHOLE_PAYLOAD = 0x7fffffff;
const TAKES_HEADS = 0x80000000;

/** As the kernel programs and the channel have it. */
export function prefixWord({ bytes, takesHeads }: Prefix): number {
  return Math.min(bytes, WHOLE_PAYLOAD) + (takesHeads ? TAKES_HEADS : 0);
}

/** The prefix of such a word. */
export function prefixOf(word: number): Prefix {
  const bytes = word & WHOLE_PAYLOAD;
  return { bytes: bytes === WHOLE_PAYLOAD ? Infinity : bytes, takesHeads: word >= TAKES_HEADS };
}

/** What is enough for both. */
export function widerPrefix(one: Prefix, other: Prefix | undefined): Prefix {
  if (other === undefined) return one;
  return {
    bytes: Math.max(one.bytes, other.bytes),
    takesHeads: one.takesHeads || other.takesHeads,
  };
}

/** Most bytes of payload that a prefix has. */
export function mostOf({ bytes, takesHeads }: Prefix): number {
  return takesHeads ? Math.max(bytes, HEAD_BYTES) : bytes;
}

/** Where the prefix of a packet's payload ends: never behind `packet.end`. */
export function endOfPrefix(packet: Packet, { bytes, takesHeads }: Prefix): number {
  const { payload, end } = packet;
  if (end - payload <= bytes) return end;
  const most = takesHeads && bytes < HEAD_BYTES && beginsWithHead(packet) ? HEAD_BYTES : bytes;
  return Math.min(end, payload + most);
}

/** Whether the payload begins with "HTTP/1.", and is longer. */
function beginsWithHead({ view, payload, end }: Packet): boolean {
  return (
    end - payload >= 8 &&
    view.getUint32(payload) === 0x48545450 &&
    view.getUint32(payload + 4) >>> 8 === 0x2f312e
  );
}
