/** Capture by packet sockets, raw sockets or libpcap: opens what a plan asks for. */
import type { SocketFilterOptions } from "../capture/socket/filter.ts";
import { openPcapCapture } from "../capture/socket/pcap-capture.ts";
import {
  openPacketCapture,
  openRawCapture,
  type SocketCapture,
  type SocketCaptureOptions,
} from "../capture/socket/sockets.ts";
import { compileFilter, linkLayerOf } from "../filter/compile.ts";
import { bufferBytes, megabytes } from "../host/memory.ts";
import { Failure } from "../native/failure.ts";
import { type Capture, countsOf } from "./back-end.ts";
import { answeringServices, kernelServices, takesOnlyLocal } from "./load.ts";
import { type CopyOptions, signSpan } from "./options.ts";
import type { Plan } from "./plan.ts";

export type SocketBackEnd = "packet" | "raw" | "pcap";

const OPEN: Record<SocketBackEnd, (options: SocketCaptureOptions) => SocketCapture> = {
  packet: openPacketCapture,
  raw: openRawCapture,
  pcap: openPcapCapture,
};

/** Compiles -F for interfaces with Ethernet headers and for those without; the latter may fail if the plan has none. */
function compileFront(expression: string, { interfaces }: Plan): SocketFilterOptions["front"] {
  const ethernet = compileFilter(expression, "ethernet");
  if (ethernet.wantsTag) {
    throw new Failure(
      `Cannot use -F "${expression}" on a socket: it tests VLAN tags, which the kernel removes before a socket sees a packet`,
      "Use --capture tcx or clsact, or name the VLAN's own interface with -i.",
      2,
    );
  }
  const isNeeded = interfaces.some(({ hardwareType }) => linkLayerOf(hardwareType ?? 1) === "raw");
  const raw = isNeeded ? compileFilter(expression, "raw") : compileIfPossible(expression);
  return { ethernet: ethernet.instructions, raw: raw?.instructions ?? null };
}

/** For interfaces without a link layer that may appear later; null if the filter cannot be compiled for them. */
function compileIfPossible(expression: string) {
  try {
    return compileFilter(expression, "raw");
  } catch {
    return null;
  }
}

/** Opens sockets that capture nothing yet. Throws a Failure (2, 4, 5). */
export function captureBySockets(name: SocketBackEnd, plan: Plan, options: CopyOptions): Capture {
  const { direction, snaplen, bufferBytes: given, filter } = options.capture;
  const frontOf = (expression: string | null) =>
    expression === null ? null : compileFront(expression, plan);
  const capture = OPEN[name]({
    services: kernelServices(plan),
    answering: direction === "out" ? [] : answeringServices(plan, options),
    isOutgoing: direction === "out",
    onlyLocal: takesOnlyLocal(plan, options),
    snaplen,
    signSpan: signSpan(options),
    mark: options.mark,
    bufferBytes: bufferBytes(given),
    front: frontOf(filter),
    workers: plan.workers.count,
  });
  const seesAnswers = direction !== "out" && name !== "raw";
  const interfaces = new Set<number>();
  // libpcap opens each interface by itself; the other back ends capture on all interfaces at once, also on later ones.
  const takesAll = plan.followsAll && name !== "pcap";
  const start = () => capture.start(takesAll ? null : [...interfaces]);
  return {
    name,
    wayOn: () => name,
    source: capture.source,
    room: megabytes(capture.bufferBytes),
    try() {},
    attach(ifindexes) {
      for (const ifindex of ifindexes) interfaces.add(ifindex);
      start();
    },
    forget(ifindex) {
      interfaces.delete(ifindex);
      start();
    },
    refresh() {},
    stop: capture.stop,
    setFilter: (expression) => capture.change({ front: frontOf(expression) }),
    setServices: (services, answering) =>
      capture.change({ services, answering: seesAnswers ? answering : [] }),
    setLocal: capture.setLocal,
    forwarded: capture.forwarded,
    counts: () => countsOf(capture.stats()),
    close: capture.close,
  };
}
