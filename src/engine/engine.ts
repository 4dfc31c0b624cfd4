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
import { DESTINATION, mapAddress, readAddress } from "../wire/address-words.ts";
import type { PacketBatch } from "../wire/batch.ts";
import { readTooBig, type TooBig } from "../wire/icmp.ts";
import type { Packet } from "../wire/packet.ts";
import { ACK, distance, FIN, RST, SYN, URG } from "../wire/tcp.ts";
import {
  newRow,
  OWN_MSS,
  OWN_WSCALE,
  openSession,
  supersedeAll,
  takeData,
  takeEnd,
  takeSyn,
} from "./session-lifecycle.ts";
import { Context, type EngineConfig } from "./sessions/context.ts";
import { COUNTER, type DropReason } from "./sessions/counters.ts";
import { fillFlowKey, fillOutgoingFlowKey } from "./sessions/flow-key.ts";
import { type EachFlow, forEachFlow, holdPath, resumePath } from "./sessions/hold.ts";
import {
  ACTIVE_AT,
  CLIENT_ADDRESS,
  CLIENT_FIN,
  CLIENT_RST,
  CLIENTLESS,
  CLOSED,
  COPY,
  FLAGS,
  FREE,
  MIDSTREAM,
  NONE,
  OFFER_MSS,
  OFFER_SACK,
  OFFER_TIMESTAMPS,
  OFFER_WSCALE,
  OFFERS,
  OPEN_AT_ONCE,
  PATH,
  READY,
  ROW,
  SND_MAX,
  SND_UNA,
  STATE,
  TIME_WAIT,
  TIMES,
} from "./sessions/table.ts";
import { connect, endSession, probePort } from "./tcp/connection.ts";
import { emitControl, emitReset, hasRoom } from "./tcp/emit.ts";
import { arm, expire } from "./tcp/expiry.ts";
import { PathMtu } from "./tcp/path-mtu.ts";
import { takeResponse } from "./tcp/receiver.ts";
import { transmit } from "./tcp/sender.ts";
import { dropAllTurns } from "./turns/drop.ts";
import { SessionProtocols } from "./turns/protocols.ts";
import { takeHandshake } from "./turns/stream.ts";

export type { EngineConfig, Path, Route, Target } from "./sessions/context.ts";

/** For how long a held-up turn is worth a hurry, us. */
const HELD_UP_SPAN = 3000;

/** What trying a path came to. */
export type ProbeResult = "silent" | "answered" | "refused";

export class Engine {
  /** By path; meaningful for the paths that `probe` was called for. */
  readonly probeResults: ProbeResult[];
  private readonly c: Context;
  private readonly pathMtu: PathMtu;
  private readonly message: TooBig = { mtu: 0, sourcePort: 0, seq: 0 };
  private readonly expireRow = (s: number): void => expire(this.c, s);
  private readonly setProbe = (path: number, result: "answered" | "refused"): void => {
    this.probeResults[path] = result;
  };

  /** `batches`: one per egress; whoever sends a batch clears it. `now`: us. */
  constructor(config: EngineConfig, batches: PacketBatch[], now: number) {
    this.c = new Context(config, now);
    const { modules } = config;
    if (modules?.some((module) => module !== null)) this.c.protocols = new SessionProtocols(this.c, modules);
    this.c.batches = batches;
    this.pathMtu = new PathMtu(this.c);
    this.probeResults = config.paths.map(() => "silent");
  }

  /**
   * Opens and resets a connection on a path, to see whether the target answers: see `probeResults`. `from`: the address
   * (4 or 16 bytes) to come from on a path that sends from the clients' addresses. Returns its port.
   */
  probe(path: number, now: number, from: Uint8Array | null = null): number {
    const c = this.c;
    c.now = now;
    const s = newRow(c);
    if (s === NONE) return NONE;
    const row = s * ROW;
    if (from) mapAddress(from, c.words, row + CLIENT_ADDRESS);
    const port = from ? probePort(c, s) : c.ports.take(path);
    if (port === NONE) return NONE;
    c.words[row + FLAGS] = CLIENTLESS;
    c.words[row + OFFERS] = OFFER_SACK | OFFER_TIMESTAMPS;
    c.words[row + OFFER_MSS] = OWN_MSS;
    c.words[row + OFFER_WSCALE] = OWN_WSCALE;
    c.times[s * TIMES + ACTIVE_AT] = now;
    connect(c, s, path, port);
    c.makeReady(s);
    return port;
  }

  /** Nothing is sent on a path from now on, and no time passes for its sessions; what clients send is still taken. */
  hold(path: number, now: number): void {
    this.c.now = now;
    holdPath(this.c, path);
  }

  /** Sends on the path again; what waited goes first. `now`: us. */
  resume(path: number, now: number): void {
    this.c.now = now;
    resumePath(this.c, path);
  }

  /** Marks all SYNs from now on with these 8 bytes, or with none. */
  setCookie(cookie: Uint8Array | null): void {
    this.c.cookie = cookie;
  }

  /** Calls `each` for every connection that is open on a path. */
  forEachFlow(path: number, each: EachFlow): void {
    forEachFlow(this.c, path, each);
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

  /** Takes the beginning of a packet that production's server sent to a client; `packet.index` is the service. */
  production(packet: Packet, now: number): void {
    const c = this.c;
    c.now = now;
    if (c.protocols === null || packet.length === 0) return;
    fillOutgoingFlowKey(c.flowKey, packet);
    const copies = c.config.services[packet.index]!.length * c.config.replicas;
    for (let copy = 0; copy < copies; copy++) {
      c.flowKey[COPY] = copy;
      const s = c.clientFlows.find(c.flowKey);
      if (s !== NONE) c.protocols.production(s, packet);
    }
  }

  private takeRequest(packet: Packet, known: number): void {
    const c = this.c;
    const flags = packet.flags;
    let s = known;
    if (flags & SYN) {
      takeSyn(c, s, packet);
      return;
    }
    if (s === NONE) {
      if (packet.length === 0 || flags & RST || !c.config.takesMidstream) {
        c.counters[COUNTER.stray]!++;
        return;
      }
      s = openSession(c, packet, MIDSTREAM);
      if (s === NONE) return;
      c.counters[COUNTER.midstream]!++;
    }
    c.times[s * TIMES + ACTIVE_AT] = c.now;
    if (flags & RST) {
      takeEnd(c, s, packet, CLIENT_RST);
      return;
    }
    if (packet.length > 0) {
      takeData(c, s, packet, packet.seq);
    } else if (!(flags & FIN)) {
      takeHandshake(c, s, packet);
      return;
    }
    if (flags & FIN) takeEnd(c, s, packet, CLIENT_FIN);
    c.makeReady(s);
  }

  /** Takes a packet of a target; `packet.index` is the path it came back on. */
  response(packet: Packet, now: number): void {
    const c = this.c;
    c.now = now;
    c.counters[COUNTER.responsePackets]!++;
    c.counters[COUNTER.responseBytes]! += packet.length;
    if (c.paths[packet.index]!.fromClient) readAddress(packet, DESTINATION, c.address, 0);
    const s = c.ownFlows.find(packet.index, packet.destinationPort, c.address, 0);
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
    // Those about a client's address go to the client.
    if (c.paths[packet.index]!.fromClient || !readTooBig(packet, this.message)) return;
    const s = c.ownFlows.find(packet.index, this.message.sourcePort, c.address, 0);
    if (s === NONE) return;
    const row = s * ROW;
    const isInFlight =
      distance(this.message.seq, c.words[row + SND_UNA]!) >= 0 &&
      distance(this.message.seq, c.words[row + SND_MAX]!) < 0;
    if (isInFlight) this.lowerMtu(packet.index, this.message.mtu, now);
  }

  /**
   * Packets to the target of a path may have at most `mtu` bytes for some time, and what is in flight is cut anew: see
   * PathMtu.
   */
  lowerMtu(pathIndex: number, mtu: number, now: number): void {
    this.c.now = now;
    this.pathMtu.lower(pathIndex, mtu);
  }

  /** All clients are gone, and those that come now with the addresses and ports of one are others. */
  endClients(now: number): void {
    this.c.now = now;
    supersedeAll(this.c);
  }

  /** Runs every timer that has come due. */
  advance(now: number): void {
    this.c.now = now;
    this.pathMtu.advance();
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
    c.turnLimit.settle(now);
    this.invite();
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
        if (sent !== "done") this.giveUpOpening(s, sent === "no port" ? "ports" : "memory");
        arm(c, s);
      }
    }
    c.counters[COUNTER.memory] = c.segments.used;
    return true;
  }

  /** Those whose turn has come may connect. */
  private invite(): void {
    const { users } = this.c;
    if (users === null) return;
    for (let s = users.invite(); s !== NONE; s = users.invite()) this.c.makeReady(s);
  }

  /** No connection for what the session has: the next turn is to try again, if the client has not closed. */
  private giveUpOpening(s: number, reason: DropReason): void {
    dropAllTurns(this.c, s, reason);
    this.c.users?.leave(s);
    this.c.words[s * ROW + FLAGS]! &= ~OPEN_AT_ONCE;
    this.c.makeReady(s);
  }

  /** Whether a turn was held up just now by an answer that has not been seen: look again soon. */
  isHeldUp(now: number): boolean {
    return now - this.c.heldUpAt < HELD_UP_SPAN;
  }

  /** Whether one more request of another protocol may be sent now, by the limit of turns per second; takes it off. */
  allowRequest(now: number): boolean {
    this.c.now = now;
    return this.c.allowTurn();
  }

  /** Turns that wait for something, over all sessions. */
  get pending(): number {
    return this.c.counters[COUNTER.turnsPending]!;
  }

  /** Captured segments that wait for missing bytes before them, over all sessions. */
  get segmentsHeld(): number {
    return this.c.segmentsHeld;
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
      if (state !== CLOSED && state !== TIME_WAIT && !c.held[c.words[s * ROW + PATH]!]) {
        if (!hasRoom(c, s)) return false;
        emitControl(c, s, RST | ACK);
      }
      endSession(c, s, "ended");
    }
    return true;
  }
}

/** A segment for none of our connections is answered with a RST (RFC 9293 section 3.10.7.1). */
function answerStranger(c: Context, packet: Packet): void {
  const flags = packet.flags;
  if (flags & RST) return;
  if (flags & ACK) {
    emitReset(c, packet.index, c.address, 0, packet.destinationPort, packet.ack, 0, RST);
    return;
  }
  const end = packet.seq + packet.length + (flags & (SYN | FIN) ? 1 : 0);
  emitReset(c, packet.index, c.address, 0, packet.destinationPort, 0, end, RST | ACK);
}
