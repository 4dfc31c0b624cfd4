/** The kernel side of `xcopy record`: the request program of copy and, for --both, the program for outgoing packets. */
import { Attachments, type Hook } from "../capture/attachments.ts";
import { type KernelStats, readStats } from "../capture/counters.ts";
import { fillServices } from "../capture/kernel/services.ts";
import { type Forwarded, LOCAL_MAPS, leaveOutLocal, localMapsOf } from "../capture/local-maps.ts";
import { createLargeRings, settings, useRings } from "../capture/maps.ts";
import type { KernelService } from "../capture/services.ts";
import { fillArrayOfMaps } from "../native/bpf/create-map.ts";
import { openLibbpf } from "../native/bpf/libbpf.ts";
import { BpfObject } from "../native/bpf/object.ts";
import type { CarriedLibrary } from "../native/carried.ts";
import { libc } from "../native/libc.ts";
import type { LocalPrefix } from "../native/netlink/local-prefixes.ts";

export interface RecordKernelOptions {
  /** The bytes of request.bpf.o, and of outgoing.bpf.o where responses are wanted. */
  requestObject: Uint8Array;
  outgoingObject: Uint8Array | null;
  services: KernelService[];
  /** Whether services without address are at this host's own addresses only; none before `setLocal`. Default false. */
  onlyLocal?: boolean;
  /** SO_MARK of packets that are not recorded; 0: none. */
  mark: number;
  keepsAcks: boolean;
  /** Bytes of a packet that are recorded at most, up to WHOLE_PACKETS. */
  snaplen: number;
  /** Bytes of each CPU's ring: a power of two, at least 131072. */
  ringBytes: number;
  /** What they have at least, where the kernel has no memory for more; by default all of `ringBytes`. */
  ringLeast?: number;
  hook: "auto" | Hook;
  libraries?: CarriedLibrary[];
}

export interface RecordKernel {
  /** Descriptors of the ring buffers, one per possible CPU, for both directions; and of the maps. */
  readonly rings: number[];
  /** Bytes of each ring. */
  readonly ringBytes: number;
  readonly controlMap: number;
  readonly countersMap: number;
  /** By ifindex (4 bytes): packets that no ring had room for (8 bytes). */
  readonly lostMap: number;
  /** Descriptors of the programs; that for outgoing packets is -1 without --both. */
  readonly requestProgram: number;
  readonly outgoingProgram: number;
  readonly hook: Hook;
  /** Attaches to these interfaces. Throws a Failure: 2 for one that is not there, 4 without privilege, 5. */
  attach(ifindexes: number[]): void;
  /** Says which addresses are this host's; returns how many there is no room for. Null without `onlyLocal`. */
  readonly setLocal: ((local: readonly LocalPrefix[]) => number) | null;
  /** A destination whose packets only passed through this host; null: there was none. */
  forwarded(): Forwarded | null;
  /** Detaches the programs: nothing more gets into the rings, what is in them stays. */
  detach(): void;
  stats(): KernelStats;
  /** Detaches and closes every descriptor. */
  close(): void;
}

/** Maps that both programs use. */
const SHARED = ["control", "counters", "rings", "services", "ports", "packets", "lost", ...LOCAL_MAPS];

/** Programs of the request object that are not loaded. */
const XDP_PROGRAMS = ["xcopy_request_xdp", "xcopy_request_xdp_linear"];

/** Loads the programs without attaching them. Throws a Failure: 4 without privilege, 5 where kernel or host cannot. */
export function loadRecordKernel(options: RecordKernelOptions): RecordKernel {
  openLibbpf(options.libraries);
  const attachments = new Attachments(options.hook);
  const request = new BpfObject("request", options.requestObject);
  const outgoing = options.outgoingObject && new BpfObject("outgoing", options.outgoingObject);
  const rings: number[] = [];
  const constants = settings(options);
  let open = true;
  function close(): void {
    if (!open) return;
    open = false;
    attachments.detach();
    for (const fd of rings) libc.close(fd);
    request.close();
    outgoing?.close();
  }
  try {
    const { ringBytes: wanted, ringLeast = wanted } = options;
    const { bytes: ringBytes } = createLargeRings(wanted, ringLeast, rings);
    useRings(request, rings);
    request.setMaxEntries("services", Math.max(1, options.services.length));
    for (const program of XDP_PROGRAMS) request.leaveOut(program);
    request.setConstants(constants);
    if (!options.onlyLocal) leaveOutLocal(request);
    request.load();
    for (const map of SHARED) outgoing?.reuse(map, request.mapFd(map));
    outgoing?.setConstants(constants);
    outgoing?.load();
    fillArrayOfMaps(request.mapFd("rings"), rings);
    fillServices(request, options.services);
    const requestProgram = request.programFd("xcopy_request");
    const outgoingProgram = outgoing?.programFd("xcopy_outgoing") ?? -1;
    const countersMap = request.mapFd("counters");
    const local = options.onlyLocal ? localMapsOf(request) : null;
    return {
      rings,
      ringBytes,
      controlMap: request.mapFd("control"),
      countersMap,
      lostMap: request.mapFd("lost"),
      requestProgram,
      outgoingProgram,
      get hook() {
        return attachments.hook;
      },
      attach(ifindexes) {
        for (const ifindex of ifindexes) {
          attachments.attach("request", requestProgram, ifindex);
          if (outgoing) attachments.attach("outgoing", outgoingProgram, ifindex);
        }
      },
      setLocal: local && ((prefixes) => local.set(prefixes)),
      forwarded: () => local?.forwarded() ?? null,
      detach: () => attachments.detach(),
      stats: () => readStats(countersMap),
      close,
    };
  } catch (error) {
    close();
    throw error;
  }
}
