/**
 * Whether production's TCP takes a segment of a client: the rules of RFC 9293 section 3.10.7.4, RFC 5961 and RFC 7323 as Linux has
 * them (net/ipv4/tcp_input.c, tcp_validate_incoming and tcp_ack). What it drops or challenges must change nothing here either.
 *
 * Only what clients send is captured, so production's side is known by halves: how far it has read is known where no packet was
 * lost by the capture, its window is not. Where it is not known, a segment counts as taken: a segment that is left out
 * wrongly costs a turn of a real client.
 */
import type { Packet } from "../../wire/packet.ts";
import { ACK, distance, FIN, parseOptions, parseTimestamps, RST, SYN } from "../../wire/tcp.ts";
import type { Context } from "../sessions/context.ts";
import type { InvalidReason } from "../sessions/counters.ts";
import { NEXT, SEGMENT } from "../sessions/segments.ts";
import {
  ACTIVE_AT,
  CLIENT_END,
  CLIENT_FIN,
  CLIENT_RST,
  CLIENT_TIMESTAMP,
  FLAGS,
  HANDSHAKEN,
  HAS_DATA,
  HAS_TIMESTAMP,
  HELD,
  LAST_ACK,
  MIDSTREAM,
  NONE,
  OFFER_SIGNED,
  OFFER_TIMESTAMPS,
  OFFERS,
  ROW,
  STREAM_END,
  SYN_AT,
  TIMES,
} from "../sessions/table.ts";
import { segmentEnd } from "./stream.ts";

/** Bytes, as in src/capture/history.ts. */
const FAR = 16 << 20;
/** How much older than the newest a timestamp may be: TCP_PAWS_WINDOW of Linux. */
const PAWS_WINDOW = 1;
/** us after which timestamps are no longer compared (RFC 7323 section 5.5: 24 days). */
const PAWS_SPAN = 24 * 86_400_000_000;
/** The window of a SYN is not scaled (RFC 7323 section 2.2), and so is production's as long as the handshake lasts. */
const FIRST_WINDOW = 65_535;

/** Why no connection takes a segment with these flags; null if one may. */
export function faultOfFlags(flags: number): InvalidReason | null {
  if (flags & SYN) return flags & (FIN | RST) ? "flags" : null;
  return flags & (ACK | RST) ? null : "flags";
}

/** Why production has not taken a segment (no SYN) of session `s`; null if it has, or may have. Then notes its timestamp. */
export function faultOf(c: Context, s: number, packet: Packet): InvalidReason | null {
  const w = c.words;
  const row = s * ROW;
  if (packet.flags & RST) return isExactReset(c, s, packet.seq | 0) ? null : "reset";
  if (packet.acksFar && isStrange(c, s, packet.ack)) return "acknowledgement";
  const offers = w[row + OFFERS]!;
  if (!parseTimestamps(packet, c.options)) parseOptions(packet, c.options);
  // tcp_inbound_hash: a socket with keys takes only what is signed, one without only what is not.
  const isSigned = (offers & OFFER_SIGNED) !== 0;
  if (c.options.isSigned !== isSigned && c.times[s * TIMES + SYN_AT]! > 0) return "signature";
  if (!c.options.hasTimestamps || !(offers & OFFER_TIMESTAMPS)) return null;
  const { tsval } = c.options;
  const newer = distance(tsval, w[row + CLIENT_TIMESTAMP]!);
  const isKnown = (offers & HAS_TIMESTAMP) !== 0;
  if (isKnown && newer < -PAWS_WINDOW && c.now - c.times[s * TIMES + ACTIVE_AT]! < PAWS_SPAN)
    return "timestamp";
  // RFC 7323 section 4.3: of segments in order only; a later one may have overtaken an earlier one.
  if (newer !== 0 && !(w[row + FLAGS]! & MIDSTREAM) && distance(packet.seq, w[row + STREAM_END]!) <= 0) {
    noteTimestamp(c, s, tsval);
  }
  return null;
}

/** Notes the timestamp of a client's SYN, or of a segment in order. */
export function noteTimestamp(c: Context, s: number, tsval: number): void {
  c.words[s * ROW + OFFERS]! |= HAS_TIMESTAMP;
  c.words[s * ROW + CLIENT_TIMESTAMP] = tsval | 0;
}

/**
 * Whether an acknowledgement number, which is far from that of the client's last pure ACK, is far from that of its last data
 * too. Of what production has sent no more is known: what is acknowledged ahead of it, but by less than windows reach, is taken.
 */
function isStrange(c: Context, s: number, ack: number): boolean {
  const row = s * ROW;
  const known = c.words[row + FLAGS]! & (HAS_DATA | HANDSHAKEN);
  if (known === 0 || known === (HAS_DATA | HANDSHAKEN)) return false;
  return Math.abs(distance(ack, c.words[row + LAST_ACK]!)) > FAR;
}

/**
 * Whether production takes a RST with this sequence number (RFC 5961 section 3.2): the next byte that it expects, which is behind a
 * gap if the capture has lost what is in it; or after a FIN, its number or the next (tcp_reset_check).
 */
function isExactReset(c: Context, s: number, seq: number): boolean {
  const w = c.words;
  const row = s * ROW;
  const flags = w[row + FLAGS]!;
  // Its repetitions are counted as such.
  if (flags & CLIENT_RST) return true;
  const ahead = distance(seq, w[row + STREAM_END]!);
  if (ahead === 0) return true;
  if (flags & CLIENT_FIN) {
    const behind = distance(seq, w[row + CLIENT_END]!);
    if (behind === 0 || behind === 1) return true;
  }
  // tcp_check_req: until the handshake has ended, anywhere in the window.
  if (!(flags & (HAS_DATA | HANDSHAKEN)) && ahead > 0 && ahead < FIRST_WINDOW) return true;
  let last = w[row + HELD]!;
  if (last === NONE) return false;
  const g = c.segments.words;
  for (let next = last; next !== NONE; next = g[next * SEGMENT + NEXT]!) last = next;
  return distance(seq, segmentEnd(c, last)) === 0;
}
