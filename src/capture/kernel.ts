/** Capture by the kernel programs: loads and attaches them, and reads their counters. */

import type { XdpProgram } from "../filter/access.ts";
import { fillArrayOfMaps, updateMap } from "../native/bpf/create-map.ts";
import { openLibbpf } from "../native/bpf/libbpf.ts";
import { BpfHashMap, deleteElement } from "../native/bpf/map.ts";
import { BpfObject, loadFirst } from "../native/bpf/object.ts";
import type { CarriedLibrary } from "../native/carried.ts";
import { libc } from "../native/libc.ts";
import type { LocalPrefix } from "../native/netlink/local-prefixes.ts";
import { type Link, links } from "../native/netlink/netlink.ts";
import { type Prefix, prefixWord, WHOLE } from "../wire/prefix.ts";
import { Attachments, type Hook } from "./attachments.ts";
import type { Kind } from "./clsact.ts";
import { KERNEL_COUNTERS, type KernelCounter, type KernelStats, readStats } from "./counters.ts";
import { type Forwarded, LOCAL_MAPS, leaveOutLocal, localMapsOf } from "./local-maps.ts";
import {
  addressKey,
  createLargeRings,
  createRings,
  fillPorts,
  settings,
  setWorkers,
  useRings,
  words,
} from "./maps.ts";
import type { AnsweringService, KernelService } from "./services.ts";
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
  /**
   * What is captured of the payload of responses; absent: nothing, only headers. Over UDP, where there is one, as much as there is
   * room for behind the headers (bpf/response/datagram-response.h).
   */
  payload?: Prefix;
}

/**
 * Where requests are captured: by tcx and clsact after GRO, by XDP before it. XDP is for Ethernet interfaces, generic XDP for those
 * without BIG TCP; on others tcx or clsact is used in its place.
 */
export type RequestHook = Hook | "xdp" | "xdp-generic";

export interface KernelCaptureOptions {
  /** The bytes of request.bpf.o and response.bpf.o. */
  requestObject: Uint8Array;
  responseObject: Uint8Array;
  /** The bytes of outgoing.bpf.o, where what services send to clients is captured too. */
  outgoingObject?: Uint8Array | undefined;
  /** The services that `outgoingObject` is for. */
  outgoingServices?: AnsweringService[];
  /** Null: no requests are captured by kernel programs. */
  services: KernelService[] | null;
  /** The index of a path is its place in here. Null: responses come another way. */
  paths: KernelPath[] | null;
  /** How many more of both can be added later; default 0. */
  room?: { services: number; paths: number };
  /** SO_MARK of all packets that we send; 0: none. */
  mark: number;
  /** Most bytes that are captured of a packet: up to WHOLE_PACKETS, which is the default. */
  snaplen?: number;
  /** us in which one pure ACK of each connection is captured as a sign of life; default SIGN_SPAN. */
  signSpan?: number;
  /** Whether requests leave this host: they are captured at egress, to any address for a service without one. Default false. */
  isOutgoing?: boolean;
  /** Whether services without address are at this host's own addresses only; none before `setLocal`. Default false. */
  onlyLocal?: boolean;
  /** How many workers share the flows; by default 1. */
  workers?: number;
  /** Bytes of each ring: a power of two, a multiple of the page size. Requests of up to 64 KiB need at least 131072. */
  requestRingBytes: number;
  responseRingBytes: number;
  /** What rings for requests have at least, where the kernel has no memory for more; by default all of `requestRingBytes`. */
  requestRingLeast?: number;
  /** `auto`: tcx where the kernel has it. Responses are never captured by XDP. */
  hook: "auto" | RequestHook;
  /** The XDP programs that are tried, in order; by default all. */
  xdpPrograms?: readonly XdpProgram[];
  /** What to load where the host has no libbpf: see `openLibbpf`. */
  libraries?: CarriedLibrary[];
}

export interface KernelCapture {
  /**
   * Descriptors of the ring buffers, one per possible CPU and worker, those of a CPU next to each other (see `ofWorker`);
   * empty where the program is not loaded.
   */
  readonly requestRings: number[];
  readonly responseRings: number[];
  /** Bytes of each ring. */
  readonly requestRingBytes: number;
  readonly responseRingBytes: number;
  /** Descriptors of the maps to mmap: see control.ts and flows.ts; -1 where the program is not loaded. */
  readonly controlMap: number;
  readonly flowsMap: number;
  /** Descriptors of the programs, -1 where one is not loaded. */
  readonly requestProgram: number;
  readonly requestXdpProgram: number;
  readonly responseProgram: number;
  readonly outgoingProgram: number;
  /** Which program `requestXdpProgram` is. */
  readonly xdpProgram: XdpProgram;
  /** How tc programs are or will be attached. tcx and XDP links end with the process, clsact filters only by `detach`. */
  readonly hook: Hook;
  /** Whether requests on an interface are captured by XDP. */
  usesXdp(ifindex: number): boolean;
  /** The XDP mode on an interface; undefined before it is attached. */
  xdpModeOn(ifindex: number): XdpMode | undefined;
  /** Tells the XDP program the present MAC addresses of this host's Ethernet interfaces. */
  learnMacs(): void;
  /**
   * Attach to these interfaces of the network namespace of the calling thread. On an interface that has both, the response
   * program runs first, in whichever order these are called. Both throw a Failure: 2 for an interface that does not exist, 3
   * where another XDP program is attached, 4 without privilege, 5 where the kernel cannot. `program` is the descriptor of a
   * filter in front of `requestProgram` (or `requestXdpProgram`, where `usesXdp` is true).
   */
  attachRequests(ifindexes: number[], program?: number): void;
  attachResponses(ifindexes: number[]): void;
  /**
   * On interfaces with a request program this one runs instead from now on, as `program` of attachRequests; each packet is seen by one of
   * the two. Throws a Failure.
   */
  replaceRequests(ifindexes: readonly number[], program?: number): void;
  /**
   * From now on no request is captured. XDP programs are detached, tc programs stay: at each tcx link that comes or goes the
   * kernel waits some 10 ms for running programs (tcx_entry_sync), which on hundreds of interfaces takes seconds.
   */
  stopRequests(): void;
  /** Responses on a path come to another address of this host from now on. Throws with errno's text. */
  movePath(path: number, local: Uint8Array): void;
  /** Responses on one more path, which gets the next index, are captured from now on. Throws with errno's text. */
  addPath(path: KernelPath): void;
  /**
   * These services are captured from now on, and what these send to clients, with what they were told to be before `outgoingObject` was
   * loaded. Throws with errno's text.
   */
  setServices(services: readonly KernelService[], outgoing: readonly AnsweringService[]): void;
  /** The payload of responses on a path is captured whole from now on, where prefixes of it were. */
  readWhole(path: number): void;
  /** Detaches the request programs from all interfaces; responses are still captured. */
  detachRequests(): void;
  /** Closes the links of an interface that is gone. */
  forget(ifindex: number): void;
  /** Says which addresses are this host's; returns how many there is no room for. Null without `onlyLocal`. */
  readonly setLocal: ((local: readonly LocalPrefix[]) => number) | null;
  /** A destination whose packets only passed through this host; null: there was none. */
  forwarded(): Forwarded | null;
  stats(): KernelStats;
  /** Detaches all programs and closes every descriptor; nothing else here may be used afterwards. */
  detach(): void;
}

/** ARPHRD_ETHER; loopback has another type. */
const ETHERNET = 1;
/** The largest `Link.largest` of an interface without BIG TCP. */
const WITHOUT_BIG_TCP = 65_536;
const XDP_PROGRAMS: Record<XdpProgram, string> = {
  xdp: "xcopy_request_xdp",
  "xdp-linear": "xcopy_request_xdp_linear",
};
const FLOW_WORDS_PER_PATH = 65536 / 64;
/** Maps that the outgoing program shares with the request program; its records come in the same rings. */
const OUTGOING_SHARED = ["control", "counters", "rings", "packets", "lost", ...LOCAL_MAPS];

/**
 * Loads the programs, at least one, without attaching them. Throws a Failure: 4 without privilege, 5 where the kernel or the
 * host cannot (before Linux 5.8, or without libbpf). That `tcx` needs Linux 6.6 shows only at the first attach.
 */
export function loadKernelCapture(options: KernelCaptureOptions): KernelCapture {
  openLibbpf(options.libraries);
  const { services, paths } = options;
  let request: BpfObject | null = null;
  const response = paths && new BpfObject("response", options.responseObject);
  const outgoing = services && options.outgoingObject && new BpfObject("outgoing", options.outgoingObject);
  const rings: number[] = [];
  const isXdp = options.hook === "xdp" || options.hook === "xdp-generic";
  const attachments = new Attachments(isXdp ? "auto" : (options.hook as "auto" | Hook));
  const xdp = new XdpLinks(options.hook === "xdp-generic" ? ["generic"] : undefined);
  /** By ifindex: whether XDP is for it. */
  const suitsXdp = new Map<number, boolean>();

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
    for (const object of [response, outgoing]) if (object) setWorkers(object, workers);
    const { requestRingBytes: wanted, requestRingLeast: least = wanted } = options;
    const { rings: requestRings, bytes: requestRingBytes } = services
      ? createLargeRings(wanted, least, rings, workers)
      : { rings: [], bytes: wanted };
    const responseRings = response ? createRings(options.responseRingBytes, rings, workers) : [];
    let xdpProgram: XdpProgram = "xdp";
    if (services) {
      const { xdpPrograms = Object.keys(XDP_PROGRAMS) as XdpProgram[] } = options;
      const loaded = loadFirst(isXdp ? xdpPrograms : ([null] as const), (program) =>
        openRequest(services, requestRings, program, options),
      );
      request = loaded.object;
      xdpProgram = loaded.variant ?? xdpProgram;
      fillArrayOfMaps(request.mapFd("rings"), requestRings);
      fillServices(request, services);
    }
    // The maps that both have are those of the request program, which is loaded first.
    if (request && response) {
      for (const shared of ["control", "counters"]) response.reuse(shared, request.mapFd(shared));
    }
    if (request && outgoing) loadOutgoing(outgoing, request, options);
    if (response && paths) loadResponse(response, paths, responseRings, options.room?.paths ?? 0);
    const owner = (request ?? response)!;
    const countersMap = owner.mapFd("counters");
    const local = request && options.onlyLocal ? localMapsOf(request) : null;
    const requestProgram = request?.programFd("xcopy_request") ?? -1;
    const requestXdpProgram = isXdp ? owner.programFd(XDP_PROGRAMS[xdpProgram]) : -1;
    const responseProgram = response?.programFd("xcopy_response") ?? -1;
    const outgoingProgram = outgoing?.programFd("xcopy_outgoing") ?? -1;
    const moving = [...(paths ?? [])];
    let serving: readonly KernelService[] = services ?? [];
    let answering: readonly KernelService[] = options.outgoingServices ?? [];
    const direction: Kind = options.isOutgoing ? "leaving" : "request";
    // Generic XDP sees packets as GRO has joined them, and reads no more than 64 KiB of one.
    const suits = ({ hardwareType, largest }: Link) =>
      hardwareType === ETHERNET && (options.hook === "xdp" || largest <= WITHOUT_BIG_TCP);
    const learnMacs = () => {
      if (!isXdp) return;
      const present = links();
      for (const link of present) suitsXdp.set(link.ifindex, suits(link));
      fillMacs(
        owner,
        present.filter(({ hardwareType }) => hardwareType === ETHERNET),
      );
    };
    const usesXdp = (ifindex: number) => {
      if (isXdp && !suitsXdp.has(ifindex)) learnMacs();
      return suitsXdp.get(ifindex) ?? false;
    };
    return {
      requestRings,
      responseRings,
      requestRingBytes,
      responseRingBytes: options.responseRingBytes,
      controlMap: owner.mapFd("control"),
      flowsMap: response?.mapFd("flows") ?? -1,
      requestProgram,
      requestXdpProgram,
      responseProgram,
      outgoingProgram,
      xdpProgram,
      usesXdp,
      xdpModeOn: (ifindex) => xdp.modeOn(ifindex),
      learnMacs,
      get hook() {
        return attachments.hook;
      },
      attachRequests(ifindexes, program) {
        for (const ifindex of ifindexes) {
          if (usesXdp(ifindex)) xdp.attach(program ?? requestXdpProgram, ifindex);
          else attachments.attach(direction, program ?? requestProgram, ifindex);
          if (outgoing) attachments.attach("outgoing", outgoingProgram, ifindex);
        }
      },
      replaceRequests(ifindexes, program) {
        for (const ifindex of ifindexes) {
          if (usesXdp(ifindex)) xdp.replace(program ?? requestXdpProgram, ifindex);
          else attachments.replaceRequest(program ?? requestProgram, ifindex);
        }
      },
      attachResponses(ifindexes) {
        for (const ifindex of ifindexes) attachments.attach("response", responseProgram, ifindex);
      },
      stopRequests() {
        xdp.close();
        for (const map of ["ports", "datagram_ports"]) if (request) fillPorts(request.mapFd(map), 0, []);
        for (const map of ["ports", "datagram_ports"]) if (outgoing) fillPorts(outgoing.mapFd(map), 0, []);
      },
      addPath(path) {
        moving.push(path);
        fillPath(response!, path, moving.length - 1);
        fillPathPorts(response!, moving);
      },
      setServices(present, outgoingPresent) {
        replaceServices(request!, serving, present);
        serving = present;
        if (!outgoing) return;
        fillPrefixes(outgoing, outgoingPresent);
        replaceServices(outgoing, answering, outgoingPresent);
        answering = outgoingPresent;
      },
      movePath(path, local) {
        const known = moving[path]!;
        moving[path] = { ...known, local };
        removePath(response!, known);
        fillPath(response!, moving[path], path);
      },
      readWhole(path) {
        const known = moving[path]!;
        if (known.transport === "udp" || !known.payload) return;
        moving[path] = { ...known, payload: WHOLE };
        fillPath(response!, moving[path], path);
      },
      detachRequests() {
        xdp.close();
        attachments.detachRequests();
      },
      forget(ifindex) {
        attachments.forget(ifindex);
        xdp.forget(ifindex);
        suitsXdp.delete(ifindex);
      },
      setLocal: local && ((prefixes) => local.set(prefixes)),
      forwarded: () => local?.forwarded() ?? null,
      stats: () => readStats(countersMap),
      detach: closeAll,
    };
  } catch (error) {
    closeAll();
    throw error;
  }
}

/** The request object, ready to load: with the program for tc, and one for XDP or none. */
function openRequest(
  services: KernelService[],
  rings: number[],
  xdp: XdpProgram | null,
  options: KernelCaptureOptions,
): BpfObject {
  const request = new BpfObject("request", options.requestObject);
  for (const [name, program] of Object.entries(XDP_PROGRAMS)) if (name !== xdp) request.leaveOut(program);
  setWorkers(request, options.workers ?? 1);
  useRings(request, rings);
  for (const name of ["services", "datagram_services"]) {
    request.setMaxEntries(name, Math.max(1, services.length + (options.room?.services ?? 0)));
  }
  request.setConstants(settings({ ...options, takesDatagrams: services.some(isUdp) }));
  if (!options.onlyLocal) leaveOutLocal(request);
  return request;
}

function loadOutgoing(outgoing: BpfObject, request: BpfObject, options: KernelCaptureOptions): void {
  const services = options.outgoingServices ?? [];
  for (const map of OUTGOING_SHARED) outgoing.reuse(map, request.mapFd(map));
  const room = options.room?.services ?? 0;
  for (const map of ["services", "datagram_services"])
    outgoing.setMaxEntries(map, Math.max(1, services.length + room));
  outgoing.setMaxEntries("prefixes", 1 + room + Math.max(0, ...services.map(({ index }) => index)));
  const { mark, onlyLocal = false } = options;
  outgoing.setConstants(settings({ mark, onlyLocal, takesDatagrams: services.some(isUdp) }));
  outgoing.load();
  fillPrefixes(outgoing, services);
  fillServices(outgoing, services);
}

function fillPrefixes(outgoing: BpfObject, services: readonly AnsweringService[]): void {
  for (const { index, payload } of services)
    updateMap(outgoing.mapFd("prefixes"), words(index), words(prefixWord(payload)));
}

function isUdp({ transport }: KernelService): boolean {
  return transport === "udp";
}

function loadResponse(response: BpfObject, paths: KernelPath[], rings: number[], room: number): void {
  const most = Math.max(1, paths.length + room);
  useRings(response, rings);
  for (const name of ["paths", "datagram_paths"]) response.setMaxEntries(name, most);
  response.setMaxEntries("flows", most * FLOW_WORDS_PER_PATH);
  response.load();
  fillArrayOfMaps(response.mapFd("rings"), rings);
  fillPaths(response, paths);
}

/** Fills the map of bpf/request/to-interface.h: 6 bytes of MAC address and two zeros. */
function fillMacs(request: BpfObject, present: Link[]): void {
  for (const { ifindex, mac } of present) {
    const value = new Uint8Array(new ArrayBuffer(8));
    value.set(mac.subarray(0, 6));
    updateMap(request.mapFd("macs"), words(ifindex), value);
  }
}

function servicesMap(object: BpfObject, { transport }: KernelService): number {
  return object.mapFd(transport === "udp" ? "datagram_services" : "services");
}

function serviceKey({ address, port, family }: KernelService): Uint8Array {
  return addressKey([address], port, family);
}

/** Adds services that are new, and removes those that are not there any more; those that stay are never missing. */
function replaceServices(
  object: BpfObject,
  before: readonly KernelService[],
  services: readonly KernelService[],
): void {
  const nameOf = (service: KernelService) => `${service.transport} ${serviceKey(service)}`;
  const present = new Set(services.map(nameOf));
  fillServices(object, services);
  for (const gone of before)
    if (!present.has(nameOf(gone))) deleteElement(servicesMap(object, gone), serviceKey(gone));
}

/** Fills the maps of a request or outgoing program with its services. */
export function fillServices(object: BpfObject, services: readonly KernelService[]): void {
  for (const service of services)
    updateMap(servicesMap(object, service), serviceKey(service), words(service.index));
  fillPortsOfBoth(object, services);
}

function fillPath(object: BpfObject, path: KernelPath, index: number): void {
  const prefix = path.payload ? prefixWord(path.payload) : 0;
  updateMap(pathsMap(object, path), pathKey(path), words(index, prefix));
}

function removePath(object: BpfObject, path: KernelPath): void {
  const key = pathKey(path);
  const map = new BpfHashMap(pathsMap(object, path), key.length, 1);
  map.keys.set(key);
  map.delete(1);
}

function pathsMap(object: BpfObject, { transport }: KernelPath): number {
  return object.mapFd(transport === "udp" ? "datagram_paths" : "paths");
}

function pathKey({ target, local, targetPort, family }: KernelPath): Uint8Array {
  return addressKey([target, local], targetPort, family);
}

function fillPaths(object: BpfObject, paths: KernelPath[]): void {
  for (const [index, path] of paths.entries()) fillPath(object, path, index);
  fillPathPorts(object, paths);
}

function fillPathPorts(object: BpfObject, paths: readonly KernelPath[]): void {
  fillPortsOfBoth(
    object,
    paths.map(({ targetPort, transport = "tcp" }) => ({ port: targetPort, transport })),
  );
}

/** Fills the port bitmaps of an object for TCP and for UDP. */
function fillPortsOfBoth(
  object: BpfObject,
  ports: readonly Pick<KernelService, "port" | "transport">[],
): void {
  const of = (isUdp: boolean) =>
    ports.flatMap(({ port, transport }) => ((transport === "udp") === isUdp ? [[port, port] as const] : []));
  fillPorts(object.mapFd("ports"), 0, of(false));
  fillPorts(object.mapFd("datagram_ports"), 0, of(true));
}
