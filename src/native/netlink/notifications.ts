/**
 * What the kernel tells of changes to interfaces, addresses, routes and neighbours (rtnetlink's multicast groups), to follow
 * them without looking at intervals. Needs no privileges.
 *
 * A notification is a reason to look, not a log: the kernel tells of no IPv4 route that goes with its interface or its address,
 * and where it tells more than there is room for, some are lost ("lost"): look at all anew then.
 */
import {
  AF_NETLINK,
  address,
  EINTR,
  ENOBUFS,
  errno,
  libc,
  MSG_DONTWAIT,
  MSG_TRUNC,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOCK_RAW,
} from "../libc.ts";
import { setReceiveBuffer } from "../raw-socket.ts";
import {
  align,
  HEADER,
  type Link,
  type LocalAddress,
  type NeighbourEntry,
  parseAddress,
  parseLink,
  parseNeighbour,
  RTM_NEWADDR,
  RTM_NEWLINK,
  RTM_NEWNEIGH,
  RTM_NEWROUTE,
} from "./messages.ts";
import { NetlinkError } from "./netlink.ts";

/** What can be followed; "routes" are also the rules by which a routing table is chosen, and next hop objects. */
export type Topic = "links" | "addresses" | "routes" | "neighbours";

export type Notification =
  | { kind: "link"; isGone: boolean; link: Link }
  | { kind: "address"; isGone: boolean; address: LocalAddress }
  /** A route, a rule or a next hop has come, gone or changed. */
  | { kind: "route" }
  | { kind: "neighbour"; isGone: boolean; neighbour: NeighbourEntry }
  /** Notifications were lost: anything may have changed. */
  | { kind: "lost" };

const NETLINK_ROUTE = 0;
/** RTNLGRP_*: link 1, neigh 3, ipv4_ifaddr 5, ipv4_route 7, ipv4_rule 8, ipv6_ifaddr 9, ipv6_route 11, ipv6_rule 19, nexthop 32. */
const GROUPS: Record<Topic, readonly number[]> = {
  links: [1],
  addresses: [5, 9],
  routes: [7, 8, 11, 19, 32],
  neighbours: [3],
};
const RTM_DELLINK = RTM_NEWLINK + 1;
const RTM_DELADDR = RTM_NEWADDR + 1;
const RTM_DELNEIGH = RTM_NEWNEIGH + 1;
/** RTM_NEWROUTE, RTM_DELROUTE, RTM_NEWRULE, RTM_DELRULE, RTM_NEWNEXTHOP, RTM_DELNEXTHOP. */
const ROUTE_TYPES: readonly number[] = [RTM_NEWROUTE, RTM_NEWROUTE + 1, 32, 33, 104, 105];

/**
 * Opens a socket that hears of these topics in the network namespace of the calling thread; the caller closes it. `room`: bytes
 * of its receive buffer. Throws a NetlinkError.
 */
export function openNotifications(topics: readonly Topic[], room = 1 << 20): number {
  const fd = Number(libc.socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE));
  if (fd < 0) throw new NetlinkError("open a socket", errno());
  setReceiveBuffer(fd, room);
  // struct sockaddr_nl: groups 1 to 32 as bits.
  const name = new DataView(new ArrayBuffer(12));
  name.setUint16(0, AF_NETLINK, true);
  const groups = topics.flatMap((topic) => GROUPS[topic]);
  name.setUint32(8, groups.reduce((bits, group) => bits | (1 << (group - 1)), 0) >>> 0, true);
  if (libc.bind(fd, address(name), name.byteLength) === 0) return fd;
  const code = errno();
  libc.close(fd);
  throw new NetlinkError("follow the network", code);
}

/** Calls `each` for every notification in `bytes`, whole netlink messages; what is malformed ends it. */
export function readNotifications(bytes: Uint8Array, each: (notification: Notification) => void): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  for (let at = 0; at + HEADER <= bytes.length; ) {
    const size = view.getUint32(at, true);
    if (size < HEADER || at + size > bytes.length) return;
    const found = read(view.getUint16(at + 4, true), bytes.subarray(at + HEADER, at + size));
    if (found) each(found);
    at += align(size);
  }
}

function read(type: number, body: Uint8Array): Notification | null {
  if (ROUTE_TYPES.includes(type)) return { kind: "route" };
  if (type === RTM_NEWLINK || type === RTM_DELLINK) {
    const link = parseLink(body);
    return link && { kind: "link", isGone: type === RTM_DELLINK, link };
  }
  if (type === RTM_NEWADDR || type === RTM_DELADDR) {
    const found = parseAddress(body);
    return found && { kind: "address", isGone: type === RTM_DELADDR, address: found };
  }
  if (type === RTM_NEWNEIGH || type === RTM_DELNEIGH) {
    const neighbour = parseNeighbour(body);
    return neighbour && { kind: "neighbour", isGone: type === RTM_DELNEIGH, neighbour };
  }
  return null;
}

/** Notifications for a loop that waits for `descriptor` by itself (epoll); it is readable when there are some. */
export class Notifications {
  readonly descriptor: number;
  readonly #bytes = new Uint8Array(new ArrayBuffer(65536));
  readonly #at = address(this.#bytes);

  /** As `openNotifications`. */
  constructor(topics: readonly Topic[], room?: number) {
    this.descriptor = openNotifications(topics, room);
  }

  /** Calls `each` for all that have come, without waiting. */
  drain(each: (notification: Notification) => void): void {
    for (;;) {
      const length = Number(
        libc.recv(this.descriptor, this.#at, this.#bytes.length, MSG_DONTWAIT | MSG_TRUNC),
      );
      if (length > this.#bytes.length) each({ kind: "lost" });
      else if (length > 0) readNotifications(this.#bytes.subarray(0, length), each);
      else {
        const code = length < 0 ? errno() : 0;
        if (code === ENOBUFS) each({ kind: "lost" });
        else if (code !== EINTR) return;
      }
    }
  }

  close(): void {
    libc.close(this.descriptor);
  }
}
