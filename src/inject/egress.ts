/** Finds how packets to a target leave this host: interface, next hop, MAC addresses and MTU. */
import { formatAddress, sameAddress } from "../config/address.ts";
import type { Injection } from "../config/injection.ts";
import { Failure } from "../native/failure.ts";
import { EACCES, EHOSTUNREACH, EINVAL, ENETUNREACH, EPERM, strerror } from "../native/libc.ts";
import {
  type Link,
  links,
  NetlinkError,
  NUD_VALID,
  neighbour,
  type Route,
  route,
  useNeighbour,
} from "../native/netlink/netlink.ts";
import { MAX_PACKET } from "../wire/batch.ts";
import type { EgressConfig } from "./path.ts";

const ARPHRD_ETHER = 1;
/**
 * ARPHRD_* (linux/if_arp.h) of interfaces without a MAC header: PPP, RAWIP (modems), TUNNEL (ipip), TUNNEL6, SIT, IPGRE, IP6GRE,
 * NONE (tun, WireGuard).
 */
const WITHOUT_MAC: ReadonlySet<number> = new Set([512, 519, 768, 769, 776, 778, 823, 65534]);
/** ms to wait for the MAC address of the next hop, and between two looks at the neighbour table. */
const RESOLUTION_TIMEOUT = 1500;
const POLL_INTERVAL = 5;

export interface ResolvedEgress {
  egress: EgressConfig;
  /** Our own address towards the target. */
  source: Uint8Array;
}

/** What the user has chosen about the way to a target. */
export interface Way {
  /** Default `auto`. */
  inject?: Injection;
  /** Index of the interface to send over; 0 or absent: that of the route. */
  over?: number;
  /** 6 bytes each; absent: resolved, and the interface's own. */
  nextHopMac?: Uint8Array;
  sourceMac?: Uint8Array;
}

/** Whether one injector can send the packets of both. */
export function sameEgress(one: EgressConfig, other: EgressConfig): boolean {
  return (
    one.kind === other.kind &&
    one.ifindex === other.ifindex &&
    one.family === other.family &&
    one.mtu === other.mtu &&
    one.isBound === other.isBound &&
    one.hasFixedMac === other.hasFixedMac &&
    sameAddress(one.sourceMac, other.sourceMac) &&
    (one.kind !== "packet" || sameAddress(hopOf(one), hopOf(other)))
  );
}

/** What next hops are compared by. */
function hopOf({ hasFixedMac, nextHop, nextHopMac }: EgressConfig): Uint8Array {
  return hasFixedMac ? nextHopMac : nextHop;
}

/**
 * The way to a target (4 or 16 bytes in network order), by the kernel's routes for packets with `mark`, as it is now: the next
 * hop's MAC address is the one in the neighbour table, or empty; nothing is sent or changed. Throws a Failure with exit code 3
 * where there is no way, 2 or 5 where the interface cannot do what the user has chosen.
 */
export function lookUpEgress(
  target: Uint8Array,
  family: 4 | 6,
  mark = 0,
  { inject = "auto", over = 0, nextHopMac, sourceMac }: Way = {},
): ResolvedEgress {
  const found = lookUpRoute(target, mark, over);
  if (found.type !== "unicast" && found.type !== "local" && found.type !== "anycast") {
    throw unreachable(target, `it is a ${found.type} address`, "Name the address of one host in -x.");
  }
  if (found.source === null) {
    const fix = `Give the interface towards it an IPv${family} address.`;
    throw unreachable(target, "this host has no address to send from", fix);
  }
  const link = linkOf(found);
  if (link === undefined) {
    throw unreachable(target, "its interface has just vanished", "Start again when the network is up.");
  }
  const isEthernet = !link.loopback && link.hardwareType === ARPHRD_ETHER && link.mac.length === 6;
  const needsEthernet =
    nextHopMac || sourceMac
      ? "with a MAC address"
      : inject === "packet" && !isCooked(link, found) && "by --inject packet";
  if (needsEthernet && !isEthernet) {
    throw new Failure(
      `Cannot send to target "${formatAddress(target)}" ${needsEthernet}: "${link.name}" has no Ethernet header`,
      "Leave that out, or name an Ethernet interface with -o.",
      needsEthernet.startsWith("with") ? 2 : 5,
    );
  }
  const isPacket = isEthernet && inject !== "raw";
  const nextHop = found.gateway ?? target.slice();
  const egress: EgressConfig = {
    kind: isPacket ? "packet" : inject !== "raw" && isCooked(link, found) ? "cooked" : "raw",
    interface: link.name,
    ifindex: link.ifindex,
    family,
    nextHop,
    sourceMac: isPacket ? (sourceMac ?? link.mac) : new Uint8Array(0),
    nextHopMac: (isPacket && (nextHopMac ?? knownMac(link.ifindex, nextHop))) || new Uint8Array(0),
    mtu: Math.min(link.mtu, found.mtu || MAX_PACKET, MAX_PACKET),
    ...(over !== 0 && { isBound: true }),
    ...(isPacket && nextHopMac && { hasFixedMac: true }),
  };
  return { egress, source: found.source };
}

/**
 * As `lookUpEgress`, but with `wait` the next hop's MAC address is resolved on Ethernet, which takes up to 1.5 s. Rejects with a
 * Failure: also 4 without CAP_NET_ADMIN, which is not needed without `wait`.
 */
export async function resolveEgress(
  target: Uint8Array,
  family: 4 | 6,
  mark = 0,
  wait = true,
  way: Way = {},
): Promise<ResolvedEgress> {
  const found = lookUpEgress(target, family, mark, way);
  const { egress } = found;
  if (wait && needsMac(egress)) egress.nextHopMac = await resolveMac(target, egress);
  return found;
}

/**
 * Whether IP packets can be given to the interface as they are: it has no MAC header and leads to one host only, so that its
 * driver needs to know neither a next hop nor a route.
 */
function isCooked(link: Link, { encapsulates }: Route): boolean {
  return link.pointToPoint && !encapsulates && WITHOUT_MAC.has(link.hardwareType);
}

/** Whether packets can only be sent to the MAC address of a next hop that the kernel resolves. */
export function needsMac({ kind, hasFixedMac }: EgressConfig): boolean {
  return kind === "packet" && !hasFixedMac;
}

/** Has the kernel resolve the next hop's MAC address, without waiting for it. */
export function askForMac({ ifindex, nextHop }: EgressConfig): void {
  try {
    useNeighbour(ifindex, nextHop);
  } catch (error) {
    // The interface has just vanished: its notification comes.
    if (!(error instanceof NetlinkError)) throw error;
  }
}

/** The interface that packets leave on; to this host's own addresses that is always loopback. */
function linkOf(found: Route): Link | undefined {
  const isLocal = found.type === "local";
  return links().find((link) => (isLocal ? link.loopback : link.ifindex === found.ifindex));
}

function lookUpRoute(target: Uint8Array, mark: number, over: number): Route {
  try {
    return route(target, mark, over);
  } catch (error) {
    if (!(error instanceof NetlinkError)) throw error;
    const causes: Record<number, string> = {
      [ENETUNREACH]: "no route",
      [EHOSTUNREACH]: "its route is of type unreachable",
      [EACCES]: "its route is of type prohibit",
      [EINVAL]: "its route is of type blackhole",
    };
    const text = formatAddress(target);
    const fix = `Add a route to it (see "ip route get ${text}"), or correct the address in -x.`;
    throw unreachable(target, causes[error.code] ?? strerror(error.code), fix);
  }
}

function knownMac(ifindex: number, nextHop: Uint8Array): Uint8Array | null {
  const entry = neighbour(ifindex, nextHop);
  return entry !== null && entry.state & NUD_VALID && entry.mac.length === 6 ? entry.mac : null;
}

async function resolveMac(
  target: Uint8Array,
  { ifindex, interface: name, nextHop }: EgressConfig,
): Promise<Uint8Array> {
  try {
    useNeighbour(ifindex, nextHop);
    const deadline = performance.now() + RESOLUTION_TIMEOUT;
    for (;;) {
      const mac = knownMac(ifindex, nextHop);
      if (mac) return mac;
      if (performance.now() > deadline) break;
      await Bun.sleep(POLL_INTERVAL);
    }
  } catch (error) {
    if (!(error instanceof NetlinkError)) throw error;
    const message = `Cannot reach target "${formatAddress(target)}": ${error.message}`;
    if (error.code === EPERM) throw new Failure(message, "Run as root, or with CAP_NET_ADMIN.", 4);
    throw new Failure(message, "Start again when the network is up.", 3);
  }
  const fix = sameAddress(target, nextHop)
    ? "Check that the target is up and on this network, or correct the address in -x."
    : "Check that the gateway is up, or correct the route to the target.";
  throw unreachable(target, noAnswer(nextHop, name), `${fix} --force starts anyway.`);
}

/** That a next hop has no MAC address, as a cause. */
export function noAnswer(nextHop: Uint8Array, name: string): string {
  const how = nextHop.length === 4 ? "ARP" : "neighbour discovery";
  return `${formatAddress(nextHop)} on ${name} does not answer ${how}`;
}

function unreachable(target: Uint8Array, cause: string, fix: string): Failure {
  return new Failure(`Cannot reach target "${formatAddress(target)}": ${cause}`, fix, 3);
}
