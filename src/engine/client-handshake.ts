/**
 * How a client's connection begins. A SYN alone is not believed: its source may be forged, or production may refuse it. A session
 * begins with what a client sends only once production has answered: the ACK of the handshake, or data.
 */
import type { Packet } from "../wire/packet.ts";
import { ACK, distance, FIN, RST, SYN } from "../wire/tcp.ts";
import { openSession, supersede, takeData } from "./session-lifecycle.ts";
import { type Context, MULTIPATH } from "./sessions/context.ts";
import { COUNTER } from "./sessions/counters.ts";
import {
  CLIENT_ISN,
  COPY,
  FLAGS,
  HANDSHAKEN,
  HAS_DATA,
  MIDSTREAM,
  NONE,
  OFFER_MSS,
  OFFER_SACK,
  OFFER_SIGNED,
  OFFER_TIMESTAMPS,
  OFFER_WSCALE,
  OFFERS,
  OPEN_AT_ONCE,
  ROW,
  SHED,
  STREAM_END,
  SYN_AGAIN,
  SYN_AT,
  TIMES,
} from "./sessions/table.ts";
import { openJoined } from "./subflows.ts";
import { noteTimestamp } from "./turns/acceptance.ts";

/** Bytes; data further from a stream is not of it, if a newer SYN explains it. */
const FAR = 1 << 20;

/**
 * Takes a client's SYN of the flow in `flowKey`. Where the flow has sessions, they go on: production may take it for a stray (and
 * answer with a challenge ACK, RFC 5961 section 4), or answer with a SYN cookie.
 */
export function takeSyn(c: Context, packet: Packet): void {
  // Linux drops a SYN with FIN or RST (tcp_rcv_state_process).
  if (packet.flags & (ACK | FIN | RST)) {
    c.counters[COUNTER.stray]!++;
    return;
  }
  const w = c.words;
  const isn = packet.seq | 0;
  let isRepeated = c.halfOpen.has(c.flowKey, isn);
  for (const copy of c.copies[packet.index]!) {
    c.flowKey[COPY] = copy;
    const s = c.clientFlows.find(c.flowKey);
    if (s === NONE) continue;
    if (w[s * ROW + CLIENT_ISN] === isn && !(w[s * ROW + FLAGS]! & MIDSTREAM)) isRepeated = true;
    else w[s * ROW + FLAGS]! |= SYN_AGAIN;
  }
  if (isRepeated) c.counters[COUNTER.repeated]!++;
  else c.halfOpen.add(c.flowKey, packet, c.now);
}

/**
 * Takes a packet without SYN whose flow, in `flowKey`, has SYNs that wait; `known`: the session of its first copy, or NONE. If it
 * completes a handshake, opens the sessions of all copies, and ends those that the flow had. True if nothing is left of the packet
 * to take.
 */
export function takeFollowing(c: Context, packet: Packet, known: number): boolean {
  const { flags } = packet;
  const hasData = packet.length > 0 || (flags & FIN) !== 0;
  const row = c.halfOpen.find(c.flowKey, packet.seq, hasData && !continues(c, packet, known));
  if (row === NONE) {
    if (known !== NONE && !c.halfOpen.hasFlow(c.flowKey)) c.words[known * ROW + FLAGS]! &= ~SYN_AGAIN;
    return false;
  }
  if (flags & RST || !(flags & ACK)) {
    // Production drops the connection that its client refuses, and any other segment without ACK (RFC 9293 section 3.10.7.4).
    if (flags & RST) c.halfOpen.forget(row);
    c.counters[COUNTER.stray]!++;
    return true;
  }
  openFlow(c, packet, row, packet.ack);
  return false;
}

/** Opens the sessions of the flow in `flowKey`, whose SYN is in this row. `serverSeq`: the number of the server's first byte. */
function openFlow(c: Context, packet: Packet, row: number, serverSeq: number): void {
  c.halfOpen.take(row);
  // Data in the SYN counts as sent when the client knew the server's first sequence number.
  c.halfOpen.packet.view.setUint32(8, serverSeq);
  const isDoubtful = c.halfOpen.hasFlow(c.flowKey);
  const copies = c.copies[packet.index]!;
  for (const copy of copies) {
    c.flowKey[COPY] = copy;
    const before = c.clientFlows.find(c.flowKey);
    if (before !== NONE) supersede(c, before);
    openAfterSyn(c, isDoubtful ? SYN_AGAIN : 0);
  }
  c.flowKey[COPY] = copies[0]!;
}

/**
 * Takes a packet of production's server to the flow in `flowKey`, where these are captured: its SYN-ACK, or data, which tells that
 * the handshake is over, though its last packet was not read yet.
 */
export function takeAnswer(c: Context, packet: Packet): void {
  const row = c.halfOpen.findAnswered(c.flowKey, packet.ack);
  if (row === NONE) return;
  if (packet.flags & SYN) c.halfOpen.answer(row, (packet.seq + 1) | 0);
  else if (packet.length > 0 && c.clientFlows.find(c.flowKey) === NONE) openFlow(c, packet, row, packet.seq);
}

/** Whether a packet belongs to the stream of a session by its sequence number. */
function continues(c: Context, packet: Packet, known: number): boolean {
  return known !== NONE && Math.abs(distance(packet.seq, c.words[known * ROW + STREAM_END]!)) < FAR;
}

/** Opens a session for the flow in `flowKey` as the SYN says that was taken out of the table last. `flags`: its first FLAGS. */
function openAfterSyn(c: Context, flags: number): void {
  const { syn, packet } = c.halfOpen;
  if (syn.joins) {
    openJoined(c, packet, syn.isn);
    return;
  }
  const s = openSession(c, packet, flags);
  if (s === NONE) return;
  c.counters[COUNTER.opened]!++;
  const w = c.words;
  const row = s * ROW;
  w[row + CLIENT_ISN] = syn.isn;
  w[row + STREAM_END] = (syn.isn + 1) | 0;
  if (syn.mss > 0) w[row + OFFER_MSS] = syn.mss;
  w[row + OFFER_WSCALE] = syn.windowScale;
  if (!syn.sackPermitted) w[row + OFFERS]! &= ~OFFER_SACK;
  if (syn.hasTimestamps) noteTimestamp(c, s, syn.tsval);
  else w[row + OFFERS]! &= ~OFFER_TIMESTAMPS;
  if (syn.isSigned) w[row + OFFERS]! |= OFFER_SIGNED;
  if (syn.isMultipath) c.subflows[s] = MULTIPATH;
  if (syn.isAnswered && !(w[row + FLAGS]! & SHED)) c.protocols?.opened(s, syn.serverSeq);
  if (packet.end > packet.payload) {
    // TCP Fast Open (RFC 7413): a later packet tells the server's first sequence number.
    takeData(c, s, packet, syn.isn + 1);
    if (w[row + FLAGS]! & HAS_DATA) w[row + FLAGS]! |= HANDSHAKEN;
  }
  if (w[row + FLAGS]! & SHED) return;
  c.times[s * TIMES + SYN_AT] = syn.time;
  // Under a limit of turns a connection is opened only for a turn that may be sent.
  if (c.config.turnLimit === 0) w[row + FLAGS]! |= OPEN_AT_ONCE;
  c.makeReady(s);
}
