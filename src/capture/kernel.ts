/** The kernel side of the capture: loads the BPF programs, attaches them, reads what they count. */
import { BpfObject, type CarriedLibrary, fillArrayOfMaps, openLibbpf, updateMap } from "../native/libbpf.ts";
import { libc } from "../native/libc.ts";
import { Attachments, type Hook } from "./attachments.ts";
import { KERNEL_COUNTERS, type KernelCounter, type KernelStats, readStats } from "./counters.ts";
import { addressKey, createRings, fillPorts, settings, words } from "./maps.ts";

export { type Hook, KERNEL_COUNTERS, type KernelCounter, type KernelStats };

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
  /** Whether responses are captured with their payload, or as headers. */
  payload?: boolean;
}

export interface KernelCaptureOptions {
  /** The bytes of request.bpf.o and response.bpf.o. */
  requestObject: Uint8Array;
  responseObject: Uint8Array;
  /** Of outgoing.bpf.o, where the beginnings of what services send to their clients are captured too. */
  outgoingObject?: Uint8Array | undefined;
  services: KernelService[];
  /** Of those, whose beginnings. */
  outgoingServices?: KernelService[];
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

const FLOW_WORDS_PER_PATH = 65536 / 64;
/** As bpf/response.bpf.c has it. */
const WITH_PAYLOAD = 2 ** 31;
/** Maps of the request program that the one for what goes out uses; its records come in the same rings. */
const OUTGOING_SHARED = ["control", "counters", "rings", "packets", "lost"];
/** Bytes of a packet that goes out: headers, and what a module reads of an answer's beginning. */
const OUTGOING_BYTES = 384;

/**
 * Loads both programs without attaching them. Throws a Failure: 4 without privilege, 5 where the kernel or the host
 * cannot (before Linux 5.8; no libbpf; `tcx` asked for before 6.6 is found at the first attach).
 */
export function loadKernelCapture(options: KernelCaptureOptions): KernelCapture {
  openLibbpf(options.libraries);
  const request = new BpfObject("request", options.requestObject);
  const response = new BpfObject("response", options.responseObject);
  const outgoing = options.outgoingObject && new BpfObject("outgoing", options.outgoingObject);
  const rings: number[] = [];
  const attachments = new Attachments(options.hook);

  let open = true;
  function closeAll(): void {
    if (!open) return;
    open = false;
    attachments.detach();
    for (const fd of rings) libc.close(fd);
    request.close();
    response.close();
    outgoing?.close();
  }

  try {
    const requestRings = createRings(request, options.requestRingBytes, rings);
    const responseRings = createRings(response, options.responseRingBytes, rings);
    request.setMaxEntries("services", Math.max(1, options.services.length));
    request.setConstants(settings(options.mark));
    request.load();
    const controlMap = request.mapFd("control");
    const countersMap = request.mapFd("counters");

    response.reuse("control", controlMap);
    response.reuse("counters", countersMap);
    response.setMaxEntries("paths", Math.max(1, options.paths.length));
    response.setMaxEntries("flows", Math.max(1, options.paths.length) * FLOW_WORDS_PER_PATH);
    response.load();

    if (outgoing) {
      for (const map of OUTGOING_SHARED) outgoing.reuse(map, request.mapFd(map));
      outgoing.setMaxEntries("services", Math.max(1, options.outgoingServices?.length ?? 0));
      outgoing.setConstants(settings(options.mark, false, OUTGOING_BYTES));
      outgoing.load();
      fillServices(outgoing, options.outgoingServices ?? []);
    }
    fillArrayOfMaps(request.mapFd("rings"), requestRings);
    fillArrayOfMaps(response.mapFd("rings"), responseRings);
    fillServices(request, options.services);
    fillPaths(response, options.paths);

    const requestProgram = request.programFd("xcopy_request");
    const responseProgram = response.programFd("xcopy_response");
    const outgoingProgram = outgoing?.programFd("xcopy_outgoing") ?? -1;
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
        return attachments.hook;
      },
      attachRequests(ifindexes) {
        for (const ifindex of ifindexes) {
          attachments.attach("request", requestProgram, ifindex);
          if (outgoing) attachments.attach("outgoing", outgoingProgram, ifindex);
        }
      },
      attachResponses(ifindexes) {
        for (const ifindex of ifindexes) attachments.attach("response", responseProgram, ifindex);
      },
      detachRequests() {
        attachments.detachRequests();
      },
      stats: () => readStats(countersMap),
      detach: closeAll,
    };
  } catch (error) {
    closeAll();
    throw error;
  }
}

/** Tells a request program whose requests it is to capture. */
export function fillServices(object: BpfObject, services: KernelService[]): void {
  for (const { address, port, family, index } of services) {
    updateMap(object.mapFd("services"), addressKey([address], port, family), words(index));
  }
  fillPorts(
    object.mapFd("ports"),
    0,
    services.map(({ port }) => [port, port]),
  );
}

function fillPaths(object: BpfObject, paths: KernelPath[]): void {
  paths.forEach(({ target, local, targetPort, family, payload }, index) => {
    const value = payload ? index + WITH_PAYLOAD : index;
    updateMap(object.mapFd("paths"), addressKey([target, local], targetPort, family), words(value));
  });
  fillPorts(
    object.mapFd("ports"),
    0,
    paths.map(({ targetPort }) => [targetPort, targetPort]),
  );
}
