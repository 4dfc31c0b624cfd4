/** What an intercept tells a copy of its host, as far as it may break the way to a target or back: for `xcopy doctor`. */
import { readFileSync } from "node:fs";
import { release } from "node:os";
import type { Ask } from "../../channel/messages.ts";
import { type Address, formatAddress, parseAddress, sameAddress } from "../../config/address.ts";
import { EINVAL } from "../../native/libc.ts";
import { links, NetlinkError, NUD_UNANSWERED, neighbour, route } from "../../native/netlink/netlink.ts";
import { CLOSE, LISTEN, openSockets } from "../../native/sockets.ts";
import type { InterceptPlaneConfig } from "./config.ts";

/** How this host would send to an address: null where it would not, with the reason. */
export type RouteFact =
  | { type: string; interface: string; gateway: string | null; source: string | null; mtu: number }
  | { error: string };

/** The answer to `{ what: "host", addresses, servers }`. */
export interface HostFacts {
  version: string;
  /** "6.12.9-amd64". */
  kernel: string;
  /** ms since 1970 by this host's clock. */
  time: number;
  mode: string;
  hook: string;
  /** At most MOST_NAMED. */
  interfaces: string[];
  /** Of these, those that take packets of a client only if the route back to it leads out there (rp_filter=1). */
  strict: string[];
  ipForward: { 4: number | null; 6: number | null };
  conntrack: { count: number; max: number } | null;
  /** How this host would send to the addresses of the question; `unresolved`: the next hop, if nobody answers for it. */
  routes: { address: string; route: RouteFact; unresolved: string | null }[];
  /** The servers of the question: `listening` is null where the address is not of this host. */
  servers: { address: string; port: number; transport: "tcp" | "udp"; listening: boolean | null }[];
}

/** Of each list of a question and an answer: an answer stays well below what one message holds. */
const MOST_NAMED = 64;

export function sysctl(name: string): number | null {
  try {
    return Number(readFileSync(`/proc/sys/net/${name}`, "utf8"));
  } catch {
    return null;
  }
}

/** How full the table of connection tracking is; null: there is none. */
export function conntrack(): { count: number; max: number } | null {
  const [count, max] = [sysctl("netfilter/nf_conntrack_count"), sysctl("netfilter/nf_conntrack_max")];
  return count === null || max === null ? null : { count, max };
}

/** Whether an interface has rp_filter=1: the larger of its own value and that of `all` applies (ip-sysctl.rst). */
export function isStrict(name: string): boolean {
  const own = sysctl(`ipv4/conf/${name}/rp_filter`) ?? 0;
  return Math.max(own, sysctl("ipv4/conf/all/rp_filter") ?? 0) === 1;
}

/** `from`: the address of this host that answers come from, by which rules may choose another route; null: it has none. */
export function routeTo(address: Uint8Array, from: Uint8Array | null = null): RouteFact {
  try {
    const found = route(address, 0, 0, from);
    const link = links().find(({ ifindex }) => ifindex === found.ifindex);
    return {
      type: found.type,
      interface: link?.name ?? "",
      gateway: found.gateway && formatAddress(found.gateway),
      source: found.source && formatAddress(found.source),
      mtu: found.mtu || (link?.mtu ?? 0),
    };
  } catch (error) {
    if (error instanceof NetlinkError)
      return { error: error.code === EINVAL ? "its route is of type blackhole" : error.message };
    throw error;
  }
}

/** The next hop towards an address, if the kernel has asked for its MAC address and got no answer. */
export function unresolvedTo(address: Uint8Array, from: Uint8Array | null = null): string | null {
  try {
    const { type, gateway, ifindex } = route(address, 0, 0, from);
    const next = gateway ?? address;
    const isUnanswered =
      type === "unicast" && ((neighbour(ifindex, next)?.state ?? 0) & NUD_UNANSWERED) !== 0;
    return isUnanswered ? formatAddress(next) : null;
  } catch (error) {
    if (error instanceof NetlinkError) return null;
    throw error;
  }
}

export function listens(port: number, family: 4 | 6): boolean {
  const tables = family === 4 ? (["tcp", "tcp6"] as const) : (["tcp6"] as const);
  return tables.some((table) =>
    openSockets(table).some((socket) => socket.state === LISTEN && socket.port === port),
  );
}

export function isOwn(address: Uint8Array): boolean {
  try {
    return route(address).type === "local";
  } catch (error) {
    if (error instanceof NetlinkError) return false;
    throw error;
  }
}

/** Whether a socket without a peer is bound to this port of this address, or of every address. */
function hears({ bytes, family }: Address, port: number, transport: "tcp" | "udp"): boolean {
  const state = transport === "tcp" ? LISTEN : CLOSE;
  const isThere = (bound: Uint8Array) =>
    bound.every((byte) => byte === 0) || sameAddress(bound.slice(-bytes.length), bytes);
  const tables = family === 4 ? ([transport, `${transport}6`] as const) : ([`${transport}6`] as const);
  return tables.some((table) =>
    openSockets(table).some(
      (socket) => socket.state === state && socket.port === port && isThere(socket.address),
    ),
  );
}

function listOf(value: unknown): unknown[] {
  return Array.isArray(value) ? value.slice(0, MOST_NAMED) : [];
}

function serverOf(value: unknown): HostFacts["servers"] {
  const { address, port, transport } = (value ?? {}) as Record<string, unknown>;
  const parsed = typeof address === "string" ? parseAddress(address) : null;
  if (!parsed || !Number.isInteger(port)) return [];
  const kind = transport === "udp" ? "udp" : "tcp";
  const listening = isOwn(parsed.bytes) ? hears(parsed, port as number, kind) : null;
  return [{ address: formatAddress(parsed.bytes), port: port as number, transport: kind, listening }];
}

/** The address of a server of the question, if it is this host's. */
function ownAddress(value: unknown): Uint8Array[] {
  const { address } = (value ?? {}) as Record<string, unknown>;
  const bytes = typeof address === "string" ? parseAddress(address)?.bytes : undefined;
  return bytes && isOwn(bytes) ? [bytes] : [];
}

/** Reads some files for each interface and address that is asked for, a bounded number of them. */
export function hostFacts(
  { version, mode, hook, interfaces }: InterceptPlaneConfig,
  { addresses, servers }: Ask,
): HostFacts {
  const named = interfaces.slice(0, MOST_NAMED);
  const own = listOf(servers).flatMap(ownAddress);
  return {
    version,
    kernel: release(),
    time: Date.now(),
    mode,
    hook,
    interfaces: named,
    strict: named.filter((name) => name !== "lo" && isStrict(name)),
    ipForward: { 4: sysctl("ipv4/ip_forward"), 6: sysctl("ipv6/conf/all/forwarding") },
    conntrack: conntrack(),
    routes: listOf(addresses).flatMap((text) => {
      const address = typeof text === "string" ? parseAddress(text) : null;
      if (!address) return [];
      const { bytes } = address;
      const from = own.find(({ length }) => length === bytes.length) ?? null;
      const found = { route: routeTo(bytes, from), unresolved: unresolvedTo(bytes, from) };
      return [{ address: formatAddress(bytes), ...found }];
    }),
    servers: listOf(servers).flatMap(serverOf),
  };
}
