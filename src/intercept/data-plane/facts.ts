/**
 * Answers what a copy asks this host to find out why answers do not come back: ASK of the channel.
 *
 *     { id, what: "sync" }                                      -> { id }: all messages before it were read
 *     { id, what: "route", address }                            -> { id, route }
 *     { id, what: "probe", client, clientPort, server, serverPort } -> { id, ...ProbeFacts }
 *
 * The first probe question about a flow also begins to watch it: ask before the SYN, and again after it. An answer comes after
 * all responses that it counts.
 */
import { readFileSync } from "node:fs";
import type { Ask, Facts } from "../../channel/messages.ts";
import { formatAddress, parseAddress } from "../../config/address.ts";
import { links, NetlinkError, NUD_UNANSWERED, neighbour, route } from "../../native/netlink/netlink.ts";
import { LISTEN, openSockets } from "../../native/sockets.ts";
import type { Packet } from "../../wire/packet.ts";
import { ACK, RST, SYN } from "../../wire/tcp.ts";
import type { InterceptPlaneConfig } from "./config.ts";
import { FlowKey } from "./flow-key.ts";

/** How this host would send to an address: null where it would not, with the reason. */
export type RouteFact =
  | { type: string; interface: string; gateway: string | null; source: string | null; mtu: number }
  | { error: string };

/** All that this host knows about one flow, and about what may block it. */
export interface ProbeFacts {
  mode: string;
  hook: string;
  interfaces: string[];
  /** Whether the flow is known: by its SYN (mode target), or registered. */
  known: boolean;
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
}

/** The flows that copies ask about. */
export class Questions {
  readonly #watched: Watched[] = [];
  readonly #key = new FlowKey();
  #second = 0;
  #answers = 0;

  constructor(
    readonly config: InterceptPlaneConfig,
    /** Whether a flow is known. */
    readonly knows: (key: FlowKey) => boolean,
  ) {}

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
    const watched = { key, caught: 0, sent: 0, synAck: false, reset: false };
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

function sysctl(name: string): number | null {
  try {
    return Number(readFileSync(`/proc/sys/net/${name}`, "utf8"));
  } catch {
    return null;
  }
}

/** Whether an interface has rp_filter=1: the larger of its own value and that of `all` applies (ip-sysctl.rst). */
function isStrict(name: string): boolean {
  const own = sysctl(`ipv4/conf/${name}/rp_filter`) ?? 0;
  return Math.max(own, sysctl("ipv4/conf/all/rp_filter") ?? 0) === 1;
}

function routeTo(address: Uint8Array): RouteFact {
  try {
    const found = route(address);
    const link = links().find(({ ifindex }) => ifindex === found.ifindex);
    return {
      type: found.type,
      interface: link?.name ?? "",
      gateway: found.gateway && formatAddress(found.gateway),
      source: found.source && formatAddress(found.source),
      mtu: found.mtu || (link?.mtu ?? 0),
    };
  } catch (error) {
    if (error instanceof NetlinkError) return { error: error.message };
    throw error;
  }
}

/** The next hop towards an address, if the kernel has asked for its MAC address and got no answer. */
function unresolvedTo(address: Uint8Array): string | null {
  try {
    const { type, gateway, ifindex } = route(address);
    const next = gateway ?? address;
    const isUnanswered =
      type === "unicast" && ((neighbour(ifindex, next)?.state ?? 0) & NUD_UNANSWERED) !== 0;
    return isUnanswered ? formatAddress(next) : null;
  } catch (error) {
    if (error instanceof NetlinkError) return null;
    throw error;
  }
}

function listens(port: number, family: 4 | 6): boolean {
  const tables = family === 4 ? (["tcp", "tcp6"] as const) : (["tcp6"] as const);
  return tables.some((table) =>
    openSockets(table).some((socket) => socket.state === LISTEN && socket.port === port),
  );
}

function isOwn(address: Uint8Array): boolean {
  try {
    return route(address).type === "local";
  } catch (error) {
    if (error instanceof NetlinkError) return false;
    throw error;
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
  const { caught, sent, synAck, reset } = questions.watch(key);
  const client = parseAddress(question.client as string)!;
  const server = parseAddress(question.server as string)!.bytes;
  const back = routeTo(client.bytes);
  const through = "error" in back ? null : back.interface;
  const [count, max] = [sysctl("netfilter/nf_conntrack_count"), sysctl("netfilter/nf_conntrack_max")];
  return {
    mode,
    hook,
    interfaces,
    known: questions.knows(key),
    caught,
    sent,
    synAck,
    reset,
    route: back,
    unresolved: unresolvedTo(client.bytes),
    rpFilter: {
      all: sysctl("ipv4/conf/all/rp_filter"),
      interface: through ? sysctl(`ipv4/conf/${through}/rp_filter`) : null,
    },
    strict: client.family === 4 ? interfaces.filter((name) => name !== "lo" && isStrict(name)) : [],
    ipForward: sysctl(client.family === 4 ? "ipv4/ip_forward" : "ipv6/conf/all/forwarding"),
    conntrack: count === null || max === null ? null : { count, max },
    listening: isOwn(server) ? listens(question.serverPort as number, client.family) : null,
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
  const address = typeof question.address === "string" ? parseAddress(question.address) : null;
  if (what === "route" && address) return { id, route: routeTo(address.bytes) };
  return { id, error: `there is no answer to "${what}"` };
}
