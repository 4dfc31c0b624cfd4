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
import { ACK, distance, FIN, RST, SYN, URG } from "../wire/tcp.ts";
import { newRow, OWN_MSS, OWN_WSCALE, openSession, takeData, takeEnd, takeSyn } from "./clients.ts";
import { connect, endSession } from "./connection.ts";
import { Context, type EngineConfig } from "./context.ts";
import { COUNTER } from "./counters.ts";
import { dropAllTurns } from "./drop.ts";
import { emitControl, emitReset, hasRoom } from "./emit.ts";
import { arm, expire } from "./expiry.ts";
import { takeResponse } from "./receiver.ts";
import { resendSmaller } from "./retransmission.ts";
import { transmit } from "./sender.ts";
import { takeHandshake } from "./stream.ts";
import {
  ACTIVE_AT,
  CLIENT_ADDRESS,
  CLIENT_FIN,
  CLIENT_PORTS,
  CLIENT_RST,
  CLIENTLESS,
  CLOSED,
  COPY,
  ESTABLISHED,
  FLAGS,
  FREE,
  MIDSTREAM,
  NONE,
  OFFER_MSS,
  OFFER_SACK,
  OFFER_TIMESTAMPS,
  OFFER_WSCALE,
  ONLINE_ADDRESS,
  PATH,
  READY,
  ROW,
  SND_MAX,
  SND_UNA,
  STATE,
  TIME_WAIT,
  TIMES,
} from "./table.ts";

export type { EngineConfig, Path, Route, Target } from "./context.ts";

/** Least MTU believed of an IPv4 and an IPv6 path (Linux's min_pmtu; RFC 8200). */
const LEAST_MTU_IPV4 = 552;
const LEAST_MTU_IPV6 = 1280;
/** For how long a held-up turn is worth a hurry, us. */
const HELD_UP_SPAN = 3000;

/** What trying a path came to. */
export type ProbeResult = "silent" | "answered" | "refused";

export class Engine {
  /** By path; meaningful for the paths that `probe` was called for. */
  readonly probeResults: ProbeResult[];
  private readonly c: Context;
  private readonly message: TooBig = { mtu: 0, sourcePort: 0, seq: 0 };
  private readonly expireRow = (s: number): void => expire(this.c, s);
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
    const s = newRow(c);
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
        arm(c, s);
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
        emitControl(c, s, RST | ACK);
      }
      endSession(c, s, "ended");
    }
    return true;
  }
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
