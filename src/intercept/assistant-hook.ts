/** Decides whether `--hook auto` means XDP on an assistant. */
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { basename } from "node:path";
import { sameAddress } from "../config/address.ts";
import type { Interface } from "../config/interfaces.ts";
import { localAddresses } from "../native/netlink/netlink.ts";
import { CLOSE, ESTABLISHED, LISTEN, type OpenSocket, openSockets } from "../native/sockets.ts";

/** Drivers whose native XDP is known to work well; with other drivers tc is used. */
const GOOD_DRIVERS = new Set([
  "bnxt_en",
  "i40e",
  "ice",
  "ixgbe",
  "mlx4_core",
  "mlx5_core",
  "nfp",
  "sfc",
  "virtio_net",
]);

const SSH = 22;
/** UDP ports of clients that every host runs: DHCP, NTP, DHCPv6, multicast DNS. */
const EVERYWHERE = [68, 123, 546, 5353];

/** What is needed to know of the host; a test has one of its own. */
export interface AssistantHost {
  /** Name of the driver of an interface; null for one without hardware. */
  driverOf(name: string): string | null;
  /** Whether somebody else uses these interfaces. */
  isUsed(interfaces: readonly Interface[]): boolean;
}

export const thisAssistant: AssistantHost = {
  driverOf(name) {
    try {
      return basename(readlinkSync(`/sys/class/net/${name}/device/driver`));
    } catch {
      return null;
    }
  },
  isUsed(interfaces) {
    if (interfaces.some(({ name }) => isBelowAnother(name) || forwards(name))) return true;
    const own = localAddresses()
      .filter(({ ifindex }) => interfaces.some((one) => one.ifindex === ifindex))
      .map(({ bytes }) => bytes);
    const tcp = [...openSockets("tcp"), ...openSockets("tcp6")];
    return isUsedBy(tcp, [...openSockets("udp"), ...openSockets("udp6")], own);
  },
};

/** Whether a bond, a bridge, a VLAN or the like is on top of the interface: who uses that is not known here. */
function isBelowAnother(name: string): boolean {
  try {
    return readdirSync(`/sys/class/net/${name}`).some((entry) => entry.startsWith("upper_"));
  } catch {
    // Without /sys.
    return true;
  }
}

/** Whether this host forwards packets that come in there. */
function forwards(name: string): boolean {
  return ["ipv4", "ipv6"].some((family) => {
    try {
      return readFileSync(`/proc/sys/net/${family}/conf/${name}/forwarding`, "latin1").trim() !== "0";
    } catch {
      return false;
    }
  });
}

/**
 * Whether the sockets of a host show that its addresses `own` are in use: by a connection, or a service other than SSH, which
 * most hosts run on all addresses.
 */
export function isUsedBy(
  tcp: readonly OpenSocket[],
  udp: readonly OpenSocket[],
  own: readonly Uint8Array[],
): boolean {
  const isOwn = (address: Uint8Array) => own.some((one) => sameAddress(one, withoutMapping(address)));
  const isReached = (address: Uint8Array) => address.every((byte) => byte === 0) || isOwn(address);
  return (
    tcp.some(({ address, state }) => state === ESTABLISHED && isOwn(address)) ||
    tcp.some(({ address, port, state }) => state === LISTEN && port !== SSH && isReached(address)) ||
    udp.some(
      ({ address, port, state }) => state === CLOSE && !EVERYWHERE.includes(port) && isReached(address),
    )
  );
}

/** The IPv4 address in an IPv4-mapped IPv6 address (RFC 4291, section 2.5.5.2); other addresses as they are. */
function withoutMapping(address: Uint8Array): Uint8Array {
  const isMapped =
    address.length === 16 &&
    address.subarray(0, 10).every((byte) => byte === 0) &&
    address[10] === 0xff &&
    address[11] === 0xff;
  return isMapped ? address.subarray(12) : address;
}

/**
 * Whether to drop by XDP, before the kernel allocates anything for a packet: if the drivers of all interfaces do it well, and
 * nobody else is disturbed when they take the link down for a moment at the start.
 */
export function prefersXdp(interfaces: readonly Interface[], host: AssistantHost): boolean {
  const areGood = interfaces.every(({ name }) => GOOD_DRIVERS.has(host.driverOf(name) ?? ""));
  return interfaces.length > 0 && areGood && !host.isUsed(interfaces);
}
