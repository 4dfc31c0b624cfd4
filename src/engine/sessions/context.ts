/** The state that all parts of the engine share: configuration, tables, segments, timers, counters, batches. */
import type { ProtocolModule } from "../../protocol/module.ts";
import type { PacketBatch } from "../../wire/batch.ts";
import type { IpPair } from "../../wire/ip.ts";
import { emptyOptions } from "../../wire/tcp.ts";
import { COUNTER, type DropReason } from "./counters.ts";
import { ClientFlows, FLOW_WORDS, OwnFlows } from "./flows.ts";
import { HalfOpen } from "./half-open.ts";
import { Ports } from "./ports.ts";
import type { Protocols } from "./protocols.ts";
import type { SecuredName } from "./secured.ts";
import { Segments } from "./segments.ts";
import { alone, capacityOf, SessionBudget, type Share, TurnLimit } from "./share.ts";
import { Spread } from "./spread.ts";
import { FLAGS, NONE, READY, ROW, SessionTable } from "./table.ts";
import { Users } from "./users.ts";
import { WaitingSessions } from "./waiting.ts";
import { copiesOf, creditAfter } from "./weights.ts";
import { Wheel } from "./wheel.ts";

/**
 * When a turn is sent, once the turn before is answered: "clock": when it was captured, or at once if that time is past;
 * "think": after the client's think time; "fast": at once.
 */
export type Pace = "clock" | "think" | "fast";

/** What becomes of turns that are not begun `after` us after they were due: they are dropped, or spread (turns/late.ts). */
export interface Late {
  after: number;
  spreads: boolean;
}

/** Takes answer times, us: from the last byte of a request to the last packet of its answer. */
export interface AnswerTimes {
  production(us: number): void;
  target(us: number): void;
}

/** A target as seen from one source address. */
export interface Path {
  pair: IpPair;
  targetPort: number;
  /** Index of the batch its packets go to. */
  egress: number;
  /** Largest IP packet, bytes. */
  mtu: number;
  /** Each connection has its client's address as source: the source of `pair` is set for each packet. */
  fromClient?: boolean;
}

/** One of the targets of a route. */
export interface Target {
  /** Its share of the sessions is this divided by the sum of the weights of the route. */
  weight: number;
  /** Path indexes, one per source address; connections use them in rotation. */
  paths: number[];
}

/** Where a copy of a session goes: to one of these targets, chosen when the session begins. */
export type Route = Target[];

export interface EngineConfig {
  /**
   * By service, its routes: every session is copied to each route, `replicas` times. Copy `replicas * r + n` goes to route r. Targets
   * with the weight 0 are gone: a route where all are gets no copies.
   */
  services: Route[][];
  paths: Path[];
  replicas: number;
  /** Each replica after the first is delayed by a random time below this, us. */
  jitter: number;
  /** Whether a turn waits for the answer of the turn before. */
  waitsForAnswers: boolean;
  pace: Pace;
  /** Absent or null: late turns wait. */
  late?: Late | null;
  /** Absent: answer times are not measured. */
  answerTimes?: AnswerTimes;
  /** us after which a turn is sent without the answer to the turn before. */
  turnTimeout: number;
  /** us of silence after which an answer shorter than production's counts as complete; 0: two round trips, as measured. */
  quiet: number;
  /** Whether sessions whose SYN was not captured are copied. */
  takesMidstream: boolean;
  /** Most turns per second, over all engines; 0: no limit. */
  turnLimit: number;
  /**
   * 1 or 2: a PROXY protocol header of that version opens each connection; 0: the one that the client has sent, if it has; -1: none.
   */
  proxyProtocol: -1 | 0 | 1 | 2;
  /** Most sessions with a connection at a time, the others wait in order; 0 or absent: no limit. */
  users?: number;
  /** Source ports of all engines together: ranges [first, last]. */
  ports: [number, number][];
  /** Most sessions of all engines together. */
  maxSessions: number;
  /** The part of the limit of turns, the ports and the sessions that is this engine's; absent: all of them. */
  share?: Share;
  /** Most bytes of captured payload and descriptors. */
  memory: number;
  /** Most bytes of payload that one session may keep. */
  sessionBytes: number;
  /** us in which the target neither acknowledges nor answers, after which its turns are given up. */
  sessionTimeout: number;
  /** us without a packet after which a session with no pending turn is ended. */
  idleTimeout: number;
  /** The counters, at the indexes of COUNTER; may be longer. */
  counters: Float64Array;
  /** Whether connections from a client's address use the client's port too, if it is free. */
  keepsClientPorts?: boolean;
  /**
   * Called before the first packet of a flow: responses to this port are ours from now on. The client's address is in
   * `words` at `at`, four words (IPv4 as IPv4-mapped IPv6). `iss`: the sequence number of the SYN (RFC 9293).
   */
  openFlow: (path: number, port: number, words: Int32Array, at: number, iss: number) => void;
  /** At least 0, less than 1. */
  random: () => number;
  /** The hash of bytes, for the keys of Multipath TCP; absent: where their data begins is known by its first mapping only. */
  sha256?: (bytes: Uint8Array) => Uint8Array;
  /** Gives PIECE (arena.ts) zeroed bytes for payload each time, which are kept; absent: the runtime's heap. */
  takePiece?: () => ArrayBuffer;
  /** By service, the protocol module of its sessions or null; absent: no service has one. */
  modules?: (ProtocolModule | null)[];
  /** Called when a client of a service is recognized to use a protocol that no copy works of. */
  onSecured?: (service: number, name: SecuredName) => void;
  /** Called with the error that a module has thrown. */
  onProtocolFailure?: (module: string, error: unknown) => void;
  /** A module could not see where an answer on this path ends, as the target's bytes were captured in part. May be called often. */
  onEndUnseen?: (path: number) => void;
}

// What `subflows` says of a session that is of Multipath TCP; 0: it is not.
/** No mapping of its data was seen yet. */
export const MULTIPATH = 1;
/** `mappingShifts` has that of its data. */
export const MAPPED = 2;
/** Nothing of it is copied: see subflows.ts. */
export const ASIDE = 3;

export class Context {
  readonly config: EngineConfig;
  readonly share: Share;
  readonly paths: Path[];
  readonly table: SessionTable;
  readonly words: Int32Array;
  readonly times: Float64Array;
  readonly segments: Segments;
  readonly wheel: Wheel;
  readonly clientFlows: ClientFlows;
  readonly ownFlows: OwnFlows;
  readonly halfOpen: HalfOpen;
  readonly ports: Ports;
  readonly counters: Float64Array;
  /** By egress; set by the constructor of the engine. */
  batches: PacketBatch[] = [];
  /** Reused by every lookup in `clientFlows`. */
  readonly flowKey = new Int32Array(FLOW_WORDS);
  /** Reused by every lookup in `ownFlows`: the address that a response was sent to. */
  readonly address = new Int32Array(4);
  /** Which sessions may have a connection; null: all. */
  users: Users | null;
  /** The sessions with a protocol module, set by the engine before its first packet; null: no service has one. */
  protocols: Protocols | null = null;
  /** By path: why it is held, so that nothing may be sent; 0: it is not (hold.ts). */
  readonly held: number[];
  /** By path: when it was held last, us. */
  readonly heldSince: number[];
  /** 8 bytes that every SYN carries (see wire/tcp.ts), or null. */
  cookie: Uint8Array | null = null;
  /** Reused by every call of `parseOptions`. */
  readonly options = emptyOptions();
  /** The time of the current call of the engine, us. */
  now: number;
  /** When a turn was last held up because the turn before it had no answer yet, though that is expected soon, us. */
  heldUpAt = 0;
  /** By session: the segment with the PROXY protocol header that its client has sent (turns/proxy-header.ts); NONE: none. */
  readonly proxyHeaders: Int32Array;
  /**
   * By session: 1 where the target has closed the last connection, and it is not known yet whether production's service kept its
   * own (turns/target-close.ts).
   */
  readonly hasClosed: Uint8Array;
  /** By session: whether its client uses Multipath TCP; and if it is MAPPED, by what its mappings shift (mappingShift). */
  readonly subflows: Uint8Array;
  readonly mappingShifts: Int32Array;
  /** Sessions with turns that wait. */
  readonly waiting: WaitingSessions;
  /** The connections that carry late turns of other sessions; null: late turns are not spread. */
  spread: Spread | null;
  /** Segments beyond a gap, over all sessions. */
  segmentsHeld = 0;
  /** us; before this time no idle session is looked for that could make room: none was found (eviction.ts). */
  nextDisplacement = 0;
  /** IPv4 identification of the next packet. */
  packetId = 1;
  /** By service, route and target: its credit (see weights.ts). */
  readonly credit: number[][][];
  /** By service: the copies of each session, by their numbers; empty: the service is gone. */
  readonly copies: number[][];
  /** By service, route and target: index of the path that its next connection takes. */
  readonly pathRotation: number[][][];
  turnLimit: TurnLimit;
  private readonly queue: Int32Array;
  private queueHead = 0;
  private queueTail = 0;

  constructor(config: EngineConfig, now: number) {
    this.config = config;
    this.share = config.share ?? alone(now);
    this.paths = config.paths;
    const { share } = this;
    const capacity = capacityOf(share, config.maxSessions);
    const budget = share.workers > 1 ? new SessionBudget(share, config.maxSessions) : null;
    this.table = new SessionTable(capacity, budget);
    this.words = this.table.words;
    this.times = this.table.times;
    this.segments = new Segments(config.memory, config.takePiece);
    this.wheel = new Wheel(capacity, now);
    this.clientFlows = new ClientFlows(this.table);
    this.ownFlows = new OwnFlows(
      this.table,
      config.paths.map(({ fromClient }) => fromClient === true),
    );
    const seed = Math.floor(config.random() * 2 ** 32) | 0;
    this.halfOpen = new HalfOpen(this.segments, config.counters, this.options, config.memory, seed);
    this.users = config.users ? new Users(capacity, config.users) : null;
    this.proxyHeaders = new Int32Array(capacity).fill(NONE);
    this.hasClosed = new Uint8Array(capacity);
    this.subflows = new Uint8Array(capacity);
    this.mappingShifts = new Int32Array(capacity);
    this.waiting = new WaitingSessions(capacity);
    this.spread = config.late?.spreads ? new Spread(capacity) : null;
    this.held = config.paths.map(() => 0);
    this.heldSince = config.paths.map(() => 0);
    this.ports = new Ports(config.ports, config.random, config.paths.map(unusablePort), share);
    this.counters = config.counters;
    this.now = now;
    // Each engine begins with a different target, so that also few sessions are spread over all targets.
    this.credit = config.services.map((routes) => routes.map((route) => creditAfter(route, share.worker)));
    this.pathRotation = config.services.map((routes) =>
      routes.map((route) => route.map(({ paths }) => share.worker % Math.max(1, paths.length))),
    );
    this.copies = config.services.map((routes) => copiesOf(routes, config.replicas));
    this.turnLimit = new TurnLimit(share, config.turnLimit);
    // A row that is released while it is queued leaves a stale entry: there is room for those of one round.
    this.queue = new Int32Array(2 ** Math.ceil(Math.log2(capacity + 65536)));
  }

  /** Queues the session for the next dispatch, unless it is queued already. */
  makeReady(s: number): void {
    const at = s * ROW + FLAGS;
    const flags = this.words[at]!;
    if (flags & READY) return;
    this.words[at] = flags | READY;
    this.queue[this.queueTail & (this.queue.length - 1)] = s;
    this.queueTail = (this.queueTail + 1) | 0;
  }

  /** The first session of the queue, or -1; it stays in the queue until `removeReady`. */
  nextReady(): number {
    if (this.queueHead === this.queueTail) return -1;
    return this.queue[this.queueHead & (this.queue.length - 1)]!;
  }

  removeReady(): void {
    this.queueHead = (this.queueHead + 1) | 0;
  }

  /** Takes one turn off the limit of turns per second; false if the limit is used up. */
  allowTurn(): boolean {
    return this.turnLimit.take(this.now);
  }

  /** Counts `count` pending turns as dropped; the caller adjusts TURNS of the session. */
  dropTurns(count: number, reason: DropReason): void {
    if (count === 0) return;
    this.counters[COUNTER.turnsPending]! -= count;
    this.counters[COUNTER.turnsDropped]! += count;
    this.counters[COUNTER[`dropped.${reason}`]]! += count;
  }
}

/** A source port equal to the target's would connect a target on this host to itself; 0 where the target is another host. */
export function unusablePort({ pair, targetPort }: Path): number {
  return pair.source.join() === pair.destination.join() ? targetPort : 0;
}
