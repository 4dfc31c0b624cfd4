/** What the kernel programs count, per CPU. */
import { lookUp } from "../native/bpf/map.ts";
import { possibleCpus, words } from "./maps.ts";

/** In the order of bpf/record/counters.h. */
export const KERNEL_COUNTERS = [
  "requestsCaptured",
  "requestBytes",
  "requestRingFull",
  "pureAcks",
  "duplicates",
  "fragments",
  "oversize",
  "ownMark",
  "responsesCaptured",
  "responseBytes",
  "responseRingFull",
  "inert",
  "unsampled",
  "unreadable",
  "learned",
  "forgotten",
  "unknownCookies",
  "icmpErrors",
  "abandoned",
  "forwarded",
  "confirmed",
  "refused",
  "outgoingCaptured",
  "outgoingBytes",
  "outgoingRingFull",
] as const;

export type KernelCounter = (typeof KERNEL_COUNTERS)[number];

/** Sums over all CPUs, and for each CPU the packets that its rings had no room for. */
export type KernelStats = Record<KernelCounter, number> & {
  requestRingFullByCpu: number[];
  responseRingFullByCpu: number[];
};

/** Reads the map `counters`, from any thread. Throws with errno's text. */
export function readStats(countersMap: number): KernelStats {
  const cpus = possibleCpus();
  const values = new BigUint64Array(new ArrayBuffer(cpus * KERNEL_COUNTERS.length * 8));
  lookUp(countersMap, words(0), new Uint8Array(values.buffer));
  const byCpu = (counter: KernelCounter) =>
    Array.from({ length: cpus }, (_, cpu) =>
      Number(values[cpu * KERNEL_COUNTERS.length + KERNEL_COUNTERS.indexOf(counter)]),
    );
  const sums = Object.fromEntries(
    KERNEL_COUNTERS.map((counter) => [counter, byCpu(counter).reduce((sum, value) => sum + value, 0)]),
  ) as Record<KernelCounter, number>;
  return {
    ...sums,
    requestRingFullByCpu: byCpu("requestRingFull"),
    responseRingFullByCpu: byCpu("responseRingFull"),
  };
}
