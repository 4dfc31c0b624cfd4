/**
 * Answers what a copy asks this host to find out why answers do not come back: ASK of the channel.
 *
 *     { id, what: "sync" }                                      -> { id }: all messages before it were read
 *     { id, what: "route", address }                            -> { id, route }
 *     { id, what: "probe", client, clientPort, server, serverPort } -> { id, ...ProbeFacts }
 *     { id, what: "host", addresses, servers }                  -> { id, ...HostFacts }: see host-facts.ts
 *
 * The first probe question about a flow also begins to watch it: ask before the SYN, and again after it. An answer comes after
 * all responses that it counts.
 */
import type { Ask, Facts } from "../../channel/messages.ts";
import { parseAddress } from "../../config/address.ts";
import { type Dropped, droppedSince, readDropped } from "../../native/facts/dropped.ts";
import type { Packet } from "../../wire/packet.ts";
import { ACK, RST, SYN } from "../../wire/tcp.ts";
import { Blocking, type BlockingRule } from "./blocking.ts";
import type { InterceptPlaneConfig } from "./config.ts";
import { FlowKey } from "./flow-key.ts";
import {
  conntrack,
  hostFacts,
  isOwn,
  isStrict,
  listens,
  type RouteFact,
  routeTo,
  sysctl,
  unresolvedTo,
} from "./host-facts.ts";

/** All that this host knows about one flow, and about what may block it. */
export interface ProbeFacts {
  mode: string;
  hook: string;
  interfaces: string[];
  /** Whether the flow is known: by its SYN (mode target), or registered. */
  known: boolean;
  /**
   * What this host has dropped since the flow is watched, of all connections: packets by rp_filter, and first packets of connections
   * as the queue of a service that listens was full; null: not known.
   */
  dropped: Dropped | null;
  /** Responses of the flow that were caught since it is watched, and those that were sent to the copy. */
  caught: number;
  sent: number;
  synAck: boolean;
  reset: boolean;
  /** The route back to the client. */
  route: RouteFact;
  /** The next hop of that route, if it does not answer ARP or neighbour discovery; null: it does, or nobody has asked. */
  unresolved: string | null;
  /** rp_filter of `all`, and of the interface of the route; null: not known. */
  rpFilter: { all: number | null; interface: number | null };
  /** Interfaces that take packets of a client only if the route back to it leads out there (rp_filter=1). */
  strict: string[];
  ipForward: number | null;
  conntrack: { count: number; max: number } | null;
  /** Whether a process of this host (of this network namespace) listens there; null: the server is another host. */
  listening: boolean | null;
  /** A rule of this host that drops the flow, by the rules at the start of this process; null: none is known. */
  blocked: BlockingRule | null;
}

const MOST_WATCHED = 64;
/** Questions that are answered per second, over all copies: each reads a few files. */
const MOST_ANSWERS = 50;

interface Watched {
  key: FlowKey;
  caught: number;
  sent: number;
  synAck: boolean;
  reset: boolean;
  /** Since this host is up. */
  dropped: Dropped | null;
}

/** The flows that copies ask about. */
export class Questions {
  readonly #watched: Watched[] = [];
  readonly #key = new FlowKey();
  readonly #blocking: Blocking;
  #second = 0;
  #answers = 0;

  constructor(
    readonly config: InterceptPlaneConfig,
    /** Whether a flow is known. */
    readonly knows: (key: FlowKey) => boolean,
  ) {
    this.#blocking = new Blocking(config.rules);
  }

  /** The rule that drops a connection of a question; null: none is known. */
  blockedBy(client: Uint8Array, server: Uint8Array, question: Ask, back: RouteFact): BlockingRule | null {
    const { interfaces } = this.config;
    return this.#blocking.find({
      ...{ client, clientPort: question.clientPort as number },
      ...{ server, serverPort: question.serverPort as number },
      in: interfaces.length === 1 ? interfaces[0] : undefined,
      out: "error" in back ? undefined : back.interface,
    });
  }

  /** Whether any flow is watched; if not, `see` need not be called. */
  get isWatching(): boolean {
    return this.#watched.length > 0;
  }

  /** Counts a response that was caught; `sent`: it was handed to a copy. */
  see(packet: Packet, sent: boolean): void {
    const key = this.#key.ofResponse(packet);
    for (const watched of this.#watched) {
      if (!watched.key.words.every((word, index) => word === key.words[index])) continue;
      watched.caught++;
      if (sent) watched.sent++;
      if ((packet.flags & (SYN | ACK)) === (SYN | ACK)) watched.synAck = true;
      if (packet.flags & RST) watched.reset = true;
    }
  }

  watch(key: FlowKey): Watched {
    const known = this.#watched.find((one) =>
      one.key.words.every((word, index) => word === key.words[index]),
    );
    if (known) return known;
    if (this.#watched.length === MOST_WATCHED) this.#watched.shift();
    const watched = { key, caught: 0, sent: 0, synAck: false, reset: false, dropped: readDropped() };
    this.#watched.push(watched);
    return watched;
  }

  /** Counts a question; whether there were too many in this second. */
  areTooMany(now: number): boolean {
    const second = Math.floor(now / 1e6);
    if (second !== this.#second) this.#answers = 0;
    this.#second = second;
    return ++this.#answers > MOST_ANSWERS;
  }
}

function port(value: unknown): number | null {
  return Number.isInteger(value) && (value as number) > 0 && (value as number) < 65536
    ? (value as number)
    : null;
}

function keyOf({ client, clientPort, server, serverPort }: Ask): FlowKey | null {
  const [from, to] = [client, server].map((text) => (typeof text === "string" ? parseAddress(text) : null));
  const [first, second] = [port(clientPort), port(serverPort)];
  if (!from || !to || from.family !== to.family || first === null || second === null) return null;
  const key = new FlowKey();
  key.bytes.set(from.bytes, 0);
  key.bytes.set(to.bytes, 16);
  new DataView(key.bytes.buffer).setUint16(32, first);
  new DataView(key.bytes.buffer).setUint16(34, second);
  return key;
}

function probe(questions: Questions, question: Ask): ProbeFacts | { error: string } {
  const key = keyOf(question);
  if (!key) return { error: "the question names no flow" };
  const { mode, hook, interfaces } = questions.config;
  const { caught, sent, synAck, reset, dropped } = questions.watch(key);
  const client = parseAddress(question.client as string)!;
  const server = parseAddress(question.server as string)!.bytes;
  const isHere = isOwn(server);
  const from = isHere ? server : null;
  const back = routeTo(client.bytes, from);
  const through = "error" in back ? null : back.interface;
  return {
    mode,
    hook,
    interfaces,
    known: questions.knows(key),
    dropped: dropped && droppedSince(dropped),
    caught,
    sent,
    synAck,
    reset,
    route: back,
    unresolved: unresolvedTo(client.bytes, from),
    rpFilter: {
      all: sysctl("ipv4/conf/all/rp_filter"),
      interface: through ? sysctl(`ipv4/conf/${through}/rp_filter`) : null,
    },
    strict: client.family === 4 ? interfaces.filter((name) => name !== "lo" && isStrict(name)) : [],
    ipForward: sysctl(client.family === 4 ? "ipv4/ip_forward" : "ipv6/conf/all/forwarding"),
    conntrack: conntrack(),
    listening: isHere ? listens(question.serverPort as number, client.family) : null,
    blocked: isHere ? questions.blockedBy(client.bytes, server, question, back) : null,
  };
}

/** Begins to count what is caught of the flow that a question is about. */
export function watch(questions: Questions, question: Ask): void {
  const key = question.what === "probe" ? keyOf(question) : null;
  if (key) questions.watch(key);
}

/** Answers a copy's question. `now`: us. */
export function answer(questions: Questions, question: Ask, now: number): Facts {
  const { id, what } = question;
  if (what === "sync") return { id };
  if (questions.areTooMany(now)) return { id, error: "too many questions; ask again in a second" };
  if (what === "probe") return { id, ...probe(questions, question) };
  if (what === "host") return { id, ...hostFacts(questions.config, question) };
  const address = typeof question.address === "string" ? parseAddress(question.address) : null;
  if (what === "route" && address) return { id, route: routeTo(address.bytes) };
  return { id, error: `there is no response to "${what}"` };
}
