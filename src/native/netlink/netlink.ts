/**
 * The kernel's interfaces, addresses, routes and neighbours, by requests over rtnetlink.
 *
 * All calls are synchronous and take some 10 us: the kernel answers a netlink request before the send returns. Each
 * thread has its own socket, opened at the first call. Addresses are 4 or 16 bytes in network order.
 */
import {
  AF_INET,
  AF_INET6,
  AF_NETLINK,
  address,
  EINTR,
  ENOENT,
  errno,
  libc,
  SOCK_CLOEXEC,
  SOCK_RAW,
  SOL_SOCKET,
  strerror,
} from "../libc.ts";
import {
  align,
  HEADER,
  IFADDRMSG,
  IFINFOMSG,
  type Link,
  type LocalAddress,
  NDA_DST,
  NDMSG,
  type Neighbour,
  NTF_USE,
  parseAddress,
  parseLink,
  parseNeighbour,
  parseRoute,
  type Route,
  RTA_DST,
  RTA_MARK,
  RTA_OIF,
  RTA_SRC,
  RTM_GETADDR,
  RTM_GETLINK,
  RTM_GETNEIGH,
  RTM_GETROUTE,
  RTM_NEWADDR,
  RTM_NEWLINK,
  RTM_NEWNEIGH,
  RTM_NEWROUTE,
  RTMSG,
} from "./messages.ts";

export type { Link, LocalAddress, Neighbour, Route, RouteType } from "./messages.ts";
export { NUD_UNANSWERED, NUD_VALID } from "./messages.ts";

/** The kernel refused a request; `code` is a positive errno. */
export class NetlinkError extends Error {
  constructor(
    what: string,
    readonly code: number,
  ) {
    super(`Cannot ${what} over netlink: ${strerror(code)}`);
    this.name = "NetlinkError";
  }
}

const NETLINK_ROUTE = 0;
const SO_RCVTIMEO = 20;
const MSG_TRUNC = 0x20;
const SOL_NETLINK = 270;
const NETLINK_GET_STRICT_CHK = 12;

/** Answer with the entry of the table that matched (linux/rtnetlink.h). */
const RTM_F_FIB_MATCH = 0x2000;

const NLMSG_ERROR = 2;
const NLMSG_DONE = 3;
const NLM_F_REQUEST = 0x01;
const NLM_F_MULTI = 0x02;
const NLM_F_ACK = 0x04;
const NLM_F_DUMP_INTR = 0x10;
const NLM_F_DUMP = 0x300;
const NLM_F_CREATE = 0x400;
/** Dumps come in parts of at most 32 KiB. */
const received = new Uint8Array(new ArrayBuffer(65536));
const receivedAddress = address(received);
const socketAddress = new Uint8Array(new ArrayBuffer(12));
new DataView(socketAddress.buffer).setUint16(0, AF_NETLINK, true);

let socket = -1;
let sequence = 0;

function openSocket(): number {
  const fd = Number(libc.socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
  if (fd < 0) throw new NetlinkError("open a socket", errno());
  // The kernel has answered before we read. If it ever has not, an error after 2 s is better than a thread that hangs.
  const timeout = new BigInt64Array([2n, 0n]);
  libc.setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, timeout, 16);
  return fd;
}

function closeSocket(): void {
  if (socket >= 0) libc.close(socket);
  socket = -1;
}

type OnMessage = (type: number, body: Uint8Array) => void;

/** A message body: a fixed header and attributes. */
interface Request {
  type: number;
  flags: number;
  header: Uint8Array;
  attributes: [type: number, value: Uint8Array][];
}

function encode(request: Request): Uint8Array {
  const { header, attributes } = request;
  const length = attributes.reduce((sum, [, value]) => sum + align(4 + value.length), HEADER + header.length);
  const bytes = new Uint8Array(new ArrayBuffer(length));
  const view = new DataView(bytes.buffer);
  view.setUint32(0, length, true);
  view.setUint16(4, request.type, true);
  view.setUint16(6, request.flags | NLM_F_REQUEST, true);
  view.setUint32(8, sequence, true);
  bytes.set(header, HEADER);
  let at = HEADER + header.length;
  for (const [type, value] of attributes) {
    view.setUint16(at, 4 + value.length, true);
    view.setUint16(at + 2, type, true);
    bytes.set(value, at + 4);
    at += align(4 + value.length);
  }
  return bytes;
}

function receive(what: string): number {
  for (;;) {
    const length = Number(libc.recv(socket, receivedAddress, received.length, MSG_TRUNC));
    if (length > received.length)
      throw new Error(`Cannot ${what} over netlink: a response of ${length} bytes`);
    if (length >= 0) return length;
    const code = errno();
    if (code !== EINTR) throw new NetlinkError(what, code);
  }
}

/**
 * Reads the messages of one received part. True when the answer is complete. `interrupted` is called when the kernel
 * says that the table changed during a dump.
 */
function readPart(what: string, length: number, onMessage: OnMessage, interrupted: () => void): boolean {
  const view = new DataView(received.buffer, 0, length);
  for (let at = 0; at + HEADER <= length; ) {
    const size = view.getUint32(at, true);
    const type = view.getUint16(at + 4, true);
    const flags = view.getUint16(at + 6, true);
    if (size < HEADER || at + size > length)
      throw new Error(`Cannot ${what} over netlink: malformed response`);
    const body = received.subarray(at + HEADER, at + size);
    const ours = view.getUint32(at + 8, true) === sequence;
    at += align(size);
    // The rest of an answer that was given up earlier.
    if (!ours) continue;
    if (flags & NLM_F_DUMP_INTR) interrupted();
    if (type === NLMSG_ERROR || type === NLMSG_DONE) {
      const code = body.length >= 4 ? -new DataView(body.buffer, body.byteOffset).getInt32(0, true) : 0;
      if (code > 0) throw new NetlinkError(what, code);
      return true;
    }
    onMessage(type, body);
    if (!(flags & NLM_F_MULTI)) return true;
  }
  return false;
}

/** Sends one request and calls `onMessage` for each message of the answer; true unless a dump was interrupted. */
function transact(what: string, request: Request, onMessage: OnMessage): boolean {
  if (socket < 0) socket = openSocket();
  sequence = (sequence + 1) >>> 0;
  const bytes = encode(request);
  let consistent = true;
  try {
    const sent = libc.sendto(socket, bytes, bytes.length, 0, socketAddress, socketAddress.length);
    if (Number(sent) < 0) throw new NetlinkError(what, errno());
    while (
      !readPart(what, receive(what), onMessage, () => {
        consistent = false;
      })
    );
    return consistent;
  } catch (error) {
    closeSocket();
    throw error;
  }
}

/** The kernel then lists only what header and attributes of a request select (Linux 4.20), and not whole tables. */
function selectInKernel(isOn: boolean): void {
  if (socket < 0) socket = openSocket();
  libc.setsockopt(socket, SOL_NETLINK, NETLINK_GET_STRICT_CHK, Uint32Array.of(isOn ? 1 : 0), 4);
}

/** As `dump`, of the entries that the request selects, where the kernel can; else of all. */
export function dumpSelected<T>(...request: Parameters<typeof dump<T>>): T[] {
  selectInKernel(true);
  try {
    return dump(...request);
  } finally {
    selectInKernel(false);
  }
}

/** Lists a whole table; if it changed meanwhile, lists it again, up to 5 times in all. Throws a NetlinkError. */
export function dump<T>(
  what: string,
  type: number,
  header: Uint8Array,
  parse: (type: number, body: Uint8Array) => T | null,
  attributes: Request["attributes"] = [],
): T[] {
  let entries: T[] = [];
  for (let attempt = 0; attempt < 5; attempt++) {
    entries = [];
    const request = { type, flags: NLM_F_DUMP, header, attributes };
    const consistent = transact(what, request, (answer, body) => {
      const entry = parse(answer, body);
      if (entry !== null) entries.push(entry);
    });
    if (consistent) break;
  }
  return entries;
}

export function u32Bytes(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, value, true);
  return bytes;
}

function addressFamily(bytes: Uint8Array): number {
  if (bytes.length === 4) return AF_INET;
  if (bytes.length === 16) return AF_INET6;
  throw new Error(`Cannot use an address of ${bytes.length} bytes: 4 (IPv4) or 16 (IPv6) are needed`);
}

/** Every network interface of the network namespace that the thread is in now: opens a new socket there. */
export function links(): Link[] {
  closeSocket();
  return dump("list the interfaces", RTM_GETLINK, new Uint8Array(IFINFOMSG), (type, body) =>
    type === RTM_NEWLINK ? parseLink(body) : null,
  );
}

/** Every IPv4 and IPv6 address of this network namespace. */
export function localAddresses(): LocalAddress[] {
  return dump("list the addresses", RTM_GETADDR, new Uint8Array(IFADDRMSG), (type, body) =>
    type === RTM_NEWADDR ? parseAddress(body) : null,
  );
}

/**
 * The route of packets to `destination` with the given mark (SO_MARK), over the interface with index `over` (0: any), from
 * `source`, an address of this host (null: any, so that rules about sources do not apply).
 *
 * Throws a NetlinkError if there is none: ENETUNREACH without a route, or by the type of the route EHOSTUNREACH
 * (unreachable), EACCES (prohibit) or EINVAL (blackhole).
 */
export function route(destination: Uint8Array, mark = 0, over = 0, source: Uint8Array | null = null): Route {
  let found: Route | null = null;
  const take = (body: Uint8Array) => {
    found = parseRoute(body);
  };
  askForRoute(destination, mark, over, 0, take, source);
  if (found === null) throw new Error("Cannot look up a route over netlink: no route in the response");
  return found;
}

function askForRoute(
  destination: Uint8Array,
  mark: number,
  over: number,
  flags: number,
  take: (body: Uint8Array) => void,
  source: Uint8Array | null = null,
): void {
  const header = new Uint8Array(RTMSG);
  header[0] = addressFamily(destination);
  header[1] = destination.length * 8;
  new DataView(header.buffer).setUint32(8, flags, true);
  const attributes: [number, Uint8Array][] = [[RTA_DST, destination]];
  if (mark !== 0) attributes.push([RTA_MARK, u32Bytes(mark)]);
  if (over !== 0) attributes.push([RTA_OIF, u32Bytes(over)]);
  if (source !== null) {
    header[2] = source.length * 8;
    attributes.push([RTA_SRC, source]);
  }
  transact("look up a route", { type: RTM_GETROUTE, flags: 0, header, attributes }, (type, body) => {
    if (type === RTM_NEWROUTE && body.length >= RTMSG) take(body);
  });
}

/**
 * Whether only the default route leads to `destination`; parameters as for `route`. False where the kernel does not tell (before
 * Linux 4.13).
 */
export function isDefaultRoute(destination: Uint8Array, mark = 0, over = 0): boolean {
  let found = false;
  askForRoute(destination, mark, over, RTM_F_FIB_MATCH, (body) => {
    // Without the flag the answer has the whole address as its destination.
    found = body[1] === 0;
  });
  return found;
}

function neighbourHeader(ifindex: number, of: Uint8Array, flags: number): Uint8Array {
  const header = new Uint8Array(NDMSG);
  header[0] = addressFamily(of);
  new DataView(header.buffer).setInt32(4, ifindex, true);
  header[10] = flags;
  return header;
}

/** The neighbour entry (ARP or neighbour discovery) of an address on an interface, null if there is none. */
export function neighbour(ifindex: number, of: Uint8Array): Neighbour | null {
  const request = {
    type: RTM_GETNEIGH,
    flags: 0,
    header: neighbourHeader(ifindex, of, 0),
    attributes: [[NDA_DST, of]] as [number, Uint8Array][],
  };
  let found: Neighbour | null = null;
  try {
    transact("look up a neighbour", request, (type, body) => {
      if (type === RTM_NEWNEIGH) found = parseNeighbour(body);
    });
  } catch (error) {
    if (error instanceof NetlinkError && error.code === ENOENT) return null;
    throw error;
  }
  return found;
}

/**
 * Tells the kernel that a neighbour entry is in use (NTF_USE), because it does not see our packets: it resolves an unknown entry
 * and confirms a stale one, as if it had sent a packet. Returns before there is an answer. Needs CAP_NET_ADMIN.
 */
export function useNeighbour(ifindex: number, of: Uint8Array): void {
  const request = {
    type: RTM_NEWNEIGH,
    flags: NLM_F_ACK | NLM_F_CREATE,
    header: neighbourHeader(ifindex, of, NTF_USE),
    attributes: [[NDA_DST, of]] as [number, Uint8Array][],
  };
  transact("use a neighbour", request, () => {});
}
