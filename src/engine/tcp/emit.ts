/** Writing segments of a session into the batch of its egress. */
import { MAX_PACKET } from "../../wire/batch.ts";
import { ipHeaderLength, pseudoChecksum, setSource, writeIpHeader } from "../../wire/ip.ts";
import {
  ACK,
  distance,
  RST,
  SYN,
  sackLength,
  TIMESTAMPS_LENGTH,
  writeCookie,
  writeSackHead,
  writeSynOptions,
  writeTimestamps,
} from "../../wire/tcp.ts";
import type { Context } from "../sessions/context.ts";
import {
  ACK_AT,
  ACK_NOW,
  CLIENT_ADDRESS,
  FIN_SENT,
  FLAGS,
  LAST_INTERVAL,
  MSS,
  NONE,
  OFFER_MSS,
  OFFER_SACK,
  OFFER_TIMESTAMPS,
  OFFER_WSCALE,
  OFFERS,
  OUT_OF_ORDER,
  OUT_OF_ORDER_COUNT,
  PATH,
  PORT,
  RCV_ACKED,
  RCV_NXT,
  ROW,
  SACK,
  SND_MAX,
  SND_UNA,
  SND_WND,
  SND_WSCALE,
  TIMES,
  TIMESTAMPS,
  TS_RECENT,
} from "../sessions/table.ts";

/** The window field of every segment, unscaled; always the largest, because the target's data is not kept. */
const WINDOW = 65535;

/** Most payload bytes of one row: what is left after the IPv6 header (40) and the longest TCP header (60). */
export const MAX_PAYLOAD = MAX_PACKET - 40 - 60;

/** The value of our timestamps, ms: it grows across restarts of xcopy, as a target in TIME_WAIT expects of a port used again. */
export function timestamp(now: number): number {
  return Math.floor(now / 1000) | 0;
}

/** Most payload bytes of one segment: what the handshake allows, or less if the path MTU has become smaller since. */
export function segmentSize(c: Context, s: number): number {
  const w = c.words;
  const row = s * ROW;
  const { mtu, pair } = c.paths[w[row + PATH]!]!;
  const options = w[row + FLAGS]! & TIMESTAMPS ? TIMESTAMPS_LENGTH : 0;
  return Math.min(w[row + MSS]!, mtu - ipHeaderLength(pair.family) - 20 - options);
}

/** Whether the batch of the session's egress has room for a packet, and its path is not held. */
export function hasRoom(c: Context, s: number): boolean {
  const path = c.words[s * ROW + PATH]!;
  return !c.held[path] && c.batches[c.paths[path]!.egress]!.hasRoom;
}

/**
 * Writes a segment; the caller has checked `hasRoom`. The payload: `length` bytes of the kept `segment`, from its offset
 * `from` on. If `length` exceeds `mss`, the row is marked to be cut into segments of `mss` payload bytes. `due`: when it
 * was due (us), 0 if it is not the first transmission of captured bytes.
 */
export function emit(
  c: Context,
  s: number,
  flags: number,
  seq: number,
  segment: number,
  from: number,
  length: number,
  mss: number,
  due: number,
): void {
  const row = s * ROW;
  const w = c.words;
  const path = c.paths[w[row + PATH]!]!;
  const batch = c.batches[path.egress]!;
  const { view } = batch;
  const at = batch.next;
  const tcp = at + ipHeaderLength(path.pair.family);
  const sessionFlags = w[row + FLAGS]!;
  if (path.fromClient) setSource(path.pair, w, row + CLIENT_ADDRESS);

  let options = tcp + 20;
  if (flags & SYN) {
    options += writeSynOptions(
      view,
      options,
      w[row + OFFER_MSS]!,
      (w[row + OFFERS]! & OFFER_SACK) !== 0,
      (w[row + OFFERS]! & OFFER_TIMESTAMPS) !== 0,
      timestamp(c.now),
      w[row + OFFER_WSCALE]!,
    );
    if (c.cookie !== null) options += writeCookie(view, options, c.cookie);
  } else if (!(flags & RST)) {
    if (sessionFlags & TIMESTAMPS) {
      writeTimestamps(view, options, timestamp(c.now), w[row + TS_RECENT]!);
      options += TIMESTAMPS_LENGTH;
    }
    if (length === 0 && sessionFlags & SACK && w[row + OUT_OF_ORDER_COUNT]! > 0) {
      options += writeSack(c, s, view, options);
    }
  }

  const ackNumber = flags & ACK ? w[row + RCV_NXT]! : 0;
  view.setUint32(tcp, (w[row + PORT]! << 16) | path.targetPort);
  view.setUint32(tcp + 4, seq);
  view.setUint32(tcp + 8, ackNumber);
  view.setUint32(tcp + 12, ((options - tcp) << 26) | (flags << 16) | WINDOW);
  if (length > 0) c.segments.read(segment, from, length, batch.bytes, options);
  const tcpLength = options - tcp + length;
  view.setUint32(tcp + 16, pseudoChecksum(path.pair, tcpLength) << 16);
  writeIpHeader(view, at, path.pair, tcpLength, c.packetId & 0xffff);
  const segments = length > mss ? Math.ceil(length / mss) : 1;
  c.packetId += segments;
  batch.push(tcp - at + tcpLength, segments > 1 ? mss : 0, due);

  if (flags & ACK) {
    w[row + RCV_ACKED] = ackNumber;
    w[row + FLAGS] = sessionFlags & ~ACK_NOW;
    c.times[s * TIMES + ACK_AT] = 0;
  }
}

/**
 * Writes a segment without data, an ACK or RST; the caller has checked `hasRoom`. Its sequence number is SND_MAX, or the
 * right edge of the window if the window has shrunk: the target accepts no other (Linux's tcp_acceptable_seq).
 */
export function emitControl(c: Context, s: number, flags: number): void {
  const w = c.words;
  const row = s * ROW;
  const window = w[row + SND_WND]!;
  const edge = (w[row + SND_UNA]! + window) | 0;
  // A smaller difference comes from the rounding of a scaled window.
  const shrunk = window > 0 ? 1 << w[row + SND_WSCALE]! : 1;
  const seq = distance(w[row + SND_MAX]!, edge) >= shrunk ? edge : w[row + SND_MAX]!;
  emit(c, s, flags, seq, NONE, 0, 0, 1, 0);
}

/** The sequence number after the last byte that was ever sent: that of our FIN, if it was sent. */
export function dataEnd(c: Context, s: number): number {
  const row = s * ROW;
  return c.words[row + FLAGS]! & FIN_SENT ? (c.words[row + SND_MAX]! - 1) | 0 : c.words[row + SND_MAX]!;
}

/** Writes the SACK option and returns its bytes. The interval that grew last comes first (RFC 2018 section 4). */
function writeSack(c: Context, s: number, view: DataView, at: number): number {
  const row = s * ROW;
  const w = c.words;
  const count = w[row + OUT_OF_ORDER_COUNT]!;
  const last = w[row + LAST_INTERVAL]!;
  const blocks = Math.min(count, w[row + FLAGS]! & TIMESTAMPS ? 3 : 4);
  writeSackHead(view, at, blocks);
  for (let block = 0, next = 0; block < blocks; block++) {
    if (block > 0 && next === last) next++;
    const interval = row + OUT_OF_ORDER + 2 * (block === 0 ? last : next++);
    view.setUint32(at + 4 + block * 8, w[interval]!);
    view.setUint32(at + 8 + block * 8, w[interval + 1]!);
  }
  return sackLength(blocks);
}

/**
 * Sends a RST from `port` on a path, if its egress has room and it is not held. `address` has the client's address at `at`
 * (four words), which is the source on a path that sends from the clients' addresses.
 */
export function emitReset(
  c: Context,
  pathIndex: number,
  address: Int32Array,
  at: number,
  port: number,
  seq: number,
  ackNumber: number,
  flags: number,
): void {
  const path = c.paths[pathIndex]!;
  const batch = c.batches[path.egress];
  if (batch === undefined || !batch.hasRoom || c.held[pathIndex]) return;
  if (path.fromClient) setSource(path.pair, address, at);
  const { view } = batch;
  const start = batch.next;
  const tcp = start + ipHeaderLength(path.pair.family);
  view.setUint32(tcp, (port << 16) | path.targetPort);
  view.setUint32(tcp + 4, seq);
  view.setUint32(tcp + 8, ackNumber);
  view.setUint32(tcp + 12, (20 << 26) | (flags << 16));
  view.setUint32(tcp + 16, pseudoChecksum(path.pair, 20) << 16);
  writeIpHeader(view, start, path.pair, 20, c.packetId++ & 0xffff);
  batch.push(tcp - start + 20, 0, 0);
}
