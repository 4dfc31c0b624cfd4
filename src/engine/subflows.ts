/**
 * Connections of Multipath TCP (RFC 8684). As long as one has a single subflow it is copied as TCP is; ours never has another, as its
 * SYN does not offer MP_CAPABLE. Its subflows are not put together: one that joins a connection opens nothing, and where data of
 * the connection went over another subflow the copy ends. What follows on such a flow is left out ("aside").
 *
 * A subflow whose SYN was not captured cannot be told from a connection picked up midway: it is copied until its mapping shows
 * that data took another way.
 */

import type { Packet } from "../wire/packet.ts";
import { distance, FIN, parseOptions, RST } from "../wire/tcp.ts";
import { openSession, supersede, takeEnd } from "./session-lifecycle.ts";
import { ASIDE, type Context, MAPPED, MULTIPATH } from "./sessions/context.ts";
import { COUNTER } from "./sessions/counters.ts";
import { mappingShift } from "./sessions/mptcp.ts";
import {
  CLIENT_END,
  CLIENT_FIN,
  CLIENT_ISN,
  CLIENT_RST,
  COPY,
  FLAGS,
  FREE,
  NONE,
  ROW,
  STATE,
  STREAM_END,
} from "./sessions/table.ts";
import { ignoreTurn } from "./turns/stream.ts";

/** Whether the session in `flowKey` is of the first copy: what is true of the client's packet is counted once. */
export function isFirstCopy(c: Context, { index }: Packet): boolean {
  return c.flowKey[COPY] === c.copies[index]![0];
}

/** Opens a session for the joined subflow in `flowKey`, of which nothing is copied. `packet`: what follows its SYN. */
export function openJoined(c: Context, packet: Packet, isn: number): void {
  if (isFirstCopy(c, packet)) c.counters[COUNTER["mptcp.joined"]]!++;
  openAside(c, packet, isn);
}

/** Opens a session for the flow in `flowKey` that has no connection to a target; `isn`: the number before its first byte. */
function openAside(c: Context, packet: Packet, isn: number): number {
  const s = openSession(c, packet, 0);
  if (s === NONE) return NONE;
  c.counters[COUNTER.opened]!++;
  c.subflows[s] = ASIDE;
  c.words[s * ROW + CLIENT_ISN] = isn | 0;
  c.words[s * ROW + STREAM_END] = (isn + 1) | 0;
  return s;
}

/** Notes of a session whose SYN was not captured whether it is of Multipath TCP. `packet`: its first. */
export function noteMultipath(c: Context, s: number, packet: Packet): void {
  parseOptions(packet, c.options);
  if (c.options.multipath > 0) c.subflows[s] = MULTIPATH;
}

/**
 * Takes a packet of session `s`, which is of Multipath TCP, if it is not to be copied: the session is aside, or ends here because
 * data before this packet's went over another subflow. False: the caller takes it.
 */
export function takeAside(c: Context, s: number, packet: Packet): boolean {
  let aside = s;
  if (c.subflows[s] !== ASIDE) {
    if (packet.length === 0 || !hasHole(c, s, packet)) return false;
    if (isFirstCopy(c, packet)) c.counters[COUNTER["mptcp.incomplete"]]!++;
    takeEnd(c, s, packet, CLIENT_RST);
    if (c.words[s * ROW + STATE] !== FREE) supersede(c, s);
    aside = openAside(c, packet, packet.seq - 1);
  }
  if (aside !== NONE) leaveOut(c, aside, packet);
  return true;
}

/** Whether a packet's mapping differs from those before: bytes of the connection went over another subflow. */
function hasHole(c: Context, s: number, packet: Packet): boolean {
  parseOptions(packet, c.options);
  const at = c.options.multipath;
  const shift = at === 0 ? NaN : mappingShift(packet, at, c.config.sha256);
  if (Number.isNaN(shift)) return false;
  if (c.subflows[s] === MAPPED) return c.mappingShifts[s] !== shift;
  c.subflows[s] = MAPPED;
  c.mappingShifts[s] = shift;
  return false;
}

/** Counts what a packet carries and keeps nothing. After a FIN the session is kept for a while, as there may be retransmissions. */
function leaveOut(c: Context, s: number, packet: Packet): void {
  const w = c.words;
  const row = s * ROW;
  const { flags } = packet;
  if (packet.length > 0 && !(flags & RST)) {
    const end = (packet.seq + packet.length) | 0;
    if (distance(end, w[row + STREAM_END]!) > 0) {
      ignoreTurn(c, s, packet.ack, 0, "mptcp");
      w[row + STREAM_END] = end;
    } else {
      c.counters[COUNTER.repeated]!++;
    }
  }
  if (flags & (FIN | RST)) {
    w[row + FLAGS]! |= CLIENT_FIN;
    w[row + CLIENT_END] = w[row + STREAM_END]!;
  }
}
