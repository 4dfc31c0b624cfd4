/** What this host has at the port of a service: who listens, who translates, what other ports have connections. */
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { formatAddress, sameAddress } from "../../config/address.ts";
import { ESTABLISHED, LISTEN, type OpenSocket, openSockets } from "../../native/sockets.ts";
import { type ListedChain, placeOf } from "../../netfilter/listed/ruleset.ts";
import { translationsTo, verdictAt } from "../../netfilter/listed/walk.ts";
import { translatedPorts } from "../../netfilter/translation.ts";

/** Network namespaces that are looked into. */
const MOST_NAMESPACES = 256;

/** Who listens at a port in another network namespace. */
export interface ListenerElsewhere {
  pid: number;
  command: string;
}

/** Ports that clients use for a port that is translated to, and what translates them. */
export interface TranslatedPort {
  /** As it is written in the rule: "80", "80, 81", "8000-8999". */
  ports: string;
  by: string;
}

export interface Surroundings {
  /** Whether somebody listens at the port (UDP: has a socket there) in this network namespace. */
  listens: boolean;
  /** The addresses that the port is listened at, where that of the packets is none of them; else null. */
  otherAddresses: string[] | null;
  elsewhere: ListenerElsewhere | null;
  translated: TranslatedPort[];
  /** The rule that sends what comes to the port on to another address or port; null: none, as far as is known. */
  sentOn: string | null;
  /** Established connections of this host by port. */
  connections: ReadonlyMap<number, number>;
}

/** The sockets of this network namespace, and of the others of this host. */
export interface HostSockets {
  tcp: OpenSocket[];
  udp: OpenSocket[];
  others: { pid: number; tcp: OpenSocket[]; udp: OpenSocket[] }[];
}

const tablesOf = (pid: number | "self") => ({
  tcp: [...openSockets("tcp", pid), ...openSockets("tcp6", pid)],
  udp: [...openSockets("udp", pid), ...openSockets("udp6", pid)],
});

/** Reads the socket tables of all network namespaces that processes of this host are in, as far as this user may. */
export function readSockets(): HostSockets {
  const seen = new Set<string>([namespaceOf("self") ?? ""]);
  const others: HostSockets["others"] = [];
  for (const name of readdirSync("/proc")) {
    if (others.length >= MOST_NAMESPACES) break;
    if (!/^[0-9]+$/.test(name)) continue;
    const namespace = namespaceOf(name);
    if (namespace === null || seen.has(namespace)) continue;
    seen.add(namespace);
    others.push({ pid: Number(name), ...tablesOf(Number(name)) });
  }
  return { ...tablesOf("self"), others };
}

function namespaceOf(pid: string): string | null {
  try {
    return readlinkSync(`/proc/${pid}/ns/net`);
  } catch {
    return null; // It has ended, or is another user's.
  }
}

/** A packet to the port as it has come: to which address, and by which interface. */
export interface Sample {
  to: Uint8Array | null;
  by: string | undefined;
}

/** What there is at a port. `chains`: the rules of this host. */
export async function surroundingsOf(
  service: { port: number; isUdp: boolean },
  sockets: HostSockets,
  chains: readonly ListedChain[],
  sample: Sample,
): Promise<Surroundings> {
  const { port, isUdp } = service;
  const isThere = ({ tcp, udp }: Pick<HostSockets, "tcp" | "udp">) =>
    isUdp
      ? udp.some((socket) => socket.port === port)
      : tcp.some((socket) => socket.port === port && socket.state === LISTEN);
  const other = sockets.others.find(isThere);
  return {
    listens: isThere(sockets),
    otherAddresses: otherAddresses(isUdp ? sockets.udp : listeners(sockets.tcp), port, sample.to),
    elsewhere: other ? { pid: other.pid, command: commandOf(other.pid) } : null,
    translated: await translatedTo(port, chains),
    sentOn: sentOnBy(service, chains, sample),
    connections: connectionsByPort(sockets.tcp),
  };
}

const listeners = (sockets: readonly OpenSocket[]) => sockets.filter(({ state }) => state === LISTEN);

/** As in Surroundings; a wildcard of IPv6 may take IPv4 as well. */
export function otherAddresses(
  sockets: readonly OpenSocket[],
  port: number,
  to: Uint8Array | null,
): string[] | null {
  const there = sockets.filter((socket) => socket.port === port).map(({ address }) => address);
  const hears = (address: Uint8Array) =>
    address.every((byte) => byte === 0) || (to !== null && sameAddress(address.slice(-to.length), to));
  if (to === null || there.length === 0 || there.some(hears)) return null;
  return [...new Set(there.map(formatAddress))];
}

/** The rule at prerouting that a new connection of some client would meet. */
function sentOnBy(
  { port, isUdp }: { port: number; isUdp: boolean },
  chains: readonly ListedChain[],
  { to, by }: Sample,
): string | null {
  if (to === null) return null;
  const verdict = verdictAt(
    "prerouting",
    {
      family: to.length === 4 ? 4 : 6,
      protocol: isUdp ? "udp" : "tcp",
      source: new Uint8Array(to.length),
      destination: to,
      sourcePort: 0,
      destinationPort: port,
      in: by,
      out: null,
      mark: 0,
      state: "new",
    },
    chains,
  );
  return verdict?.kind === "translate" ? placeOf(verdict.chain, verdict.rule) : null;
}

function commandOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/comm`, "utf8").trim();
  } catch {
    return "";
  }
}

/** By rules of netfilter, by IPVS, and by the connections that there are. */
async function translatedTo(port: number, chains: readonly ListedChain[]): Promise<TranslatedPort[]> {
  const found = translationsTo(port, chains).map(({ chain, rule }) => ({
    ports: rule.ports!,
    by: placeOf(chain, rule),
  }));
  const balanced = virtualPorts(readIpvs(), port).map((ports) => ({ ports: `${ports}`, by: "IPVS" }));
  const known = [...found, ...balanced];
  if (known.length > 0) return known;
  return (await translatedPorts(port)).map((ports) => ({ ports: `${ports}`, by: "connection tracking" }));
}

function readIpvs(): string {
  try {
    return readFileSync("/proc/net/ip_vs", "utf8");
  } catch {
    return ""; // The kernel has no IPVS, or it is not in use.
  }
}

/** The ports of virtual services (/proc/net/ip_vs, net/netfilter/ipvs/ip_vs_ctl.c) of which a real server has this port, and not the same. */
export function virtualPorts(table: string, port: number): number[] {
  const found = new Set<number>();
  let virtual = 0;
  for (const line of table.split("\n")) {
    const service = /^(?:TCP|UDP) +\S+:([0-9A-F]{4}) /.exec(line)?.[1];
    if (service) virtual = Number.parseInt(service, 16);
    const server = /^ +-> +\S+:([0-9A-F]{4}) /.exec(line)?.[1];
    if (server && Number.parseInt(server, 16) === port && virtual !== port) found.add(virtual);
  }
  return [...found];
}

function connectionsByPort(sockets: readonly OpenSocket[]): Map<number, number> {
  const listening = new Set(sockets.filter(({ state }) => state === LISTEN).map(({ port }) => port));
  const counts = new Map<number, number>();
  for (const { state, port } of sockets)
    if (state === ESTABLISHED && listening.has(port)) counts.set(port, (counts.get(port) ?? 0) + 1);
  return counts;
}
