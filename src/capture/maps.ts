/** What goes into the maps of the kernel programs, as bpf/ has it. */
import { readFileSync } from "node:fs";
import { type BpfObject, createRing, updateMap } from "../native/bpf/libbpf.ts";
import { AF_INET, AF_INET6 } from "../native/libc.ts";

const PORTS_BYTES = 65536 / 8;

/** The highest number of a list in the kernel's notation, plus one: "0-3" is 4, "0,2-7" is 8. */
export function countCpus(list: string): number {
  return Math.max(...list.split(/[-,]/).map(Number)) + 1;
}

let cpus = 0;

/** Possible CPUs of this host, those that are off included: each has its ring. It never changes while the host runs. */
export function possibleCpus(): number {
  cpus ||= countCpus(readFileSync("/sys/devices/system/cpu/possible", "utf8"));
  return cpus;
}

/** u32 in the kernel's byte order, which is little on all that xcopy runs on. */
export function words(...values: number[]): Uint8Array {
  return new Uint8Array(new Uint32Array(values).buffer);
}

/** Bytes of a packet that a ring takes at most. */
export const WHOLE_PACKETS = 65535;

export interface Settings {
  /** SO_MARK of packets that are not captured; 0: none. */
  mark: number;
  /** Whether pure ACKs are captured. Default false. */
  keepsAcks?: boolean;
  /** Bytes of a packet that are captured at most; default WHOLE_PACKETS. */
  snaplen?: number;
  /** Whether requests leave this host. Default false. */
  isOutgoing?: boolean;
  /** Whether there are UDP services. Default false. */
  takesDatagrams?: boolean;
}

/** The constants of bpf/record/settings.h. */
export function settings(options: Settings): Uint8Array {
  const { mark, keepsAcks, snaplen = WHOLE_PACKETS, isOutgoing, takesDatagrams } = options;
  return words(mark, keepsAcks ? 1 : 0, snaplen, isOutgoing ? 1 : 0, takesDatagrams ? 1 : 0);
}

/** Tells an object that is not loaded yet how many workers there are (bpf/packet/worker.h). Throws a Failure. */
export function setWorkers(object: BpfObject, workers: number): void {
  object.setConstants(words(workers), ".rodata.workers");
  object.setMaxEntries("control", workers);
}

/** Of something that there is for each CPU and worker, as the rings are made, that of one worker. */
export function ofWorker<T>(all: readonly T[], worker: number, workers: number): T[] {
  return all.filter((_, index) => index % workers === worker);
}

/**
 * Makes the rings of an object that is not loaded yet, one of `bytes` per CPU and worker; each is added to `made` at once,
 * for who has to close them after a failure. `fillArrayOfMaps` puts them into the map `rings` once it is loaded. Throws a
 * Failure.
 */
export function createRings(object: BpfObject, bytes: number, made: number[], workers = 1): number[] {
  const own = Array.from({ length: possibleCpus() * workers }, () => {
    const ring = createRing(bytes);
    made.push(ring);
    return ring;
  });
  object.setMaxEntries("rings", own.length);
  object.setInnerMap("rings", own[0]!);
  return own;
}

/** Writes a bitmap of ports, given as first and last ones, to an index of a map `ports` (bpf/packet/prefilter.h). Throws a Failure. */
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

/** Addresses of 16 bytes each (IPv4: 4 and zeros), then port (network order) and family (host order). */
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
