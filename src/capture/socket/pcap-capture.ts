/** The main thread's half of the capture by libpcap: a handle for each interface. */

import { attachSocketFilter } from "../../filter/socket.ts";
import { Epoll } from "../../native/epoll.ts";
import { Failure } from "../../native/failure.ts";
import { EPOLLIN } from "../../native/libc.ts";
import { closePcap, openPcap, requireLibpcap } from "../../native/libpcap-live.ts";
import { type Link, links } from "../../native/netlink/netlink.ts";
import { isKnownLink } from "../../wire/link.ts";
import { mostOf } from "../../wire/prefix.ts";
import { SIGN_SPAN } from "../history.ts";
import { portsOf } from "../services.ts";
import { rejectAll, socketFilter } from "./filter.ts";
import { LINK_BYTES } from "./packet-fields.ts";
import { PcapTable } from "./pcap-table.ts";
import { bytesWith } from "./sent-filter.ts";
import {
  createCounts,
  createLocal,
  type SocketCapture,
  type SocketCaptureOptions,
  type SocketRules,
} from "./sockets.ts";

/**
 * Least bytes of the buffer of one interface. libpcap divides it into blocks of 256 KiB, and a block is handed over after some
 * ms, however little is in it.
 */
const LEAST_BUFFER = 2 << 20;

/**
 * Prepares the capture by libpcap. Interfaces are opened by `start`, which throws a Failure: 2 for one that does not exist or
 * is down, 4 without privilege, 5 where libpcap cannot. Throws a Failure (5) where the host has no libpcap.
 */
export function openPcapCapture(options: SocketCaptureOptions): SocketCapture {
  requireLibpcap();
  const {
    services,
    answering = [],
    isOutgoing,
    snaplen,
    signSpan = SIGN_SPAN,
    mark,
    bufferBytes,
    front,
    onlyLocal = false,
  } = options;
  const { local, setLocal, forwarded } = createLocal(onlyLocal);
  const { counters, stats } = createCounts();
  const memory = PcapTable.memory();
  const table = new PcapTable(memory);
  const watched = new Epoll();
  let rules: SocketRules = { services, answering, front };
  const longest = Math.max(snaplen, ...answering.map(({ payload }) => bytesWith(mostOf(payload))));

  /** Whether to capture requests that leave: not on loopback, where libpcap shows a packet only as it comes in. */
  const leaves = ({ loopback }: Link) => isOutgoing && !loopback;

  function directionOf(link: Link): "in" | "out" | "both" {
    if (answering.length > 0 && !link.loopback) return "both";
    return leaves(link) ? "out" : "in";
  }

  function setFilter(link: Link, descriptor: number): void {
    const { services, ...rest } = rules;
    const common = { kind: "packet" as const, interfaces: null, isOutgoing: leaves(link), mark, snaplen };
    const all = { ...common, ...portsOf(services), ...rest, answersComeIn: link.loopback };
    attachSocketFilter(descriptor, socketFilter(all));
  }

  function open(link: Link, share: number): void {
    const { name, ifindex, mac } = link;
    const bytes = Math.max(LEAST_BUFFER, share);
    const opened = openPcap(name, longest + LINK_BYTES, bytes, directionOf(link));
    if (!isKnownLink(opened.linkType)) {
      closePcap(opened.handle);
      throw new Failure(
        `Cannot capture on "${name}" by libpcap: its link type ${opened.linkType} is not known`,
        "Name other interfaces with -i.",
        5,
      );
    }
    setFilter(link, opened.descriptor);
    if (!table.add(opened.handle, opened.descriptor, opened.linkType, ifindex, mac)) {
      closePcap(opened.handle);
      throw new Failure(`Cannot capture on "${name}": too many interfaces`, "Name some with -i.", 1);
    }
    watched.add(opened.descriptor, EPOLLIN);
  }

  function slots(): number[] {
    return Array.from({ length: table.count }, (_, slot) => slot).filter((slot) => table.isOpen(slot));
  }

  return {
    source: {
      kind: "pcap",
      watched: watched.descriptor,
      table: memory,
      longest,
      match: {
        services,
        answering,
        mixesDirections: true,
        isOutgoing,
        local,
        snaplen,
        signSpan,
        counters,
        worker: 0,
      },
    },
    bufferBytes,
    start(interfaces) {
      const present = links().filter(({ ifindex }) => interfaces?.includes(ifindex) ?? true);
      for (const slot of slots()) {
        const link = present.find(({ ifindex }) => ifindex === table.ifindex(slot));
        if (link) setFilter(link, table.descriptor(slot));
        else table.end(slot);
      }
      const known = slots().map((slot) => table.ifindex(slot));
      const fresh = present.filter(({ ifindex }) => !known.includes(ifindex));
      for (const link of fresh) open(link, Math.floor(bufferBytes / present.length));
    },
    change(others) {
      rules = { ...rules, ...others };
      const present = links();
      for (const slot of slots()) {
        const link = present.find(({ ifindex }) => ifindex === table.ifindex(slot));
        if (link) setFilter(link, table.descriptor(slot));
      }
    },
    stop() {
      for (const slot of slots()) attachSocketFilter(table.descriptor(slot), rejectAll());
    },
    setLocal,
    forwarded,
    stats,
    close() {
      for (let slot = 0; slot < table.count; slot++) closePcap(table.handle(slot));
      watched.close();
    },
  };
}
