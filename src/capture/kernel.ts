/** The kernel side of the capture: loads the BPF programs, attaches them, reads what they count. */
import { BpfObject, fillArrayOfMaps, openLibbpf, updateMap } from "../native/bpf/libbpf.ts";
import type { CarriedLibrary } from "../native/carried.ts";
import { libc } from "../native/libc.ts";
import { type Link, links } from "../native/netlink.ts";
import { Attachments, type Hook } from "./attachments.ts";
import type { Kind } from "./clsact.ts";
import { KERNEL_COUNTERS, type KernelCounter, type KernelStats, readStats } from "./counters.ts";
import { addressKey, createRings, fillPorts, settings, setWorkers, words } from "./maps.ts";
import type { KernelService } from "./services.ts";
import { XdpLinks, type XdpMode } from "./xdp-links.ts";

export { type Hook, KERNEL_COUNTERS, type KernelCounter, type KernelStats };

/** A target as seen from one local address; addresses are 4 or 16 bytes in network order. */
export interface KernelPath {
  family: 4 | 6;
  local: Uint8Array;
  target: Uint8Array;
  targetPort: number;
  /** Default `tcp`. */
  transport?: "tcp" | "udp";
  /** Whether responses are captured with their payload, or as headers. */
  payload?: boolean;
}

/**
 * Where requests are captured: tcx and clsact behind GRO, the others in front of it, on Ethernet interfaces; on others tcx or
 * clsact take their place.
 */
export type RequestHook = Hook | "xdp" | "xdp-generic";

export interface KernelCaptureOptions {
  /** The bytes of request.bpf.o and response.bpf.o. */
  requestObject: Uint8Array;
  responseObject: Uint8Array;
  /** Of outgoing.bpf.o, where the beginnings of what services send to their clients are captured too. */
  outgoingObject?: Uint8Array | undefined;
  /** Whose beginnings. */
  outgoingServices?: KernelService[];
  /** Null: no requests are captured, at least not here. */
  services: KernelService[] | null;
  /** The index of a path is its place in here. Null: responses come another way. */
  paths: KernelPath[] | null;
  /** SO_MARK of all that we send; 0: none. */
  mark: number;
  /** Most bytes of a packet that are captured, at most and by default WHOLE_PACKETS. */
  snaplen?: number;
  /** Whether requests leave this host: captured at egress, and services without address are anywhere. Default false. */
  isOutgoing?: boolean;
  /** How many workers share the flows; by default 1. */
  workers?: number;
  /** Bytes of each ring: powers of two, at least 4096. Requests of up to 64 KiB need at least 131072. */
  requestRingBytes: number;
  responseRingBytes: number;
  /** `auto`: tcx where the kernel has it. Responses never come by XDP. */
  hook: "auto" | RequestHook;
  /** What to load where the host has no libbpf: see `openLibbpf`. */
  libraries?: CarriedLibrary[];
}

export interface KernelCapture {
  /**
   * Descriptors of the ring buffers, one per possible CPU and worker, those of a CPU in a row (see `ofWorker`); empty for
   * what was left out.
   */
  readonly requestRings: number[];
  readonly responseRings: number[];
  /** Bytes of each. */
  readonly requestRingBytes: number;
  readonly responseRingBytes: number;
  /** Descriptors of the mmap'able maps: see control.ts and flows.ts; -1 for what was left out. */
  readonly controlMap: number;
  readonly flowsMap: number;
  /** Descriptors of the programs, -1 for what was left out. */
  readonly requestProgram: number;
  readonly requestXdpProgram: number;
  readonly responseProgram: number;
  /** What is or will be attached: tcx and XDP links end with the process, clsact filters are removed by `detach`. */
  readonly hook: Hook;
  /** Whether requests on an interface are captured by XDP. */
  usesXdp(ifindex: number): boolean;
  /** In what mode, once it is attached. */
  xdpModeOn(ifindex: number): XdpMode | undefined;
  /** XDP has to know which MAC addresses interfaces have now: those that it is attached to. */
  learnMacs(): void;
  /**
   * Attach to the ingress of these interfaces of the network namespace of the calling thread. On an interface that has
   * both, responses come first, in whatever order these are called. Both throw a Failure: 2 for an interface that is not
   * there, 3 where somebody else's XDP program is, 4 without privilege, 5 where the kernel cannot. `program` is a filter in
   * front of `requestProgram` or `requestXdpProgram`, as `usesXdp` says.
   */
  attachRequests(ifindexes: number[], program?: number): void;
  attachResponses(ifindexes: number[]): void;
  /** Takes the request program off all interfaces: nothing more is captured, responses still are. */
  detachRequests(): void;
  /** Gives up what was attached to an interface that is gone. */
  forget(ifindex: number): void;
  stats(): KernelStats;
  /** Takes the programs off all interfaces and closes every descriptor; nothing else here may be used then. */
  detach(): void;
}

/** ARPHRD_ETHER; loopback has another type. */
const ETHERNET = 1;
const FLOW_WORDS_PER_PATH = 65536 / 64;
/** As bpf/response/response.bpf.c has it. */
const WITH_PAYLOAD = 2 ** 31;
/** Maps of the request program that the one for what goes out uses; its records come in the same rings. */
const OUTGOING_SHARED = ["control", "counters", "rings", "packets", "lost"];
/** Bytes of a packet that goes out: headers, and what a module reads of an answer's beginning. */
const OUTGOING_BYTES = 384;

/**
 * Loads the programs without attaching them, at least one. Throws a Failure: 4 without privilege, 5 where the kernel or the host
 * cannot (before Linux 5.8; no libbpf; `tcx` asked for before 6.6 is found at the first attach).
 */
export function loadKernelCapture(options: KernelCaptureOptions): KernelCapture {
  openLibbpf(options.libraries);
  const { services, paths } = options;
  const request = services && new BpfObject("request", options.requestObject);
  const response = paths && new BpfObject("response", options.responseObject);
  const outgoing = request && options.outgoingObject && new BpfObject("outgoing", options.outgoingObject);
  const rings: number[] = [];
  const isXdp = options.hook === "xdp" || options.hook === "xdp-generic";
  const attachments = new Attachments(isXdp ? "auto" : (options.hook as "auto" | Hook));
  const xdp = new XdpLinks(options.hook === "xdp-generic" ? ["generic"] : undefined);
  const present = () => links().filter(({ hardwareType }) => hardwareType === ETHERNET);

  let open = true;
  function closeAll(): void {
    if (!open) return;
    open = false;
    attachments.detach();
    xdp.close();
    for (const fd of rings) libc.close(fd);
    request?.close();
    response?.close();
    outgoing?.close();
  }

  try {
    const { workers = 1 } = options;
    for (const object of [request, response, outgoing]) if (object) setWorkers(object, workers);
    if (!isXdp) request?.leaveOut("xcopy_request_xdp");
    const requestRings = request ? createRings(request, options.requestRingBytes, rings, workers) : [];
    const responseRings = response ? createRings(response, options.responseRingBytes, rings, workers) : [];
    if (request && services) loadRequest(request, services, requestRings, options);
    // What both have is that of the one that was loaded first.
    if (request && response) {
      for (const shared of ["control", "counters"]) response.reuse(shared, request.mapFd(shared));
    }
    if (request && outgoing) loadOutgoing(outgoing, request, options);
    if (response && paths) loadResponse(response, paths, responseRings);
    const owner = (request ?? response)!;
    const countersMap = owner.mapFd("counters");
    const requestProgram = request?.programFd("xcopy_request") ?? -1;
    const requestXdpProgram = isXdp ? request!.programFd("xcopy_request_xdp") : -1;
    const responseProgram = response?.programFd("xcopy_response") ?? -1;
    const outgoingProgram = outgoing?.programFd("xcopy_outgoing") ?? -1;
    const direction: Kind = options.isOutgoing ? "leaving" : "request";
    const usesXdp = (ifindex: number) => isXdp && present().some((link) => link.ifindex === ifindex);
    const learnMacs = () => {
      if (isXdp) fillMacs(request!, present());
    };
    return {
      requestRings,
      responseRings,
      requestRingBytes: options.requestRingBytes,
      responseRingBytes: options.responseRingBytes,
      controlMap: owner.mapFd("control"),
      flowsMap: response?.mapFd("flows") ?? -1,
      requestProgram,
      requestXdpProgram,
      responseProgram,
      usesXdp,
      xdpModeOn: (ifindex) => xdp.modeOn(ifindex),
      learnMacs,
      get hook() {
        return attachments.hook;
      },
      attachRequests(ifindexes, program) {
        learnMacs();
        for (const ifindex of ifindexes) {
          if (usesXdp(ifindex)) xdp.attach(program ?? requestXdpProgram, ifindex);
          else attachments.attach(direction, program ?? requestProgram, ifindex);
          if (outgoing) attachments.attach("outgoing", outgoingProgram, ifindex);
        }
      },
      attachResponses(ifindexes) {
        for (const ifindex of ifindexes) attachments.attach("response", responseProgram, ifindex);
      },
      detachRequests() {
        xdp.close();
        attachments.detachRequests();
      },
      forget(ifindex) {
        attachments.forget(ifindex);
        xdp.forget(ifindex);
      },
      stats: () => readStats(countersMap),
      detach: closeAll,
    };
  } catch (error) {
    closeAll();
    throw error;
  }
}

function loadRequest(
  request: BpfObject,
  services: KernelService[],
  rings: number[],
  options: KernelCaptureOptions,
): void {
  for (const name of ["services", "datagram_services"]) {
    request.setMaxEntries(name, Math.max(1, services.length));
  }
  const takesDatagrams = services.some(({ transport }) => transport === "udp");
  request.setConstants(settings({ ...options, takesDatagrams }));
  request.load();
  fillArrayOfMaps(request.mapFd("rings"), rings);
  fillServices(request, services);
}

function loadOutgoing(outgoing: BpfObject, request: BpfObject, options: KernelCaptureOptions): void {
  const services = options.outgoingServices ?? [];
  for (const map of OUTGOING_SHARED) outgoing.reuse(map, request.mapFd(map));
  outgoing.setMaxEntries("services", Math.max(1, services.length));
  outgoing.setConstants(settings({ mark: options.mark, snaplen: OUTGOING_BYTES }));
  outgoing.load();
  fillServices(outgoing, services);
}

function loadResponse(response: BpfObject, paths: KernelPath[], rings: number[]): void {
  for (const name of ["paths", "datagram_paths"]) response.setMaxEntries(name, Math.max(1, paths.length));
  response.setMaxEntries("flows", Math.max(1, paths.length) * FLOW_WORDS_PER_PATH);
  response.load();
  fillArrayOfMaps(response.mapFd("rings"), rings);
  fillPaths(response, paths);
}

/** bpf/request/to-interface.h: a MAC address and two zeros. */
function fillMacs(request: BpfObject, present: Link[]): void {
  for (const { ifindex, mac } of present) {
    const value = new Uint8Array(new ArrayBuffer(8));
    value.set(mac.subarray(0, 6));
    updateMap(request.mapFd("macs"), words(ifindex), value);
  }
}

/** Tells a request program whose requests it is to capture. */
export function fillServices(object: BpfObject, services: KernelService[]): void {
  for (const { address, port, family, transport, index } of services) {
    const map = object.mapFd(transport === "udp" ? "datagram_services" : "services");
    updateMap(map, addressKey([address], port, family), words(index));
  }
  fillPortsOfBoth(object, services);
}

function fillPaths(object: BpfObject, paths: KernelPath[]): void {
  paths.forEach(({ target, local, targetPort, family, transport, payload }, index) => {
    const map = object.mapFd(transport === "udp" ? "datagram_paths" : "paths");
    const value = payload ? index + WITH_PAYLOAD : index;
    updateMap(map, addressKey([target, local], targetPort, family), words(value));
  });
  fillPortsOfBoth(
    object,
    paths.map(({ targetPort, transport = "tcp" }) => ({ port: targetPort, transport })),
  );
}

/** Tells an object by which ports packets of interest are known, of TCP and of UDP; the one for what goes out knows TCP only. */
function fillPortsOfBoth(object: BpfObject, ports: Pick<KernelService, "port" | "transport">[]): void {
  const of = (isUdp: boolean) =>
    ports.flatMap(({ port, transport }) => ((transport === "udp") === isUdp ? [[port, port] as const] : []));
  fillPorts(object.mapFd("ports"), 0, of(false));
  const datagrams = of(true);
  if (datagrams.length > 0) fillPorts(object.mapFd("datagram_ports"), 0, datagrams);
}
