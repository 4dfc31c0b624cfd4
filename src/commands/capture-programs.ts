/** Capture by programs in the kernel: tcx and clsact. */
import type { KernelCapture } from "../capture/kernel.ts";
import type { CopyOptions } from "../config/copy.ts";
import { type Capture, countsOf } from "./capture.ts";
import { InterfaceFilters } from "./interface-filters.ts";

/** The programs are loaded already; with -F a filter is put in front of them. */
export function captureByPrograms(kernel: KernelCapture, { capture }: CopyOptions): Capture {
  const { filter } = capture;
  const filters =
    filter === null
      ? null
      : new InterfaceFilters(filter, "tc", kernel.requestProgram, (ifindexes, { fd }) =>
          kernel.attachRequests(ifindexes, fd),
        );
  return {
    get name() {
      return kernel.hook;
    },
    source: { kind: "rings", rings: kernel.requestRings, ringBytes: kernel.requestRingBytes },
    attach(ifindexes) {
      if (filters) filters.attach(ifindexes);
      else kernel.attachRequests(ifindexes);
    },
    forget: (ifindex) => kernel.forget(ifindex),
    stop: () => kernel.detachRequests(),
    counts() {
      const stats = kernel.stats();
      return { ...countsOf(stats), lostByCpu: stats.requestRingFullByCpu };
    },
    close: () => filters?.close(),
  };
}
