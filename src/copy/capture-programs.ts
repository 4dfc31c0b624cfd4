/** Capture by programs in the kernel: tcx, clsact and XDP. */
import { type FilterTarget, InterfaceFilters } from "../capture/interface-filters.ts";
import type { KernelCapture } from "../capture/kernel.ts";
import { megabytes } from "../host/memory.ts";
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
    attach(ifindexes) {
      if (filters) filters.attach(ifindexes);
      else kernel.attachRequests(ifindexes);
    },
    forget: (ifindex) => kernel.forget(ifindex),
    refresh: () => kernel.learnMacs(),
    stop: () => kernel.detachRequests(),
    counts() {
      const stats = kernel.stats();
      return { ...countsOf(stats), lostByCpu: stats.requestRingFullByCpu };
    },
    close: () => filters?.close(),
  };
}
