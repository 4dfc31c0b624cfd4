/** How sessions begin and end by what their clients send: data, FIN, RST, a newer connection. */
import type { Packet } from "../wire/packet.ts";
import { ACK, distance } from "../wire/tcp.ts";
import { displace, evict } from "./eviction.ts";
import type { Context } from "./sessions/context.ts";
import { COUNTER } from "./sessions/counters.ts";
import {
  ACTIVE_AT,
  CLIENT_ADDRESS,
  CLIENT_END,
  CLIENT_END_ACK,
  CLIENT_FIN,
  CLIENT_RST,
  CLIENTLESS,
  COPY,
  DELAY,
  FLAGS,
  FREE,
  HALF_CLOSE,
  HANDSHAKEN,
  HAS_DATA,
  LAST_ACK,
  MIDSTREAM,
  NONE,
  OFFER_MSS,
  OFFER_SACK,
  OFFER_TIMESTAMPS,
  OFFER_WSCALE,
  OFFERS,
  ROW,
  SERVICE,
  SHED,
  STATE,
  STREAM_END,
  STREAMING,
  SUPERSEDED,
  TARGET,
  TIMES,
} from "./sessions/table.ts";
import { nextTarget, routeOf } from "./sessions/weights.ts";
import { endSession } from "./tcp/connection.ts";
import { arm } from "./tcp/expiry.ts";
import { endHeader } from "./turns/proxy-header.ts";
import { awaitMissing, giveUpMissing, takePayload } from "./turns/reassembly.ts";

/** The window scale and MSS that our SYN offers where the client's own SYN was not captured. */
export const OWN_WSCALE = 7;
export const OWN_MSS = 65495;
/** Sessions that begin while more than this share of the memory bound is in use are SHED: their turns are counted and dropped. */
const FULL_SHARE = 0.9;

/** Opens a session for the flow in `flowKey`; `flags`: its first FLAGS. NONE if the bound of sessions is reached. */
export function openSession(c: Context, packet: Packet, flags: number): number {
  let s = c.table.allocate();
  if (s === NONE && displace(c, NONE)) s = c.table.allocate();
  if (s === NONE) {
    if (packet.length > 0) {
      // Without a row turns cannot be told apart: every packet with data counts as one.
      c.counters[COUNTER.turnsCaptured]!++;
      c.counters[COUNTER.turnsPending]!++;
      c.dropTurns(1, "sessions");
    }
    return NONE;
  }
  const row = s * ROW;
  const w = c.words;
  w.set(c.flowKey, row + CLIENT_ADDRESS);
  w[row + SERVICE] = packet.index;
  w[row + OFFER_MSS] = OWN_MSS;
  w[row + OFFER_WSCALE] = OWN_WSCALE;
  w[row + OFFERS] = OFFER_SACK | OFFER_TIMESTAMPS;
  w[row + FLAGS] = flags;
  if (!c.config.waitsForAnswers) w[row + FLAGS]! |= STREAMING;
  if (c.segments.used > c.config.memory * FULL_SHARE) w[row + FLAGS]! |= SHED;
  chooseTarget(c, s);
  if (w[row + COPY]! % c.config.replicas > 0)
    c.times[s * TIMES + DELAY] = Math.floor(c.config.random() * c.config.jitter);
  c.clientFlows.add(s);
  c.counters[COUNTER.active]!++;
  c.times[s * TIMES + ACTIVE_AT] = c.now;
  arm(c, s);
  return s;
}

function chooseTarget(c: Context, s: number): void {
  const row = s * ROW;
  const routes = c.config.services[c.words[row + SERVICE]!]!;
  const index = routeOf(c.words[row + COPY]!, c.config.replicas);
  const route = routes[index]!;
  if (route.length === 1) return;
  c.words[row + TARGET] = nextTarget(route, c.credit[c.words[row + SERVICE]!]![index]!);
}

/** Ends all client connections: what was captured of them is still delivered. The same flow begins a new session. */
export function supersedeAll(c: Context): void {
  c.halfOpen.clear();
  for (let s = 0; s < c.table.end; s++) {
    const row = s * ROW;
    if (c.words[row + STATE] === FREE || c.words[row + FLAGS]! & (CLIENTLESS | SUPERSEDED)) continue;
    supersede(c, s);
  }
}

/** A new connection uses the flow of session `s`: what `s` has captured is still delivered, then it ends. */
export function supersede(c: Context, s: number): void {
  const row = s * ROW;
  c.clientFlows.remove(s);
  endHeader(c, s);
  c.words[row + FLAGS]! |= SUPERSEDED;
  if (!(c.words[row + FLAGS]! & (CLIENT_FIN | CLIENT_RST))) {
    c.words[row + FLAGS]! |= CLIENT_FIN;
    c.words[row + CLIENT_END] = c.words[row + STREAM_END]!;
    c.words[row + CLIENT_END_ACK] = c.words[row + LAST_ACK]!;
  }
  giveUpMissing(c, s);
  c.makeReady(s);
}

/** Takes the client's FIN or RST; `kind` is CLIENT_FIN or CLIENT_RST. */
export function takeEnd(c: Context, s: number, packet: Packet, kind: number): void {
  const w = c.words;
  const row = s * ROW;
  const flags = w[row + FLAGS]!;
  // What a RST carries is no data (RFC 9293 section 3.10.7.4).
  const at = (kind === CLIENT_RST ? packet.seq : packet.seq + packet.length) | 0;
  // A FIN or RST before the end of the captured data: of an earlier connection, or delayed.
  if (!(flags & MIDSTREAM) && distance(at, w[row + STREAM_END]!) < 0) {
    c.counters[COUNTER.stray]!++;
    return;
  }
  if (flags & kind || flags & CLIENT_RST) {
    if (kind === CLIENT_RST || packet.length === 0) c.counters[COUNTER.repeated]!++;
    return;
  }
  if (flags & MIDSTREAM) {
    endSession(c, s);
    return;
  }
  if (at === w[row + STREAM_END]) endHeader(c, s);
  w[row + FLAGS]! |= kind;
  w[row + CLIENT_END] = at;
  w[row + CLIENT_END_ACK] = packet.flags & ACK ? packet.ack | 0 : w[row + LAST_ACK]!;
  // The client closed without acknowledging an answer: our FIN does not wait for an answer either.
  const hasNoAnswer =
    (flags & (HAS_DATA | HANDSHAKEN)) !== 0 && w[row + CLIENT_END_ACK] === w[row + LAST_ACK];
  if (kind === CLIENT_FIN && hasNoAnswer) w[row + FLAGS]! |= HALF_CLOSE;
  awaitMissing(c, s);
  c.makeReady(s);
}

/** Takes a packet's payload, and evicts sessions if memory is full; `first` is the sequence number of its first byte. */
export function takeData(c: Context, s: number, packet: Packet, first: number): void {
  const taken = takePayload(c, s, packet, first);
  if (taken === "repeated") c.counters[COUNTER.repeated]!++;
  else if (taken === "stray") c.counters[COUNTER.stray]!++;
  else if (taken === "no memory") evict(c, s);
}
