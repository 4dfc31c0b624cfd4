/** Capture by programs in the kernel: tcx, clsact and XDP. */
import { type FilterTarget, InterfaceFilters } from "../capture/interface-filters.ts";
import type { KernelCapture } from "../capture/kernel.ts";
import { megabytes } from "../host/memory.ts";
import { interfaceName } from "../native/filters.ts";
import { type Capture, countsOf } from "./back-end.ts";
import type { CopyOptions } from "./options.ts";

/** A back end of programs that are loaded already; with -F a filter is put in front of them. */
export function captureByPrograms(kernel: KernelCapture, { capture }: CopyOptions): Capture {
  const { filter } = capture;
  const isXdp = capture.backEnd === "xdp" || capture.backEnd === "xdp-generic";
  const targetOn = (ifindex: number): FilterTarget =>
    kernel.usesXdp(ifindex)
      ? { kind: kernel.xdpProgram, target: kernel.requestXdpProgram, frags: kernel.xdpProgram === "xdp" }
      : { kind: "tc", target: kernel.requestProgram };
  const filters =
    filter === null
      ? null
      : new InterfaceFilters(filter, targetOn, (ifindexes, { fd }) => kernel.attachRequests(ifindexes, fd));
  const attachOne = (ifindex: number, program?: number) => {
    try {
      kernel.attachRequests([ifindex], program);
    } catch (error) {
      // With hundreds of interfaces (containers) one may well go before its turn.
      if (interfaceName(ifindex) !== null) throw error;
    }
  };
  const attach = (ifindexes: number[]) => {
    if (!filters) for (const ifindex of ifindexes) attachOne(ifindex);
    else for (const [{ fd }, those] of filters.load(ifindexes)) for (const one of those) attachOne(one, fd);
  };
  return {
    get name() {
      return isXdp ? "xdp" : kernel.hook;
    },
    wayOn(ifindex) {
      if (!kernel.usesXdp(ifindex)) return kernel.hook;
      return kernel.xdpModeOn(ifindex) === "native" ? "XDP (in the driver)" : "XDP (generic)";
    },
    source: { kind: "rings", rings: kernel.requestRings, ringBytes: kernel.requestRingBytes },
    room: megabytes(kernel.requestRings.length * kernel.requestRingBytes),
    try(ifindexes) {
      filters?.load(ifindexes);
      attach(ifindexes.slice(0, 1));
      kernel.detachRequests();
    },
    attach,
    forget: (ifindex) => kernel.forget(ifindex),
    refresh: () => kernel.learnMacs(),
    stop: () => kernel.stopRequests(),
    setServices: (services, answering) => kernel.setServices(services, answering),
    setLocal: kernel.setLocal,
    forwarded: () => kernel.forwarded(),
    counts() {
      const stats = kernel.stats();
      return { ...countsOf(stats), lostByCpu: stats.requestRingFullByCpu };
    },
    close: () => filters?.close(),
  };
}
