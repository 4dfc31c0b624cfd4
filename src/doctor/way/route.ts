/** The way that packets to a target take from here: route, next hop, and whether that answers. */
import { formatAddress, sameAddress } from "../../config/address.ts";
import { noAnswer } from "../../inject/egress.ts";
import type { EgressConfig } from "../../inject/path.ts";
import { EPERM } from "../../native/libc.ts";
import { NetlinkError, NUD_VALID, neighbour, useNeighbour } from "../../native/netlink/netlink.ts";
import { sendUncut } from "../../native/probes/df-datagram.ts";
import type { Finding } from "../finding.ts";

/** ms to wait for the MAC address of a next hop, and between two looks: as `resolveEgress`. */
const PATIENCE = 1500;
const INTERVAL = 10;
/** The first port of traceroute(8): nobody listens there. */
export const TRACEROUTE_PORT = 33434;

/** A target as its way is looked at. */
export interface Way {
  target: Uint8Array;
  egress: EgressConfig;
  /** This host's address towards it; null: packets have clients' addresses. */
  source: Uint8Array | null;
}

export const about = (id: string, what: string) => ({ id: `way.${id}`, what, host: null });

export function describeRoute({ target, egress, source }: Way): Finding {
  const { interface: name, nextHop, mtu, kind } = egress;
  const hop = sameAddress(nextHop, target) ? "directly" : `by the gateway ${formatAddress(nextHop)}`;
  const from = source ? `from ${formatAddress(source)}` : "from clients' addresses";
  const how = {
    packet: "frames",
    cooked: "IP packets on the interface",
    raw: "IP packets that the kernel routes",
  }[kind];
  const found = `on ${name}, ${hop}, ${from}, up to ${mtu} bytes, as ${how}`;
  return { ...about("route", `route to ${formatAddress(target)}`), status: "ok", found, fix: null };
}

/** Whether the next hop has a MAC address; null where none is needed. The kernel is told to ask. */
export async function checkNeighbour({ target, egress }: Way): Promise<Finding | null> {
  const { kind, hasFixedMac, ifindex, nextHop, interface: name } = egress;
  if (kind !== "packet") return null;
  const what = `next hop to ${formatAddress(target)}`;
  if (hasFixedMac) {
    const found = `${formatMac(egress.nextHopMac)}, as -x says`;
    return { ...about("neighbour", what), status: "ok", found, fix: null };
  }
  try {
    useNeighbour(ifindex, nextHop);
  } catch (error) {
    if (!(error instanceof NetlinkError) || error.code !== EPERM) throw error;
    // Without CAP_NET_ADMIN a datagram makes the kernel ask.
    await sendUncut(target, TRACEROUTE_PORT, 0, 0, ifindex);
  }
  const end = performance.now() + PATIENCE;
  for (;;) {
    const entry = neighbour(ifindex, nextHop);
    if (entry && entry.state & NUD_VALID && entry.mac.length === 6) {
      const found = `${formatAddress(nextHop)} on ${name} has the address ${formatMac(entry.mac)}`;
      return { ...about("neighbour", what), status: "ok", found, fix: null };
    }
    if (performance.now() > end) break;
    await Bun.sleep(INTERVAL);
  }
  const fix = sameAddress(target, nextHop)
    ? "Check that the target is up and on this network, or correct the address in -x."
    : `Check that the gateway is up, or correct the route: ip route get ${formatAddress(target)}`;
  return { ...about("neighbour", what), status: "failed", found: noAnswer(nextHop, name), fix };
}

function formatMac(mac: Uint8Array): string {
  return mac.toHex().replace(/..(?=.)/g, "$&:");
}
