/** What the parts of the engine share: tables, storage, timers, counters, and the way out. */
import type { ProtocolModule } from "../../protocol/module.ts";
import type { PacketBatch } from "../../wire/batch.ts";
import type { IpPair } from "../../wire/ip.ts";
import { emptyOptions } from "../../wire/tcp.ts";
import { COUNTER, type DropReason } from "./counters.ts";
import { ClientFlows, FLOW_WORDS, OwnFlows } from "./flows.ts";
import { Ports } from "./ports.ts";
import type { Protocols } from "./protocols.ts";
import { Segments } from "./segments.ts";
import { alone, capacityOf, SessionBudget, type Share, TurnLimit } from "./share.ts";
import { FLAGS, READY, ROW, SessionTable } from "./table.ts";
import { Users } from "./users.ts";
import { creditAfter } from "./weights.ts";
import { Wheel } from "./wheel.ts";

/** A target as seen from one source address. */
export interface Path {
  pair: IpPair;
  targetPort: number;
  /** Index of the batch its packets go to. */
  egress: number;
  /** Largest IP packet, bytes. */
  mtu: number;
  /** Each connection comes from the address of its client: the source of `pair` is set anew for each packet. */
  fromClient?: boolean;
}

/** One of the targets of a route. */
export interface Target {
  /** Its share of the sessions is this over the sum of the route's. */
  weight: number;
  /** Path indexes, one per source address; connections take them in rotation. */
  paths: number[];
}

/** Where a copy of a session goes: to one of these, chosen when the session begins. */
export type Route = Target[];

export interface EngineConfig {
  /** For each service its routes: every session is copied along each of them, `replicas` times. */
  services: Route[][];
  paths: Path[];
  replicas: number;
  /** us over which the replicas after the first are spread at random. */
  jitter: number;
  /** Whether a turn waits for the answer of the turn before. */
  waitsForAnswers: boolean;
  /** Whether a turn keeps the client's think time. */
  keepsThinkTime: boolean;
  /** us after which a turn goes on without the answer of the turn before. */
  turnTimeout: number;
  /** us of silence that end an answer shorter than production's; 0: measured (two round trips). */
  quiet: number;
  /** Whether sessions are picked up whose SYN was not captured. */
  takesMidstream: boolean;
  /** Most turns per second, 0 for no limit; of all engines together. */
  turnLimit: number;
  /** 1 or 2: a PROXY protocol header of that version opens each connection; 0: none. */
  proxyProtocol: 0 | 1 | 2;
  /** Most sessions that have connections at a time, the others wait for their turn in order; 0 or absent: no limit. */
  users?: number;
  /** Source ports, ranges [first, last], and most sessions; of all engines together. */
  ports: [number, number][];
  maxSessions: number;
  /** What this engine has of that; absent: all. */
  share?: Share;
  /** Bytes of kept payload and descriptors. */
  memory: number;
  /** Bytes one session may keep. */
  sessionBytes: number;
  /** us without an answer after which a turn is given up. */
  sessionTimeout: number;
  /** us without a sign of life after which an idle session is forgotten. */
  idleTimeout: number;
  /** Where COUNTER's values go; longer is fine. */
  counters: Float64Array;
  /** Whether paths that send from the clients' addresses use the clients' ports too, where they are free. */
  keepsClientPorts?: boolean;
  /**
   * Told before the first packet of a flow: responses to this port are ours from now on. The client's address is in
   * `words` at `at`, four words (IPv4-mapped where it is IPv4).
   */
  openFlow: (path: number, port: number, words: Int32Array, at: number) => void;
  /** 0 to 1. */
  random: () => number;
  /** For each service the protocol module of its sessions; absent: none has one. */
  modules?: (ProtocolModule | null)[];
  /** Told what a module has thrown. */
  onProtocolFailure?: (module: string, error: unknown) => void;
}

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
  readonly ports: Ports;
  readonly counters: Float64Array;
  /** By egress; replaced by every dispatch. */
  batches: PacketBatch[] = [];
  /** Reused by whoever looks a flow up. */
  readonly flowKey = new Int32Array(FLOW_WORDS);
  /** Reused by whoever looks an own flow up: the address that a response is sent to. */
  readonly address = new Int32Array(4);
  /** Who may have a connection; null: everybody. */
  readonly users: Users | null;
  /** The sessions with a protocol module, set by the engine before its first packet; null: there can be none. */
  protocols: Protocols | null = null;
  /** By path: nothing may be sent. */
  readonly held: boolean[];
  /** By path: when it was held last, us. */
  readonly heldSince: number[];
  /** 8 bytes that every SYN carries (see wire/tcp.ts), or null. */
  cookie: Uint8Array | null = null;
  /** Reused by whoever parses options. */
  readonly options = emptyOptions();
  /** us. */
  now: number;
  /** When a turn was last held up because the turn before it had no answer yet. */
  heldUpAt = 0;
  /** Segments beyond a gap, over all sessions. */
  segmentsHeld = 0;
  /** IPv4 identification of the next packet. */
  packetId = 1;
  /** Per service, route and target: what it is owed in sessions, and whose path is next. */
  readonly credit: number[][][];
  readonly pathRotation: number[][][];
  readonly turnLimit: TurnLimit;
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
    this.segments = new Segments(config.memory);
    this.wheel = new Wheel(capacity, now);
    this.clientFlows = new ClientFlows(this.table);
    this.ownFlows = new OwnFlows(
      this.table,
      config.paths.map(({ fromClient }) => fromClient === true),
    );
    this.users = config.users ? new Users(capacity, config.users) : null;
    this.held = config.paths.map(() => false);
    this.heldSince = config.paths.map(() => 0);
    this.ports = new Ports(config.ports, config.random, config.paths.map(ownEnd), share);
    this.counters = config.counters;
    this.now = now;
    // Each engine begins with another target, so that few sessions are spread as they would be by one.
    this.credit = config.services.map((routes) => routes.map((route) => creditAfter(route, share.worker)));
    this.pathRotation = config.services.map((routes) =>
      routes.map((route) => route.map(({ paths }) => share.worker % Math.max(1, paths.length))),
    );
    this.turnLimit = new TurnLimit(share, config.turnLimit);
    // Rows that were released while queued leave a stale entry each: room for those of one round.
    this.queue = new Int32Array(2 ** Math.ceil(Math.log2(capacity + 65536)));
  }

  /** Asks for the session to be looked at by the next dispatch, once. */
  makeReady(s: number): void {
    const at = s * ROW + FLAGS;
    const flags = this.words[at]!;
    if (flags & READY) return;
    this.words[at] = flags | READY;
    this.queue[this.queueTail & (this.queue.length - 1)] = s;
    this.queueTail = (this.queueTail + 1) | 0;
  }

  /** The session to look at next, or -1; it stays in the queue until `removeReady`. */
  nextReady(): number {
    if (this.queueHead === this.queueTail) return -1;
    return this.queue[this.queueHead & (this.queue.length - 1)]!;
  }

  removeReady(): void {
    this.queueHead = (this.queueHead + 1) | 0;
  }

  /** Takes one turn off what `turnLimit` allows; false if that is used up. */
  allowTurn(): boolean {
    return this.turnLimit.take(this.now);
  }

  /** Counts turns that end undelivered; the caller has taken them off its own books. */
  dropTurns(count: number, reason: DropReason): void {
    if (count === 0) return;
    this.counters[COUNTER.turnsPending]! -= count;
    this.counters[COUNTER.turnsDropped]! += count;
    this.counters[COUNTER[`dropped.${reason}`]]! += count;
  }
}

/** The port from which a target on this host would connect to itself, 0 where the target is another host. */
function ownEnd({ pair, targetPort }: Path): number {
  return pair.source.join() === pair.destination.join() ? targetPort : 0;
}
