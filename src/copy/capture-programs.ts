/** Capture by programs in the kernel: tcx, clsact and XDP. */
import { type FilterTarget, InterfaceFilters } from "../capture/interface-filters.ts";
import type { KernelCapture } from "../capture/kernel/capture.ts";
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
  const filtersOf = (expression: string | null) =>
    expression === null
      ? null
      : new InterfaceFilters(expression, targetOn, (ifindexes, { fd }) =>
          kernel.attachRequests(ifindexes, fd),
        );
  let filters = filtersOf(filter);
  const attached = new Set<number>();
  /** Where each of these interfaces gets which program; undefined: the one without a filter. */
  const programsOf = (
    by: InterfaceFilters | null,
    ifindexes: readonly number[],
  ): [number, number | undefined][] =>
    by === null
      ? ifindexes.map((ifindex) => [ifindex, undefined])
      : by.load(ifindexes).flatMap(([{ fd }, those]) => those.map((one): [number, number] => [one, fd]));
  const attachOne = (ifindex: number, program?: number) => {
    try {
      kernel.attachRequests([ifindex], program);
      attached.add(ifindex);
    } catch (error) {
      // With hundreds of interfaces (containers) one may well go before its turn.
      if (interfaceName(ifindex) !== null) throw error;
    }
  };
  const attach = (ifindexes: number[]) => {
    for (const [ifindex, program] of programsOf(filters, ifindexes)) attachOne(ifindex, program);
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
      attached.clear();
    },
    attach,
    forget(ifindex) {
      attached.delete(ifindex);
      kernel.forget(ifindex);
    },
    setFilter(expression) {
      const next = filtersOf(expression);
      const replaced: number[] = [];
      try {
        for (const [ifindex, program] of programsOf(next, [...attached])) {
          kernel.replaceRequests([ifindex], program);
          replaced.push(ifindex);
        }
      } catch (error) {
        for (const [ifindex, program] of programsOf(filters, replaced))
          kernel.replaceRequests([ifindex], program);
        next?.close();
        throw error;
      }
      filters?.close();
      filters = next;
    },
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
