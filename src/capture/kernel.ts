/** The kernel side of the capture: loads the BPF programs, attaches them, reads what they count. */
import { readFileSync } from "node:fs";
import { Failure } from "../native/failure.ts";
import { interfaceName } from "../native/filters.ts";
import {
  BpfObject,
  bpfFailure,
  type CarriedLibrary,
  createRing,
  createTcxLink,
  fillArrayOfMaps,
  lookupMap,
  openLibbpf,
  updateMap,
} from "../native/libbpf.ts";
import { AF_INET, AF_INET6, EINVAL, libc } from "../native/libc.ts";
import { ClsactFilters } from "./clsact.ts";

/** What the programs count, in the order of bpf/counters.h. */
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
] as const;

export type KernelCounter = (typeof KERNEL_COUNTERS)[number];

/** Sums over all CPUs, and what each CPU's rings could not take. */
export type KernelStats = Record<KernelCounter, number> & {
  requestRingFullByCpu: number[];
  responseRingFullByCpu: number[];
};

/** Whom requests are captured for. */
export interface KernelService {
  /** 4 or 16 bytes in network order; null: every address of this host. */
  address: Uint8Array | null;
  family: 4 | 6;
  port: number;
  /** What its records carry as `index`. */
  index: number;
}

/** A target as seen from one local address; addresses are 4 or 16 bytes in network order. */
export interface KernelPath {
  family: 4 | 6;
  local: Uint8Array;
  target: Uint8Array;
  targetPort: number;
}

export type Hook = "tcx" | "clsact";

export interface KernelCaptureOptions {
  /** The bytes of request.bpf.o and response.bpf.o. */
  requestObject: Uint8Array;
  responseObject: Uint8Array;
  services: KernelService[];
  /** The index of a path is its place in here. */
  paths: KernelPath[];
  /** SO_MARK of all that we send; 0: none. */
  mark: number;
  /** Bytes of each CPU's ring: powers of two, at least 4096. Requests of up to 64 KiB need at least 131072. */
  requestRingBytes: number;
  responseRingBytes: number;
  /** `auto`: tcx where the kernel has it. */
  hook: "auto" | Hook;
  /** What to load where the host has no libbpf: see `openLibbpf`. */
  libraries?: CarriedLibrary[];
}

export interface KernelCapture {
  /** Descriptors of the ring buffers, one per possible CPU. */
  readonly requestRings: number[];
  readonly responseRings: number[];
  /** Bytes of each. */
  readonly requestRingBytes: number;
  readonly responseRingBytes: number;
  /** Descriptors of the mmap'able maps: see control.ts and flows.ts. */
  readonly controlMap: number;
  readonly flowsMap: number;
  /** Descriptors of the programs. */
  readonly requestProgram: number;
  readonly responseProgram: number;
  /** What is or will be attached: tcx links end with the process, clsact filters are removed by `detach`. */
  readonly hook: Hook;
  /**
   * Attach to the ingress of these interfaces of the network namespace of the calling thread. On an interface that has
   * both, responses come first, in whatever order these are called. Both throw a Failure: 2 for an interface that is not
   * there, 4 without privilege, 5 where the kernel cannot.
   */
  attachRequests(ifindexes: number[]): void;
  attachResponses(ifindexes: number[]): void;
  /** Takes the request program off all interfaces: nothing more is captured, responses still are. */
  detachRequests(): void;
  stats(): KernelStats;
  /** Takes the programs off all interfaces and closes every descriptor; nothing else here may be used then. */
  detach(): void;
}

const ENODEV = 19;
const PORTS_BYTES = 65536 / 8;
const FLOW_WORDS_PER_PATH = 65536 / 64;

/**
 * Loads both programs without attaching them. Throws a Failure: 4 without privilege, 5 where the kernel or the host
 * cannot (before Linux 5.8; no libbpf; `tcx` asked for before 6.6 is found at the first attach).
 */
export function loadKernelCapture(options: KernelCaptureOptions): KernelCapture {
  openLibbpf(options.libraries);
  const request = new BpfObject("request", options.requestObject);
  const response = new BpfObject("response", options.responseObject);
  const cpus = possibleCpus();
  const rings: number[] = [];
  const links: { ifindex: number; kind: "request" | "response"; fd: number }[] = [];
  let hook: Hook = options.hook === "clsact" ? "clsact" : "tcx";
  let filters: ClsactFilters | undefined;

  function createRings(object: BpfObject, bytes: number): number[] {
    const own = Array.from({ length: cpus }, () => {
      const ring = createRing(bytes);
      rings.push(ring);
      return ring;
    });
    object.setMaxEntries("rings", cpus);
    object.setInnerMap("rings", own[0]!);
    return own;
  }

  let open = true;
  function closeAll(): void {
    if (!open) return;
    open = false;
    for (const { fd } of links) libc.close(fd);
    for (const fd of rings) libc.close(fd);
    filters?.detach();
    request.close();
    response.close();
  }

  function attach(kind: "request" | "response", programFd: number, ifindex: number): void {
    const name = interfaceName(ifindex);
    if (name === null) {
      throw new Failure(`Cannot attach to interface ${ifindex}: no such interface`, "List them: ip link", 2);
    }
    if (hook === "tcx") {
      const before = links.find((link) => link.ifindex === ifindex && link.kind === "response");
      const fd = createTcxLink(programFd, ifindex, kind === "request" ? before?.fd : undefined);
      if (fd >= 0) {
        links.push({ ifindex, kind, fd });
        return;
      }
      if (fd === -ENODEV) {
        throw new Failure(`Cannot attach to interface "${name}": it is gone`, "List them: ip link", 2);
      }
      if (fd !== -EINVAL) throw bpfFailure(`attach to interface "${name}" by tcx`, -fd);
      if (options.hook === "tcx" || links.length > 0) {
        throw new Failure(
          `Cannot attach to interface "${name}" by tcx: this kernel has none`,
          "Use Linux 6.6 or newer, or the hook clsact",
          5,
        );
      }
      hook = "clsact";
    }
    filters ??= new ClsactFilters();
    filters.attach(kind, programFd, ifindex);
  }

  try {
    const requestRings = createRings(request, options.requestRingBytes);
    const responseRings = createRings(response, options.responseRingBytes);
    request.setMaxEntries("services", Math.max(1, options.services.length));
    request.setConstants(words(options.mark));
    request.load();
    const controlMap = request.mapFd("control");
    const countersMap = request.mapFd("counters");

    response.reuse("control", controlMap);
    response.reuse("counters", countersMap);
    response.setMaxEntries("paths", Math.max(1, options.paths.length));
    response.setMaxEntries("flows", Math.max(1, options.paths.length) * FLOW_WORDS_PER_PATH);
    response.load();

    fillArrayOfMaps(request.mapFd("rings"), requestRings);
    fillArrayOfMaps(response.mapFd("rings"), responseRings);
    fillServices(request, options.services);
    fillPaths(response, options.paths);

    const requestProgram = request.programFd("xcopy_request");
    const responseProgram = response.programFd("xcopy_response");
    return {
      requestRings,
      responseRings,
      requestRingBytes: options.requestRingBytes,
      responseRingBytes: options.responseRingBytes,
      controlMap,
      flowsMap: response.mapFd("flows"),
      requestProgram,
      responseProgram,
      get hook() {
        return hook;
      },
      attachRequests(ifindexes) {
        for (const ifindex of ifindexes) attach("request", requestProgram, ifindex);
      },
      attachResponses(ifindexes) {
        for (const ifindex of ifindexes) attach("response", responseProgram, ifindex);
      },
      detachRequests() {
        for (const link of links.splice(0)) {
          if (link.kind === "request") libc.close(link.fd);
          else links.push(link);
        }
        filters?.detachRequests();
      },
      stats: () => readStats(countersMap, cpus),
      detach: closeAll,
    };
  } catch (error) {
    closeAll();
    throw error;
  }
}

/** Highest possible CPU number plus one: "0-3" is 4, "0,2-7" is 8. */
function possibleCpus(): number {
  const text = readFileSync("/sys/devices/system/cpu/possible", "utf8");
  return Math.max(...text.split(/[-,]/).map(Number)) + 1;
}

/** u32 in the kernel's byte order, which is little on all that xcopy runs on. */
function words(...values: number[]): Uint8Array {
  return new Uint8Array(new Uint32Array(values).buffer);
}

function fillPorts(object: BpfObject, ports: number[]): void {
  const bits = new Uint8Array(new ArrayBuffer(PORTS_BYTES));
  for (const port of ports) bits[port >> 3]! |= 1 << (port & 7);
  updateMap(object.mapFd("ports"), words(0), bits);
}

/** Addresses of 16 bytes each (IPv4: 4 and zeros), then port (network order) and family (host order). */
function addressKey(addresses: (Uint8Array | null)[], port: number, family: 4 | 6): Uint8Array {
  const key = new DataView(new ArrayBuffer(addresses.length * 16 + 4));
  const bytes = new Uint8Array(key.buffer);
  addresses.forEach((address, index) => {
    if (address) bytes.set(address, index * 16);
  });
  key.setUint16(bytes.length - 4, port);
  key.setUint16(bytes.length - 2, family === 4 ? AF_INET : AF_INET6, true);
  return bytes;
}

function fillServices(object: BpfObject, services: KernelService[]): void {
  for (const { address, port, family, index } of services) {
    updateMap(object.mapFd("services"), addressKey([address], port, family), words(index));
  }
  fillPorts(
    object,
    services.map(({ port }) => port),
  );
}

function fillPaths(object: BpfObject, paths: KernelPath[]): void {
  paths.forEach(({ target, local, targetPort, family }, index) => {
    updateMap(object.mapFd("paths"), addressKey([target, local], targetPort, family), words(index));
  });
  fillPorts(
    object,
    paths.map(({ targetPort }) => targetPort),
  );
}

function readStats(countersMap: number, cpus: number): KernelStats {
  const values = new BigUint64Array(new ArrayBuffer(cpus * KERNEL_COUNTERS.length * 8));
  lookupMap(countersMap, words(0), new Uint8Array(values.buffer));
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
