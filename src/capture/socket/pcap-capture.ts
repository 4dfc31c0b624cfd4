/** The main thread's half of the capture by libpcap: a handle for each interface. */
import { attachSocketFilter } from "../../filter/socket.ts";
import { Epoll } from "../../native/epoll.ts";
import { Failure } from "../../native/failure.ts";
import { EPOLLIN } from "../../native/libc.ts";
import { closePcap, openPcap, requireLibpcap } from "../../native/libpcap-live.ts";
import { type Link, links } from "../../native/netlink.ts";
import { isKnownLink } from "../../wire/link.ts";
import { portsOf } from "../services.ts";
import { LINK_BYTES, rejectAll, socketFilter } from "./filter.ts";
import { PcapTable } from "./pcap-table.ts";
import { createCounts, type SocketCapture, type SocketCaptureOptions } from "./sockets.ts";

/**
 * Bytes of the buffer of one interface, of all together unless that were below this: libpcap makes blocks of 256 KiB of it,
 * and a block is used up after some ms, however little is in it.
 */
const LEAST_BUFFER = 8 << 20;

/**
 * Prepares the capture by libpcap. Interfaces are opened by `start`, which throws a Failure: 2 for one that is not there
 * or down, 4 without privilege, 5 where libpcap cannot. Throws a Failure (5) where the host has no libpcap.
 */
export function openPcapCapture(options: SocketCaptureOptions): SocketCapture {
  requireLibpcap();
  const { services, isOutgoing, snaplen, mark, bufferBytes, front } = options;
  const { counters, stats } = createCounts();
  const memory = PcapTable.memory();
  const table = new PcapTable(memory);
  const watched = new Epoll();
  const ports = portsOf(services);

  /** A packet that a host sends to itself leaves by loopback and comes in there: libpcap shows the latter alone. */
  const leaves = ({ loopback }: Link) => isOutgoing && !loopback;

  function letIn(link: Link, descriptor: number): void {
    const rules = { kind: "packet" as const, interfaces: null, isOutgoing: leaves(link) };
    attachSocketFilter(descriptor, socketFilter({ ...rules, ...ports, mark, snaplen, front }));
  }

  function open(link: Link, share: number): void {
    const { name, ifindex, mac } = link;
    const bytes = Math.max(LEAST_BUFFER, share);
    const opened = openPcap(name, snaplen + LINK_BYTES, bytes, leaves(link) ? "out" : "in");
    if (!isKnownLink(opened.linkType)) {
      closePcap(opened.handle);
      throw new Failure(
        `Cannot capture on "${name}" by libpcap: its link type ${opened.linkType} is not known`,
        "Name other interfaces with -i.",
        5,
      );
    }
    letIn(link, opened.descriptor);
    if (!table.add(opened.handle, opened.descriptor, opened.linkType, ifindex, mac)) {
      closePcap(opened.handle);
      throw new Failure(`Cannot capture on "${name}" as well: there are too many`, "Name some with -i.", 1);
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
      match: { services, isOutgoing, snaplen, counters, worker: 0 },
    },
    start(interfaces) {
      const present = links().filter(({ ifindex }) => interfaces?.includes(ifindex) ?? true);
      for (const slot of slots()) {
        const link = present.find(({ ifindex }) => ifindex === table.ifindex(slot));
        if (link) letIn(link, table.descriptor(slot));
        else table.end(slot);
      }
      const known = slots().map((slot) => table.ifindex(slot));
      const fresh = present.filter(({ ifindex }) => !known.includes(ifindex));
      for (const link of fresh) open(link, Math.floor(bufferBytes / present.length));
    },
    stop() {
      for (const slot of slots()) attachSocketFilter(table.descriptor(slot), rejectAll());
    },
    stats,
    close() {
      for (let slot = 0; slot < table.count; slot++) closePcap(table.handle(slot));
      watched.close();
    },
  };
}
