/**
 * How long production and the target take for an answer.
 *
 * Production's answers are not captured. When it sent one is in the client's next request, which echoes the timestamp of
 * production's last packet (RFC 7323 section 4.3), in ms of production's clock (Linux's tcp_time_stamp). That clock is compared with
 * ours by the handshake, which the kernel answers at once, or else by the fastest answer seen.
 */
import type { Packet } from "../../wire/packet.ts";
import { distance, parseOptions } from "../../wire/tcp.ts";
import type { Context } from "../sessions/context.ts";
import {
  FLAGS,
  HANDSHAKEN,
  HAS_DATA,
  LAST_ACK,
  LAST_DATA_AT,
  MIDSTREAM,
  PRODUCTION_CLOCK,
  RESPONSE_AT,
  ROW,
  SENT_AT,
  STREAM_END,
  SYN_AT,
  TIMES,
  TURN_ANSWERED,
} from "../sessions/table.ts";

/** Takes a captured packet with data, before the stream takes it: if it begins a turn, it tells when production had answered. */
export function timeProduction(c: Context, s: number, packet: Packet): void {
  const times = c.config.answerTimes;
  const w = c.words;
  const row = s * ROW;
  const flags = w[row + FLAGS]!;
  if (times === undefined || flags & MIDSTREAM || (packet.seq | 0) !== w[row + STREAM_END]) return;
  const before = c.times[s * TIMES + LAST_DATA_AT]!;
  c.times[s * TIMES + LAST_DATA_AT] = packet.time;
  if (!(flags & HAS_DATA)) {
    timeHandshake(c, s, packet);
    return;
  }
  if (before === 0 || flags & HANDSHAKEN || (packet.ack | 0) === w[row + LAST_ACK]) return;
  parseOptions(packet, c.options);
  if (!c.options.hasTimestamps) return;
  const { tsecr } = c.options;
  const asked = milliseconds(before);
  const known = w[row + PRODUCTION_CLOCK]!;
  const atOnce = distance(asked, tsecr);
  if (known === 0 || distance(atOnce, known) > 0) w[row + PRODUCTION_CLOCK] = atOnce;
  // No finer than that clock.
  const took = 1000 * Math.max(1, distance(tsecr + w[row + PRODUCTION_CLOCK]!, asked));
  // More cannot be: the client has had the answer. The clock is another one than we take it for.
  if (known !== 0 && took <= packet.time - before) times.production(took);
}

/** Takes the client's first packet after its SYN: it echoes the timestamp of production's SYN-ACK. */
export function timeHandshake(c: Context, s: number, packet: Packet): void {
  const at = s * ROW + PRODUCTION_CLOCK;
  const began = c.times[s * TIMES + SYN_AT]!;
  if (c.config.answerTimes === undefined || began === 0 || c.words[at] !== 0) return;
  parseOptions(packet, c.options);
  if (c.options.hasTimestamps) c.words[at] = distance(milliseconds(began), c.options.tsecr);
}

function milliseconds(us: number): number {
  return Math.floor(us / 1000) | 0;
}

/** The open turn is settled: if it was answered, the last packet of the target is the end of the answer. */
export function timeTarget(c: Context, s: number): void {
  const at = s * TIMES + SENT_AT;
  const sent = c.times[at]!;
  if (sent === 0 || !(c.words[s * ROW + FLAGS]! & TURN_ANSWERED)) return;
  c.times[at] = 0;
  c.config.answerTimes?.target(Math.max(0, c.times[s * TIMES + RESPONSE_AT]! - sent));
}
