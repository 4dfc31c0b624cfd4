/** Loads the kernel programs, which are attached by what it returns. */
import type { XdpProgram } from "../../filter/access.ts";
import { fillArrayOfMaps, updateMap } from "../../native/bpf/create-map.ts";
import { openLibbpf } from "../../native/bpf/libbpf.ts";
import { BpfObject, loadFirst } from "../../native/bpf/object.ts";
import { libc } from "../../native/libc.ts";
import { type Link, links } from "../../native/netlink/netlink.ts";
import { WHOLE } from "../../wire/prefix.ts";
import { Attachments, type Hook } from "../attachments.ts";
import type { Kind } from "../clsact.ts";
import { readStats } from "../counters.ts";
import { localMapsOf } from "../local-maps.ts";
import { createLargeRings, createRings, fillPorts, setWorkers, words } from "../maps.ts";
import type { KernelService } from "../services.ts";
import { XdpLinks } from "../xdp-links.ts";
import type { KernelCapture } from "./capture.ts";
import { loadOutgoing, loadResponse, openRequest, XDP_PROGRAMS } from "./objects.ts";
import type { KernelCaptureOptions } from "./options.ts";
import { fillPath, fillPathPorts, removePath } from "./paths.ts";
import { fillPrefixes, fillServices, replaceServices } from "./services.ts";

/** ARPHRD_ETHER; loopback has another type. */
const ETHERNET = 1;
/** The largest `Link.largest` of an interface without BIG TCP. */
const WITHOUT_BIG_TCP = 65_536;

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

/** Fills the map of bpf/request/to-interface.h: 6 bytes of MAC address and two zeros. */
function fillMacs(request: BpfObject, present: Link[]): void {
  for (const { ifindex, mac } of present) {
    const value = new Uint8Array(new ArrayBuffer(8));
    value.set(mac.subarray(0, 6));
    updateMap(request.mapFd("macs"), words(ifindex), value);
  }
}
