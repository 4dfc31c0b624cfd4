/**
 * The PROXY protocol header with which a client's stream may begin, as a load balancer sends it. It belongs to the connection and is no
 * request: it is taken out of the stream, kept, and opens each connection of the session to the target (prefix.ts).
 */

import { MOST_READ, proxyHeaderLength } from "../../wire/proxy-protocol.ts";
import type { Context } from "../sessions/context.ts";
import { ACK_NUMBER, LENGTH, MARKS, PREFIX, PUSH, SEGMENT, SEQ, THINK } from "../sessions/segments.ts";
import {
  CLIENT_ISN,
  FLAGS,
  HANDSHAKEN,
  HAS_DATA,
  LAST_ACK,
  NONE,
  QUEUED,
  ROW,
  STREAM_END,
} from "../sessions/table.ts";
import { append, heardBetween, segmentEnd } from "./stream.ts";
import { hasCome } from "./turns.ts";

/** us for which the rest of a header is waited for: what may be its beginning may also be a request. */
const REST = 100_000;
const CR = 0x0d;
const P = 0x50;

const scratch = new Uint8Array(MOST_READ);

/** Takes a segment that is next in order: of the client's PROXY protocol header, or else of its stream (see `append`). */
export function takeInOrder(c: Context, s: number, segment: number): void {
  if (c.words[s * ROW + FLAGS]! & HAS_DATA || !takeHeader(c, s, segment)) append(c, s, segment);
}

/** Whether the session has a whole header. */
export function hasProxyHeader(c: Context, s: number): boolean {
  const kept = c.proxyHeaders[s]!;
  return kept !== NONE && (c.segments.words[kept * SEGMENT + MARKS]! & PREFIX) !== 0;
}

/** Takes a segment if the header may end in it or after it; what follows the header in it is left. False: the caller takes it. */
function takeHeader(c: Context, s: number, segment: number): boolean {
  const w = c.words;
  const row = s * ROW;
  const g = c.segments.words;
  const at = segment * SEGMENT;
  const begun = c.proxyHeaders[s]!;
  if (begun === NONE) {
    const first = c.segments.memory(segment)[c.segments.offset(segment)];
    if ((first !== P && first !== CR) || g[at + SEQ] !== ((w[row + CLIENT_ISN]! + 1) | 0)) return false;
  } else if (hasProxyHeader(c, s)) {
    return false;
  }
  const before = begun === NONE ? 0 : g[begun * SEGMENT + LENGTH]!;
  const length = g[at + LENGTH]!;
  // The server had answered: what was begun is no header.
  const isAnswered = begun !== NONE && heardBetween(c, begun, segment);
  if (begun !== NONE) c.segments.read(begun, 0, before, scratch, 0);
  const read = Math.min(length, MOST_READ - before);
  c.segments.read(segment, 0, read, scratch, before);
  const end = isAnswered ? -1 : proxyHeaderLength(scratch, 0, before + read);
  const kept = end < 0 ? NONE : keep(c, s, segment, end || before + length, end > 0);
  if (kept === NONE) {
    endHeader(c, s);
    return false;
  }
  if (begun !== NONE) c.segments.release(begun);
  c.proxyHeaders[s] = kept;
  if (end > 0) {
    w[row + QUEUED]! -= end;
    noteHandshake(c, s, g[kept * SEGMENT + ACK_NUMBER]!);
    if (end < before + length) {
      if (end > before) c.segments.trimFront(segment, end - before);
      return false;
    }
  }
  w[row + STREAM_END] = segmentEnd(c, segment);
  c.segments.release(segment);
  c.makeReady(s);
  return true;
}

/** Stores the first `length` bytes of the scratch; NONE if there is no memory. */
function keep(c: Context, s: number, segment: number, length: number, isWhole: boolean): number {
  const g = c.segments.words;
  const marks = PUSH | (isWhole ? PREFIX : 0);
  const kept = c.segments.store(scratch, 0, length, (c.words[s * ROW + CLIENT_ISN]! + 1) | 0, marks);
  if (kept === NONE) return NONE;
  const begun = c.proxyHeaders[s]!;
  const first = begun === NONE ? segment : begun;
  for (const field of [ACK_NUMBER, THINK]) g[kept * SEGMENT + field] = g[first * SEGMENT + field]!;
  c.segments.times[kept] = c.segments.times[first]!;
  return kept;
}

/** The header tells the acknowledgement number of the handshake, if that was not captured; 0: it came with the SYN. */
function noteHandshake(c: Context, s: number, ack: number): void {
  const row = s * ROW;
  if (ack === 0 || c.words[row + FLAGS]! & (HAS_DATA | HANDSHAKEN)) return;
  c.words[row + LAST_ACK] = ack;
  c.words[row + FLAGS]! |= HANDSHAKEN;
}

/** The rest of a header that was begun is not waited for any more: it is taken for the beginning of the client's stream. */
export function endHeader(c: Context, s: number): void {
  const begun = c.proxyHeaders[s]!;
  if (begun === NONE || hasProxyHeader(c, s)) return;
  c.proxyHeaders[s] = NONE;
  append(c, s, begun);
}

/** Ends the wait for the rest of a header if its time has come; else sets TURN_AT. */
export function awaitHeader(c: Context, s: number): void {
  const begun = c.proxyHeaders[s]!;
  if (begun === NONE || hasProxyHeader(c, s)) return;
  if (hasCome(c, s, c.segments.times[begun]! + REST)) endHeader(c, s);
}

/** The session is over, and has no header that is not whole. */
export function releaseHeader(c: Context, s: number): void {
  const kept = c.proxyHeaders[s]!;
  if (kept !== NONE) c.segments.release(kept);
  c.proxyHeaders[s] = NONE;
}

/** Gives the header of session `s` to the row `to` too; false if there is no memory. */
export function shareHeader(c: Context, s: number, to: number): boolean {
  if (!hasProxyHeader(c, s)) return true;
  const kept = c.proxyHeaders[s]!;
  const length = c.segments.words[kept * SEGMENT + LENGTH]!;
  c.segments.read(kept, 0, length, scratch, 0);
  const copy = c.segments.store(scratch, 0, length, 0, PREFIX | PUSH);
  c.proxyHeaders[to] = copy;
  return copy !== NONE;
}
