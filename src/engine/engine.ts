/**
 * The engine: captured requests and the target's responses come in, packets for the target go out. It touches no
 * clock, socket or log: time comes with every call (us, one monotonic clock), packets go into the batches it was given,
 * and `wait` says when it wants to be called again.
 *
 *   request(packet)   a client's packet        -> stream, turns
 *   response(packet)  a packet of the target   -> acknowledgements, answers
 *   advance()         time has passed          -> retransmission, delayed ACK, give-up
 *   dispatch()        fills the batches with all that is due, once per session
 */
import type { PacketBatch } from "../wire/batch.ts";
import { readTooBig, type TooBig } from "../wire/icmp.ts";
import type { Packet } from "../wire/packet.ts";
import { ACK, distance, FIN, parseOptions, RST, SYN, URG } from "../wire/tcp.ts";
import {
  connect,
  dropAllTurns,
  dropStream,
  endSession,
  leaveConnection,
  loseConnection,
} from "./connection.ts";
import { Context, type EngineConfig } from "./context.ts";
import { COUNTER, type DropReason } from "./counters.ts";
import { emit, emitReset, hasRoom } from "./emit.ts";
import { takeResponse, timeWaitIsOver } from "./receiver.ts";
import { LINGER, resendSmaller, retransmitAfterTimeout, transmit } from "./sender.ts";
import { awaitMissing, hasGap, skipGap, takeHandshake, takePayload } from "./stream.ts";
import {
  ACK_AT,
  ACK_NOW,
  ACTIVE_AT,
  CLIENT_ADDRESS,
  CLIENT_END,
  CLIENT_END_ACK,
  CLIENT_FIN,
  CLIENT_ISN,
  CLIENT_PORTS,
  CLIENT_RST,
  CLIENTLESS,
  CLOSE_WAIT,
  CLOSED,
  COPY,
  CURSOR,
  DELAY,
  DUE_AT,
  ESTABLISHED,
  FIN_WAIT_2,
  FLAGS,
  FREE,
  GAP_AT,
  GAP_WAITS,
  HALF_CLOSE,
  HANDSHAKEN,
  HAS_DATA,
  HEAD,
  HELD,
  LAST_ACK,
  MIDSTREAM,
  NONE,
  OFFER_MSS,
  OFFER_SACK,
  OFFER_TIMESTAMPS,
  OFFER_WSCALE,
  ONLINE_ADDRESS,
  OPEN_AT_ONCE,
  PATH,
  PORT,
  QUEUED,
  READY,
  RESPONSE_AT,
  RETRIES,
  ROW,
  RTO_AT,
  SERVICE,
  SHED,
  SINCE,
  SND_MAX,
  SND_NXT,
  SND_UNA,
  STATE,
  STREAM_END,
  STREAMING,
  SUPERSEDED,
  SYN_AT,
  SYN_SENT,
  TAIL,
  TARGET,
  TIME_WAIT,
  TIMES,
  TURN_AT,
  TURN_BEGAN_AT,
  TURN_COUNTED,
  TURN_OPEN,
  TURNS,
} from "./table.ts";

export type { EngineConfig, Path, Route, Target } from "./context.ts";

/** SYN retransmissions before the target counts as unreachable: 1 + 2 + 4 s. */
const SYN_RETRIES = 2;
/** Data retransmissions before the connection is given up. */
const DATA_RETRIES = 8;
/** How long a gap waits for the turns before it, us, for as long as there is more than one. */
const GAP_PATIENCE = 1_000_000;
/** Least MTU believed of an IPv4 and an IPv6 path (Linux's min_pmtu; RFC 8200). */
const LEAST_MTU_IPV4 = 552;
const LEAST_MTU_IPV6 = 1280;
/** Linux's tcp_fin_timeout. */
const FIN_WAIT_2_SPAN = 60_000_000;
/** Offered where the client's own SYN was not seen. */
const OWN_WSCALE = 7;
const OWN_MSS = 65495;
/** For how long a held-up turn is worth a hurry, us. */
const HELD_UP_SPAN = 3000;
/** Above this share of the memory bound no new session is taken. */
const FULL_SHARE = 0.9;
/** The share of it that is freed at a time when it has run out: looking for backlogs is not for every packet. */
const RELIEF_SHARE = 1 / 16;

/** What trying a path came to. */
export type ProbeResult = "silent" | "answered" | "refused";

export class Engine {
  /** By path; meaningful for the paths that `probe` was called for. */
  readonly probeResults: ProbeResult[];
  private readonly c: Context;
  private readonly message: TooBig = { mtu: 0, sourcePort: 0, seq: 0 };
  private readonly expireRow = (s: number): void => this.expire(s);
  private readonly setProbe = (path: number, result: "answered" | "refused"): void => {
    this.probeResults[path] = result;
  };

  /** `batches`: one per egress; whoever sends a batch clears it. `now`: us. */
  constructor(config: EngineConfig, batches: PacketBatch[], now: number) {
    this.c = new Context(config, now);
    this.c.batches = batches;
    this.probeResults = config.paths.map(() => "silent");
  }

  /** Opens and resets a connection on a path, to see whether the target answers: see `probeResults`. */
  probe(path: number, now: number): void {
    const c = this.c;
    c.now = now;
    const s = this.newRow();
    const port = c.ports.take(path);
    if (s === NONE || port === NONE) return;
    const row = s * ROW;
    c.words[row + FLAGS] = CLIENTLESS | OFFER_SACK | OFFER_TIMESTAMPS;
    c.words[row + OFFER_MSS] = OWN_MSS;
    c.words[row + OFFER_WSCALE] = OWN_WSCALE;
    c.times[s * TIMES + ACTIVE_AT] = now;
    connect(c, s, path, port);
    c.makeReady(s);
  }

  /** Takes a captured packet of a client, for each copy of its session. */
  request(packet: Packet, now: number): void {
    const c = this.c;
    c.now = now;
    if (packet.flags & URG) c.counters[COUNTER.urgent]!++;
    fillFlowKey(c.flowKey, packet);
    const copies = c.config.services[packet.index]!.length * c.config.replicas;
    for (let copy = 0; copy < copies; copy++) {
      c.flowKey[COPY] = copy;
      this.takeRequest(packet, c.clientFlows.find(c.flowKey));
    }
  }

  private takeRequest(packet: Packet, known: number): void {
    const c = this.c;
    const flags = packet.flags;
    let s = known;
    if (flags & SYN) {
      this.takeSyn(s, packet);
      return;
    }
    if (s === NONE) {
      if (packet.length === 0 || flags & RST || !c.config.takesMidstream) {
        c.counters[COUNTER.stray]!++;
        return;
      }
      s = this.openSession(packet, MIDSTREAM);
      if (s === NONE) return;
      c.counters[COUNTER.midstream]!++;
    }
    c.times[s * TIMES + ACTIVE_AT] = c.now;
    if (flags & RST) {
      this.takeEnd(s, packet, CLIENT_RST);
      return;
    }
    if (packet.length > 0) {
      this.takeData(s, packet, packet.seq);
    } else if (!(flags & FIN)) {
      takeHandshake(c, s, packet);
      return;
    }
    if (flags & FIN) this.takeEnd(s, packet, CLIENT_FIN);
    c.makeReady(s);
  }

  private takeData(s: number, packet: Packet, first: number): void {
    const taken = takePayload(this.c, s, packet, first);
    if (taken === "repeated") this.c.counters[COUNTER.repeated]!++;
    else if (taken === "stray") this.c.counters[COUNTER.stray]!++;
    else if (taken === "no memory") this.relieve(s);
  }

  /** Takes a packet of a target; `packet.index` is the path it came back on. */
  response(packet: Packet, now: number): void {
    const c = this.c;
    c.now = now;
    c.counters[COUNTER.responsePackets]!++;
    c.counters[COUNTER.responseBytes]! += packet.length;
    const s = c.ownFlows.find(packet.index, packet.destinationPort);
    if (s === NONE) {
      answerStranger(c, packet);
      return;
    }
    c.times[s * TIMES + ACTIVE_AT] = now;
    takeResponse(c, s, packet, this.setProbe);
  }

  /**
   * Takes an ICMP message that a packet of ours was too big; `packet.index` is its path. It is believed if it quotes what
   * is in flight (RFC 5927 section 4.1).
   */
  tooBig(packet: Packet, now: number): void {
    const c = this.c;
    c.now = now;
    if (!readTooBig(packet, this.message)) return;
    const s = c.ownFlows.find(packet.index, this.message.sourcePort);
    if (s === NONE) return;
    const row = s * ROW;
    const isInFlight =
      distance(this.message.seq, c.words[row + SND_UNA]!) >= 0 &&
      distance(this.message.seq, c.words[row + SND_MAX]!) < 0;
    if (isInFlight) this.lowerMtu(packet.index, this.message.mtu, now);
  }

  /**
   * Packets to the target of a path may have at most `mtu` bytes from now on, and what is in flight is cut anew. Less than
   * every path must take is not believed.
   */
  lowerMtu(pathIndex: number, mtu: number, now: number): void {
    const c = this.c;
    c.now = now;
    const { pair } = c.paths[pathIndex]!;
    if (mtu < (pair.family === 4 ? LEAST_MTU_IPV4 : LEAST_MTU_IPV6)) return;
    const target = pair.destination.join();
    const isSmaller = c.paths.map((path) => path.mtu > mtu && path.pair.destination.join() === target);
    if (!isSmaller.includes(true)) return;
    for (const [index, smaller] of isSmaller.entries()) if (smaller) c.paths[index]!.mtu = mtu;
    for (let s = 0; s < c.table.end; s++) {
      if (c.words[s * ROW + STATE]! >= ESTABLISHED && isSmaller[c.words[s * ROW + PATH]!])
        resendSmaller(c, s);
    }
  }

  /** Runs every timer that has come due. */
  advance(now: number): void {
    this.c.now = now;
    this.c.wheel.advance(now, this.expireRow);
  }

  /** us until `advance` has something to do, at most `limit`. */
  wait(now: number, limit: number): number {
    return this.c.nextReady() !== NONE ? 0 : this.c.wheel.wait(now, limit);
  }

  /** Fills the batches with what is due. False when a batch was full: send them, clear them, and call again. */
  dispatch(now: number): boolean {
    const c = this.c;
    c.now = now;
    for (let s = c.nextReady(); s !== NONE; s = c.nextReady()) {
      const row = s * ROW;
      const flags = c.words[row + FLAGS]!;
      if (c.words[row + STATE] === FREE || !(flags & READY)) {
        c.removeReady();
        continue;
      }
      const sent = transmit(c, s);
      if (sent === "batch full") return false;
      c.removeReady();
      c.words[row + FLAGS]! &= ~READY;
      if (sent === "over") {
        endSession(c, s, "ended", (c.words[row + FLAGS]! & CLIENT_RST) !== 0);
      } else {
        if (sent === "no port") dropAllTurns(c, s, "ports");
        this.arm(s);
      }
    }
    c.counters[COUNTER.memory] = c.segments.used;
    return true;
  }

  /** Whether a turn was held up just now by an answer that has not been seen: look again soon. */
  isHeldUp(now: number): boolean {
    return now - this.c.heldUpAt < HELD_UP_SPAN;
  }

  /** Turns that wait for something, over all sessions. */
  get pending(): number {
    return this.c.counters[COUNTER.turnsPending]!;
  }

  /**
   * Ends every session: what was not delivered is dropped as "ended", connections that are open get a RST. False when
   * a batch was full: send them, clear them, and call again.
   */
  end(now: number): boolean {
    const c = this.c;
    c.now = now;
    for (let s = 0; s < c.table.end; s++) {
      const state = c.words[s * ROW + STATE]!;
      if (state === FREE) continue;
      if (state !== CLOSED && state !== TIME_WAIT) {
        if (!hasRoom(c, s)) return false;
        emit(c, s, RST | ACK, c.words[s * ROW + SND_NXT]!, NONE, 0, 0, 1, 0);
      }
      endSession(c, s, "ended");
    }
    return true;
  }

  private newRow(): number {
    const s = this.c.table.allocate();
    if (s === NONE) return NONE;
    const row = s * ROW;
    const w = this.c.words;
    w[row + STATE] = CLOSED;
    w[row + PATH] = NONE;
    w[row + PORT] = NONE;
    w[row + HEAD] = NONE;
    w[row + TAIL] = NONE;
    w[row + HELD] = NONE;
    w[row + CURSOR] = NONE;
    return s;
  }

  /** A session for the flow in `flowKey`, or NONE where a bound forbids it. */
  private openSession(packet: Packet, flags: number): number {
    const c = this.c;
    const s = this.newRow();
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
    w[row + FLAGS] = flags | OFFER_SACK | OFFER_TIMESTAMPS;
    if (!c.config.waitsForAnswers) w[row + FLAGS]! |= STREAMING;
    if (c.segments.used > c.config.memory * FULL_SHARE) w[row + FLAGS]! |= SHED;
    this.chooseTarget(s);
    const replica = Math.floor(w[row + COPY]! / c.config.services[packet.index]!.length);
    if (replica > 0) c.times[s * TIMES + DELAY] = Math.floor(c.config.random() * c.config.jitter);
    c.clientFlows.add(s);
    c.counters[COUNTER.active]!++;
    c.times[s * TIMES + ACTIVE_AT] = c.now;
    this.arm(s);
    return s;
  }

  /** Targets of a route take sessions in turns, by weight and evenly mixed (nginx's smooth weighted round-robin). */
  private chooseTarget(s: number): void {
    const c = this.c;
    const row = s * ROW;
    const routes = c.config.services[c.words[row + SERVICE]!]!;
    const index = c.words[row + COPY]! % routes.length;
    const route = routes[index]!;
    if (route.length === 1) return;
    const credit = c.credit[c.words[row + SERVICE]!]![index]!;
    let total = 0;
    let best = 0;
    for (let target = 0; target < route.length; target++) {
      total += route[target]!.weight;
      credit[target]! += route[target]!.weight;
      if (credit[target]! > credit[best]!) best = target;
    }
    credit[best]! -= total;
    c.words[row + TARGET] = best;
  }

  private takeSyn(known: number, packet: Packet): void {
    const c = this.c;
    const w = c.words;
    if (packet.flags & ACK) {
      c.counters[COUNTER.stray]!++;
      return;
    }
    const isn = packet.seq | 0;
    if (known !== NONE) {
      const row = known * ROW;
      if (w[row + CLIENT_ISN] === isn && !(w[row + FLAGS]! & MIDSTREAM)) {
        c.counters[COUNTER.repeated]!++;
        return;
      }
      this.supersede(known);
    }
    const s = this.openSession(packet, 0);
    if (s === NONE) return;
    c.counters[COUNTER.opened]!++;
    const row = s * ROW;
    w[row + CLIENT_ISN] = isn;
    w[row + STREAM_END] = (isn + 1) | 0;
    const options = c.options;
    parseOptions(packet, options);
    if (options.mss > 0) w[row + OFFER_MSS] = options.mss;
    w[row + OFFER_WSCALE] = options.windowScale;
    if (!options.sackPermitted) w[row + FLAGS]! &= ~OFFER_SACK;
    if (!options.hasTimestamps) w[row + FLAGS]! &= ~OFFER_TIMESTAMPS;
    if (packet.length > 0) {
      // TCP Fast Open (RFC 7413). Where the server's bytes begin is told by a later packet.
      this.takeData(s, packet, isn + 1);
      w[row + FLAGS]! |= HANDSHAKEN;
    }
    if (w[row + FLAGS]! & SHED) return;
    c.times[s * TIMES + SYN_AT] = packet.time;
    // Under a limit a connection is worth opening only for a turn that may go.
    if (c.config.turnLimit === 0) w[row + FLAGS]! |= OPEN_AT_ONCE;
    c.makeReady(s);
  }

  /** A new connection uses the flow of session `s`: what it has is still delivered, then it ends. */
  private supersede(s: number): void {
    const c = this.c;
    const row = s * ROW;
    c.clientFlows.remove(s);
    c.words[row + FLAGS]! |= SUPERSEDED;
    if (!(c.words[row + FLAGS]! & (CLIENT_FIN | CLIENT_RST))) {
      c.words[row + FLAGS]! |= CLIENT_FIN;
      c.words[row + CLIENT_END] = c.words[row + STREAM_END]!;
      c.words[row + CLIENT_END_ACK] = c.words[row + LAST_ACK]!;
    }
    c.makeReady(s);
  }

  /** The client's FIN or RST. */
  private takeEnd(s: number, packet: Packet, kind: number): void {
    const c = this.c;
    const w = c.words;
    const row = s * ROW;
    const flags = w[row + FLAGS]!;
    const at = (packet.seq + packet.length) | 0;
    // Of a connection before this one, or long past: not ours.
    if (!(flags & MIDSTREAM) && distance(at, w[row + STREAM_END]!) < 0) {
      c.counters[COUNTER.stray]!++;
      return;
    }
    if (flags & kind || flags & CLIENT_RST) {
      if (packet.length === 0) c.counters[COUNTER.repeated]!++;
      return;
    }
    if (flags & MIDSTREAM) {
      endSession(c, s);
      return;
    }
    w[row + FLAGS]! |= kind;
    w[row + CLIENT_END] = at;
    w[row + CLIENT_END_ACK] = packet.flags & ACK ? packet.ack | 0 : w[row + LAST_ACK]!;
    // No answer was seen by the client before it closed: the close does not wait for one either.
    const isFirst = (flags & (HAS_DATA | HANDSHAKEN)) !== 0 && w[row + CLIENT_END_ACK] === w[row + LAST_ACK];
    if (kind === CLIENT_FIN && isFirst) w[row + FLAGS]! |= HALF_CLOSE;
    awaitMissing(c, s);
    c.makeReady(s);
  }

  /** One session keeps too much, or memory has run out: then the sessions with the longest backlogs go. */
  private relieve(s: number): void {
    const c = this.c;
    const w = c.words;
    // The packet that found no room is lost to its own session in any case.
    const isOverOwnBound = w[s * ROW + QUEUED]! > c.config.sessionBytes / 2;
    this.shed(s);
    if (isOverOwnBound) return;
    let longest = 0;
    for (let i = 0; i < c.table.end; i++) {
      if (w[i * ROW + STATE] !== FREE) longest = Math.max(longest, w[i * ROW + QUEUED]!);
    }
    let freed = 0;
    for (let i = 0; i < c.table.end && freed < c.config.memory * RELIEF_SHARE; i++) {
      const queued = w[i * ROW + QUEUED]!;
      if (w[i * ROW + STATE] === FREE || queued === 0 || queued * 2 < longest) continue;
      freed += queued;
      this.shed(i);
    }
  }

  private shed(s: number): void {
    const c = this.c;
    const row = s * ROW;
    if (c.words[row + STATE] === FREE || c.words[row + FLAGS]! & SHED) return;
    this.reset(s);
    c.words[row + FLAGS]! |= SHED;
    dropAllTurns(c, s, "memory");
    loseConnection(c, s, "memory");
  }

  /** Tells the target that the connection is gone, where there is one. */
  private reset(s: number): void {
    const c = this.c;
    const row = s * ROW;
    if (c.words[row + PORT] === NONE || !hasRoom(c, s)) return;
    emit(c, s, RST | ACK, c.words[row + SND_NXT]!, NONE, 0, 0, 1, 0);
  }

  private giveUp(s: number, reason: DropReason): void {
    this.reset(s);
    loseConnection(this.c, s, reason);
  }

  private expire(s: number): void {
    const c = this.c;
    const w = c.words;
    const t = c.times;
    const row = s * ROW;
    const time = s * TIMES;
    if (w[row + STATE] === FREE) return;
    if (t[time + ACK_AT]! > 0 && t[time + ACK_AT]! <= c.now) {
      t[time + ACK_AT] = 0;
      w[row + FLAGS]! |= ACK_NOW;
      c.makeReady(s);
    }
    if (t[time + TURN_AT]! > 0 && t[time + TURN_AT]! <= c.now) {
      if (t[time + DUE_AT]! < t[time + TURN_AT]!) t[time + DUE_AT] = t[time + TURN_AT]!;
      t[time + TURN_AT] = 0;
      c.makeReady(s);
    }
    if (t[time + RTO_AT]! > 0 && t[time + RTO_AT]! <= c.now) {
      const isSyn = w[row + STATE] === SYN_SENT;
      if (w[row + RETRIES]! >= (isSyn ? SYN_RETRIES : DATA_RETRIES)) {
        if (isSyn && !(w[row + FLAGS]! & CLIENTLESS)) loseConnection(c, s, "unreachable");
        else this.giveUp(s, "unanswered");
        if (w[row + STATE] === FREE) return;
      } else {
        retransmitAfterTimeout(c, s);
      }
    }
    if (this.expireState(s)) return;
    this.arm(s);
  }

  /** Time limits of states, gaps, answers and idle sessions; true if the session is gone. */
  private expireState(s: number): boolean {
    const c = this.c;
    const w = c.words;
    const t = c.times;
    const row = s * ROW;
    const time = s * TIMES;
    const state = w[row + STATE]!;
    if (state === TIME_WAIT && timeWaitIsOver(c, s)) {
      endSession(c, s);
      return true;
    }
    if (state === FIN_WAIT_2 && t[time + SINCE]! + FIN_WAIT_2_SPAN <= c.now) {
      this.reset(s);
      endSession(c, s);
      return true;
    }
    if (state === CLOSE_WAIT && t[time + SINCE]! + LINGER <= c.now) c.makeReady(s);
    if (hasGap(c, s) && t[time + GAP_AT]! <= c.now) {
      this.closeAtGap(s);
      if (w[row + STATE] === FREE) return true;
    }
    const isWaiting = (w[row + FLAGS]! & (TURN_OPEN | TURN_COUNTED)) === TURN_OPEN && state >= ESTABLISHED;
    if (isWaiting && this.answerDeadline(s) <= c.now) {
      this.giveUp(s, "unanswered");
    } else if (w[row + TURNS] === 0 && t[time + ACTIVE_AT]! + c.config.idleTimeout <= c.now) {
      this.reset(s);
      endSession(c, s);
      return true;
    }
    return w[row + STATE] === FREE;
  }

  private answerDeadline(s: number): number {
    const time = s * TIMES;
    const last = Math.max(this.c.times[time + RESPONSE_AT]!, this.c.times[time + TURN_BEGAN_AT]!);
    return last + this.c.config.sessionTimeout;
  }

  /**
   * Bytes of the client are missing for good: once the turns before them are done the connection ends, and the stream goes
   * on with the first turn behind them whose beginning is known.
   */
  private closeAtGap(s: number): void {
    const c = this.c;
    const w = c.words;
    const row = s * ROW;
    const turns = w[row + TURNS]!;
    if (turns > 1 || (turns === 1 && w[row + GAP_WAITS] === 0)) {
      if (turns === 1) w[row + GAP_WAITS]!++;
      c.times[s * TIMES + GAP_AT] = c.now + GAP_PATIENCE;
      return;
    }
    this.reset(s);
    dropStream(c, s, "gap");
    const goesOn = skipGap(c, s);
    leaveConnection(c, s);
    c.makeReady(s);
    w[row + GAP_WAITS] = 0;
    if (goesOn) return;
    if (w[row + FLAGS]! & (CLIENT_FIN | CLIENT_RST)) endSession(c, s, "gap");
    else w[row + FLAGS]! |= MIDSTREAM;
  }

  /** Arms the wheel for the earliest thing that may have to happen. */
  private arm(s: number): void {
    const c = this.c;
    const t = c.times;
    const w = c.words;
    const row = s * ROW;
    const time = s * TIMES;
    if (w[row + STATE] === FREE) return;
    let at = t[time + ACTIVE_AT]! + c.config.idleTimeout;
    at = earlier(at, t[time + ACK_AT]!);
    at = earlier(at, t[time + RTO_AT]!);
    at = earlier(at, t[time + TURN_AT]!);
    if (hasGap(c, s)) at = earlier(at, t[time + GAP_AT]!);
    const state = w[row + STATE]!;
    if (state === CLOSE_WAIT || state === TIME_WAIT) at = Math.min(at, t[time + SINCE]! + LINGER);
    else if (state === FIN_WAIT_2) at = Math.min(at, t[time + SINCE]! + FIN_WAIT_2_SPAN);
    if ((w[row + FLAGS]! & (TURN_OPEN | TURN_COUNTED)) === TURN_OPEN && state >= ESTABLISHED) {
      at = Math.min(at, this.answerDeadline(s));
    }
    c.wheel.arm(s, Math.max(at, c.now + 1));
  }
}

/** The earlier of a time and a timer, which is 0 while it is off. */
function earlier(at: number, timer: number): number {
  return timer > 0 && timer < at ? timer : at;
}

/** Writes the flow of a client's packet, IPv4 addresses as IPv4-mapped IPv6, into `key`. */
function fillFlowKey(key: Int32Array, packet: Packet): void {
  const { view, ip } = packet;
  if (packet.family === 4) {
    key[CLIENT_ADDRESS] = 0;
    key[CLIENT_ADDRESS + 1] = 0;
    key[CLIENT_ADDRESS + 2] = 0xffff;
    key[CLIENT_ADDRESS + 3] = view.getInt32(ip + 12);
    key[ONLINE_ADDRESS] = 0;
    key[ONLINE_ADDRESS + 1] = 0;
    key[ONLINE_ADDRESS + 2] = 0xffff;
    key[ONLINE_ADDRESS + 3] = view.getInt32(ip + 16);
  } else {
    for (let i = 0; i < 4; i++) {
      key[CLIENT_ADDRESS + i] = view.getInt32(ip + 8 + i * 4);
      key[ONLINE_ADDRESS + i] = view.getInt32(ip + 24 + i * 4);
    }
  }
  key[CLIENT_PORTS] = view.getInt32(packet.tcp);
}

/** A segment for none of our connections is answered with a RST (RFC 9293 section 3.10.7.1). */
function answerStranger(c: Context, packet: Packet): void {
  const flags = packet.flags;
  if (flags & RST) return;
  if (flags & ACK) {
    emitReset(c, packet.index, packet.destinationPort, packet.ack, 0, RST);
    return;
  }
  const end = packet.seq + packet.length + (flags & (SYN | FIN) ? 1 : 0);
  emitReset(c, packet.index, packet.destinationPort, 0, end, RST | ACK);
}
