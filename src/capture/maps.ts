/** What user space writes into the maps and constants of the kernel programs, in the layout of bpf/. */
import { readFileSync } from "node:fs";
import { createRing, updateMap } from "../native/bpf/create-map.ts";
import type { BpfObject } from "../native/bpf/object.ts";
import { AF_INET, AF_INET6, libc } from "../native/libc.ts";
import { SIGN_SPAN } from "./history.ts";
import type { KernelService } from "./services.ts";

const PORTS_BYTES = 65536 / 8;

/** The highest CPU number of a list in the kernel's notation, plus one: 4 for "0-3", 8 for "0,2-7". */
export function countCpus(list: string): number {
  return Math.max(...list.split(/[-,]/).map(Number)) + 1;
}

let cpus = 0;

/** Number of possible CPUs of this host, offline ones included: each has a ring. It does not change while the host runs. */
export function possibleCpus(): number {
  cpus ||= readPossible();
  return cpus;
}

function readPossible(): number {
  try {
    return countCpus(readFileSync("/sys/devices/system/cpu/possible", "utf8"));
  } catch {
    // Without /sys: the mask has a digit for every four of them (bitmap_print, nr_cpumask_bits), so that it may be some more.
    const mask = /^Cpus_allowed:\s*(\S+)$/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1] ?? "f";
    return 4 * mask.replaceAll(",", "").length;
  }
}

/** u32 values in the host's byte order, which is little-endian on all hosts that xcopy runs on. */
export function words(...values: number[]): Uint8Array {
  return new Uint8Array(new Uint32Array(values).buffer);
}

/** Most bytes of a packet that fit a record: MAX_CAPTURE of bpf/record/whole.h. */
export const WHOLE_PACKETS = 524_288;

export interface Settings {
  /** SO_MARK of packets that are not captured; 0: none. */
  mark: number;
  /** Whether pure ACKs are captured. Default false. */
  keepsAcks?: boolean;
  /** Most bytes that are captured of a packet; default WHOLE_PACKETS. */
  snaplen?: number;
  /** Whether requests leave this host. Default false. */
  isOutgoing?: boolean;
  /** Whether there are UDP services. Default false. */
  takesDatagrams?: boolean;
  /** Whether services without address are at this host's own addresses only. Default false. */
  onlyLocal?: boolean;
  /** us in which one pure ACK of each connection is captured as a sign of life. Default SIGN_SPAN. */
  signSpan?: number;
}

/** The constants of bpf/record/settings.h. */
export function settings(options: Settings): Uint8Array {
  const { mark, keepsAcks, snaplen = WHOLE_PACKETS, isOutgoing, takesDatagrams, onlyLocal } = options;
  const { signSpan = SIGN_SPAN } = options;
  const flags = [isOutgoing, takesDatagrams, onlyLocal].map((flag) => (flag ? 1 : 0));
  return words(mark, keepsAcks ? 1 : 0, snaplen, ...flags, Math.max(1, Math.round(signSpan / 1000)));
}

/** Tells an object that is not loaded yet how many workers there are (bpf/packet/worker.h). Throws a Failure. */
export function setWorkers(object: BpfObject, workers: number): void {
  object.setConstants(words(workers), ".rodata.workers");
  object.setMaxEntries("control", workers);
}

/** Picks the elements of one worker from a list in the order of the rings: per CPU, and per worker within a CPU. */
export function ofWorker<T>(all: readonly T[], worker: number, workers: number): T[] {
  return all.filter((_, index) => index % workers === worker);
}

/**
 * Creates rings of `bytes` each, one per CPU and worker. Each is added to `made` at once, so that the caller can close them after
 * a failure. Throws a Failure.
 */
export function createRings(bytes: number, made: number[], workers = 1): number[] {
  return Array.from({ length: possibleCpus() * workers }, () => {
    const ring = createRing(bytes);
    made.push(ring);
    return ring;
  });
}

/**
 * As `createRings`; where the kernel has no memory for so much (or a limit), each has half as many bytes, and so on, but at least
 * `least`. Returns what it has made. Throws a Failure.
 */
export function createLargeRings(
  bytes: number,
  least: number,
  made: number[],
  workers = 1,
): { rings: number[]; bytes: number } {
  const before = made.length;
  for (let each = bytes; ; each /= 2) {
    try {
      return { rings: createRings(each, made, workers), bytes: each };
    } catch (error) {
      for (const ring of made.splice(before)) libc.close(ring);
      if (each / 2 < least) throw error;
    }
  }
}

/** Bytes of each of `rings` rings, a power of two: together at most `total`, but each at least `least`. */
export function ringBytes({ total, least }: { total: number; least: number }, rings: number): number {
  return Math.max(least, 2 ** Math.floor(Math.log2(total / rings)));
}

/** Gives rings to an object that is not loaded yet; then `fillArrayOfMaps` must put them into its map `rings`. */
export function useRings(object: BpfObject, rings: readonly number[]): void {
  object.setMaxEntries("rings", rings.length);
  object.setInnerMap("rings", rings[0]!);
}

/** Writes a bitmap of port ranges (first, last) to an index of a map `ports` (bpf/packet/prefilter.h). Throws a Failure. */
export function fillPorts(
  portsMap: number,
  index: number,
  ranges: readonly (readonly [number, number])[],
): void {
  const bits = new Uint8Array(new ArrayBuffer(PORTS_BYTES));
  for (const [first, last] of ranges) {
    for (let port = first; port <= last; port++) bits[port >> 3]! |= 1 << (port & 7);
  }
  updateMap(portsMap, words(index), bits);
}

/** Fills the port bitmaps of an object for TCP and for UDP. */
export function fillPortsOfBoth(
  object: BpfObject,
  ports: readonly Pick<KernelService, "port" | "transport">[],
): void {
  const of = (isUdp: boolean) =>
    ports.flatMap(({ port, transport }) => ((transport === "udp") === isUdp ? [[port, port] as const] : []));
  fillPorts(object.mapFd("ports"), 0, of(false));
  fillPorts(object.mapFd("datagram_ports"), 0, of(true));
}

/** A map key: addresses of 16 bytes each (IPv4: 4 and zeros; null: zeros), port (network order), family (host order). */
export function addressKey(addresses: (Uint8Array | null)[], port: number, family: 4 | 6): Uint8Array {
  const key = new DataView(new ArrayBuffer(addresses.length * 16 + 4));
  const bytes = new Uint8Array(key.buffer);
  addresses.forEach((address, index) => {
    if (address) bytes.set(address, index * 16);
  });
  key.setUint16(bytes.length - 4, port);
  key.setUint16(bytes.length - 2, family === 4 ? AF_INET : AF_INET6, true);
  return bytes;
}
