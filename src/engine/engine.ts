/**
 * The engine: takes captured requests and the target's responses, makes the packets for the target. It uses no clock,
 * socket or log: time comes with every call (us, one monotonic clock), packets go into the batches it was given, and
 * `wait` says when it must be called again.
 *
 *   request(packet)   a client's packet        -> stream, turns
 *   response(packet)  a packet of the target   -> acknowledgements, answers
 *   advance()         time has passed          -> retransmissions, delayed ACKs, timeouts
 *   dispatch()        fills the batches with all that is due, once per session
 */

import type { ProtocolModule } from "../protocol/module.ts";
import { DESTINATION, readAddress } from "../wire/address-words.ts";
import type { PacketBatch } from "../wire/batch.ts";
import { readTooBig, type TooBig } from "../wire/icmp.ts";
import type { Packet } from "../wire/packet.ts";
import { distance, FIN, RST, SYN, URG } from "../wire/tcp.ts";
import {
  addPath,
  changeNumbers,
  type EngineNumbers,
  endRetired,
  leaveOut,
  retire,
  setRoutes,
} from "./change.ts";
import { takeAnswer, takeFollowing, takeSyn } from "./client-handshake.ts";
import { takeRequest } from "./client-segment.ts";
import { dispatch } from "./dispatch.ts";
import { end } from "./end.ts";
import { look } from "./look.ts";
import { probe } from "./probe.ts";
import { supersedeAll } from "./session-lifecycle.ts";
import { Context, type EngineConfig, type Path, type Route } from "./sessions/context.ts";
import { COUNTER } from "./sessions/counters.ts";
import { fillFlowKey, fillOutgoingFlowKey } from "./sessions/flow-key.ts";
import { type EachFlow, forEachFlow, holdPath, resumePath } from "./sessions/hold.ts";
import { ACTIVE_AT, COPY, FLAGS, NONE, ROW, SND_MAX, SND_UNA, SYN_AGAIN, TIMES } from "./sessions/table.ts";
import { expire } from "./tcp/expiry.ts";
import { endConnections, type Moved, movePath, type NewWay } from "./tcp/move.ts";
import { PathMtu } from "./tcp/path-mtu.ts";
import { takeResponse } from "./tcp/receiver.ts";
import { resetUnknown } from "./tcp/unknown.ts";
import { faultOfFlags } from "./turns/acceptance.ts";
import { SessionProtocols } from "./turns/protocols.ts";

export type { EngineNumbers } from "./change.ts";
export type { AnswerTimes, EngineConfig, Late, Pace, Path, Route, Target } from "./sessions/context.ts";
export type { Moved, NewWay } from "./tcp/move.ts";

/** us after a turn was held up in which `isHeldUp` is true. */
const HELD_UP_SPAN = 3000;

/** The result of probing a path. */
export type ProbeResult = "silent" | "answered" | "refused";

export class Engine {
  /** By path: "silent" until the target answers a call of `probe`. */
  readonly probeResults: ProbeResult[];
  private readonly c: Context;
  private readonly pathMtu: PathMtu;
  private readonly message: TooBig = { mtu: 0, sourcePort: 0, seq: 0 };
  private readonly expireRow = (s: number): void => expire(this.c, s);
  private readonly setProbe = (path: number, result: "answered" | "refused"): void => {
    this.probeResults[path] = result;
  };

  /** `batches`: one per egress; the caller sends and clears them. `now`: us. */
  constructor(config: EngineConfig, batches: PacketBatch[], now: number) {
    this.c = new Context(config, now);
    const { modules } = config;
    if (modules?.some((module) => module !== null)) this.c.protocols = new SessionProtocols(this.c, modules);
    this.c.batches = batches;
    this.pathMtu = new PathMtu(this.c);
    this.probeResults = config.paths.map(() => "silent");
  }

  /**
   * Opens and resets a connection on a path, to see whether the target answers: see `probeResults`. `from`: the source
   * address (4 or 16 bytes) on a path that sends from the clients' addresses. Returns the source port, or NONE if there is
   * no free row or port.
   */
  probe(path: number, now: number, from: Uint8Array | null = null): number {
    this.c.now = now;
    return probe(this.c, path, from);
  }

  /**
   * Sends nothing on a path until `resume` for the same reason (INTERCEPT_AWAY, WAY_GONE), and stops the timers of its sessions;
   * what clients send is still taken.
   */
  hold(path: number, reason: number, now: number): void {
    this.c.now = now;
    holdPath(this.c, path, reason);
  }

  /** Ends `hold`; after the last reason, what was not acknowledged is sent again at once. `now`: us. */
  resume(path: number, reason: number, now: number): void {
    this.c.now = now;
    resumePath(this.c, path, reason);
  }

  /** Whether nothing may be sent on a path. */
  isHeld(path: number): boolean {
    return this.c.held[path] !== 0;
  }

  /** Index of the batch that packets of a path go to. */
  egressOf(path: number): number {
    return this.c.paths[path]!.egress;
  }

  /** A path leads another way from now on: see movePath. `now`: us. */
  move(path: number, way: NewWay, now: number): Moved {
    this.c.now = now;
    this.pathMtu.become(path, way.mtu);
    return movePath(this.c, path, way);
  }

  /** The connections of a path are not known any more to who catches their answers. `now`: us. */
  endConnections(path: number, now: number): void {
    this.c.now = now;
    endConnections(this.c, path);
  }

  /** From now on every SYN carries these 8 bytes in an option; null: no option. */
  setCookie(cookie: Uint8Array | null): void {
    this.c.cookie = cookie;
  }

  /** Calls `each` for every connection that is open on a path. */
  forEachFlow(path: number, each: EachFlow): void {
    forEachFlow(this.c, path, each);
  }

  /** Takes a captured packet of a client, for every copy of its session. `now`: us. */
  request(packet: Packet, now: number): void {
    const c = this.c;
    c.now = now;
    const fault = faultOfFlags(packet.flags);
    if (fault !== null) {
      c.counters[COUNTER[`invalid.${fault}`]]!++;
      return;
    }
    const copies = c.copies[packet.index]!;
    const first = copies[0];
    // It was captured before its service went.
    if (first === undefined) return;
    if (packet.flags & URG) c.counters[COUNTER.urgent]!++;
    fillFlowKey(c.flowKey, packet);
    if (packet.flags & SYN) {
      takeSyn(c, packet);
      return;
    }
    c.flowKey[COPY] = first;
    let s = c.clientFlows.find(c.flowKey);
    if (c.halfOpen.count > 0 && (s === NONE || c.words[s * ROW + FLAGS]! & SYN_AGAIN)) {
      if (takeFollowing(c, packet, s)) return;
      s = c.clientFlows.find(c.flowKey);
    }
    takeRequest(c, packet, s);
    for (let i = 1; i < copies.length; i++) {
      c.flowKey[COPY] = copies[i]!;
      takeRequest(c, packet, c.clientFlows.find(c.flowKey));
    }
  }

  /**
   * Takes a packet (at least its first bytes) that production's server sent to a client; `packet.index` is the service. They come
   * before or after the packets of clients that they answer: each may be read from a ring of its own.
   */
  production(packet: Packet, now: number): void {
    const c = this.c;
    c.now = now;
    if (c.protocols === null || (packet.length === 0 && !(packet.flags & (SYN | FIN | RST)))) return;
    fillOutgoingFlowKey(c.flowKey, packet);
    const copies = c.copies[packet.index]!;
    if (copies.length === 0) return;
    c.flowKey[COPY] = copies[0]!;
    if (c.halfOpen.count > 0) takeAnswer(c, packet);
    for (const copy of copies) {
      c.flowKey[COPY] = copy;
      const s = c.clientFlows.find(c.flowKey);
      if (s !== NONE) c.protocols.production(s, packet);
    }
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
      resetUnknown(c, packet);
      return;
    }
    // A target that probes its side of the connection (keep-alives) tells nothing about the client.
    if (packet.length > 0) c.times[s * TIMES + ACTIVE_AT] = now;
    takeResponse(c, s, packet, this.setProbe);
  }

  /**
   * Takes an ICMP message that a packet of ours was too big; `packet.index` is its path. It is ignored unless the sequence
   * number that it quotes is in flight (RFC 5927 section 4.1).
   */
  tooBig(packet: Packet, now: number): void {
    const c = this.c;
    c.now = now;
    // A message about a packet from a client's address is routed to that client, not to us.
    if (c.paths[packet.index]!.fromClient || !readTooBig(packet, this.message)) return;
    const s = c.ownFlows.find(packet.index, this.message.sourcePort, c.address, 0);
    if (s === NONE) return;
    const row = s * ROW;
    const isInFlight =
      distance(this.message.seq, c.words[row + SND_UNA]!) >= 0 &&
      distance(this.message.seq, c.words[row + SND_MAX]!) < 0;
    if (isInFlight) this.lowerMtu(packet.index, this.message.mtu, now);
  }

  /** Lowers the MTU (bytes) to the target of a path, and sends what is in flight again in smaller segments: see PathMtu. */
  lowerMtu(pathIndex: number, mtu: number, now: number): void {
    this.c.now = now;
    this.pathMtu.lower(pathIndex, mtu);
  }

  /** These numbers hold from now on: see changeNumbers. `now`: us. */
  change(numbers: EngineNumbers, round: number, since: number, now: number): void {
    this.c.now = now;
    changeNumbers(this.c, numbers, round, since);
  }

  /** One more path, on which nothing is sent until `resume` for these reasons. `now`: us. */
  addPath(path: Path, reasons: number, now: number): void {
    this.c.now = now;
    addPath(this.c, path, reasons);
    this.pathMtu.addPath(path);
    this.probeResults.push("silent");
  }

  /** The routes of a service, which may be new, from now on: those that it had keep their places. `now`: us. */
  setRoutes(service: number, routes: Route[], module: ProtocolModule | null, now: number): void {
    this.c.now = now;
    if (module !== null) this.c.protocols ??= new SessionProtocols(this.c, this.c.config.modules!);
    setRoutes(this.c, service, routes, module);
  }

  /** Sessions whose targets are gone deliver what was captured, and close. Returns how many there are. `now`: us. */
  retire(now: number): number {
    this.c.now = now;
    return retire(this.c);
  }

  /** Ends those that are left of them, as `end` does. */
  endRetired(now: number): boolean {
    this.c.now = now;
    return endRetired(this.c);
  }

  /** Ends the sessions whose packets are not captured any more: see leaveOut. `now`: us. */
  leaveOut(isLeftOut: Parameters<typeof leaveOut>[1], now: number): void {
    this.c.now = now;
    leaveOut(this.c, isLeftOut);
  }

  /** All client connections have ended: a packet with the same addresses and ports belongs to a new connection. */
  endClients(now: number): void {
    this.c.now = now;
    supersedeAll(this.c);
  }

  /** Runs every timer that has come due. */
  advance(now: number): void {
    this.c.now = now;
    this.pathMtu.advance();
    this.c.halfOpen.expire(now);
    this.c.wheel.advance(now, this.expireRow);
  }

  /** us until `advance` has something to do, at most `limit`. */
  wait(now: number, limit: number): number {
    return this.c.nextReady() !== NONE ? 0 : this.c.wheel.wait(now, limit);
  }

  /** Fills the batches with what is due. False when a batch was full: send the batches, clear them, and call again. */
  dispatch(now: number): boolean {
    this.c.now = now;
    return dispatch(this.c);
  }

  /** Sets the counters `waiting`, `waitingForConnection` and `behind` to what is true now. `now`: us. */
  look(now: number): void {
    this.c.now = now;
    look(this.c);
  }

  /** Whether a turn was held up within the last 3 ms by an answer that is expected soon: poll for responses soon. */
  isHeldUp(now: number): boolean {
    return now - this.c.heldUpAt < HELD_UP_SPAN;
  }

  /** Takes one request of UDP off the limit of turns per second; false if the limit is used up. */
  allowRequest(now: number): boolean {
    this.c.now = now;
    return this.c.allowTurn();
  }

  /** Turns captured and neither sent nor dropped, over all sessions. */
  get pending(): number {
    return this.c.counters[COUNTER.turnsPending]!;
  }

  /** Captured segments beyond a gap, over all sessions. */
  get segmentsHeld(): number {
    return this.c.segmentsHeld;
  }

  /**
   * Ends every session: turns that were not delivered are dropped as "ended", open connections get a RST. False when a
   * batch was full: send the batches, clear them, and call again.
   */
  end(now: number): boolean {
    this.c.now = now;
    return end(this.c);
  }
}
