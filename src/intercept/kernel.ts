/** The kernel side of the intercept: loads the eBPF programs, attaches and detaches them, starts their guards. */
import { Attachments, type Hook } from "../capture/attachments.ts";
import { type KernelStats, readStats } from "../capture/counters.ts";
import { addressKey, createRings, fillPorts, useRings, words } from "../capture/maps.ts";
import { XdpLinks, type XdpMode } from "../capture/xdp-links.ts";
import type { ProgramKind, XdpProgram } from "../filter/access.ts";
import { endLingeringGuards, Guard, lingeringGuards } from "../host/guard.ts";
import { fillArrayOfMaps, updateMap } from "../native/bpf/create-map.ts";
import { copyMapOf, LRU_HASH } from "../native/bpf/foreign-map.ts";
import { openLibbpf } from "../native/bpf/libbpf.ts";
import { BpfObject, loadFirst } from "../native/bpf/object.ts";
import type { CarriedLibrary } from "../native/carried.ts";
import { Failure } from "../native/failure.ts";
import { libc } from "../native/libc.ts";
import { FLOW_BYTES, Learned, Owners } from "./data-plane/flow-maps.ts";

/** `target`: at the target's own egress; `assistant`: at the ingress of a host that the target's answers are routed to. */
export type InterceptMode = "target" | "assistant";
export type InterceptHook = Hook | "xdp";
export type HookChoice = "auto" | InterceptHook | "xdp-native";

/** A service under test on this host, or behind it (bridge, container). */
export interface InterceptService {
  /** 4 or 16 bytes in network order; null: every address. */
  address: Uint8Array | null;
  family: 4 | 6;
  /** First and last port, both included. */
  ports: (readonly [first: number, last: number])[];
}

export interface InterceptOptions {
  /** The bytes of intercept.bpf.o. */
  object: Uint8Array;
  mode: InterceptMode;
  /** Mode `target`: flows of these are learned and caught. An address may be there more than once. */
  services: InterceptService[];
  /** Mode `target`: forged flows that are known at a time, about 100 bytes of kernel memory each. */
  flows: number;
  /** Bytes of each CPU's ring: a power of two, at least 4096. */
  ringBytes: number;
  /** `auto`: tcx where the kernel has it. XDP in mode `assistant` alone; `xdp-native`: in the driver or not at all. */
  hook: HookChoice;
  /** The XDP programs that are tried, in order; by default all. */
  xdpPrograms?: readonly XdpProgram[];
  /** Whole seconds for which dropping goes on after the end; 0: no guard, dropping ends with the process. */
  linger: number;
  /** What to load where the host has no libbpf: see `openLibbpf`. */
  libraries?: CarriedLibrary[];
}

/** A program that runs `swallowProgram` by a tail call for what it chooses, and lets all else pass. */
export interface Filter {
  /** Descriptor of it. */
  readonly fd: number;
  /**
   * All descriptors without which the tail call would fail and everything pass: those of its array of programs, which the
   * kernel empties when the last descriptor is closed. The guard holds them too.
   */
  readonly descriptors: readonly number[];
}

export interface InterceptKernel {
  /** Descriptors of the ring buffers, one per possible CPU, and the bytes of each: see RingSet. */
  readonly rings: number[];
  readonly ringBytes: number;
  /** Descriptors of maps: see Control, Cookies, Owners, Learned, Registered. */
  readonly controlMap: number;
  readonly cookiesMap: number;
  readonly ownersMap: number;
  readonly learnedMap: number;
  readonly registeredMap: number;
  /** As `learnedMap`, of UDP. */
  readonly datagramFlowsMap: number;
  /** Mode `target`: descriptors of the programs for ingress and egress. */
  readonly learnProgram: number;
  readonly catchProgram: number;
  /** Mode `assistant`: descriptor of the program that a filter's tail call ends in, and what the filter must be. */
  readonly swallowProgram: number;
  readonly filterKind: ProgramKind;
  /** What is or will be attached; with `auto` certain after the first `attach`. */
  readonly hook: InterceptHook;
  /**
   * Attaches to these interfaces of the network namespace of the calling thread, in front of all other programs there,
   * and starts a guard for them. `filter` is what is attached in mode `assistant` (`swallowProgram` itself if absent).
   * May be called again for interfaces that came later. Returns the mode of each interface, in order, if the hook is XDP.
   * Throws a Failure: 1 without a guard, 2 for an interface that is not there, 3 where somebody else's XDP program is,
   * 4 without privilege, 5 where the kernel cannot.
   */
  attach(ifindexes: number[], filter?: Filter): XdpMode[];
  /**
   * Mode `target`: takes over the flows of intercepts before this one, whose guards still stand: they were copies', also of
   * copies that were gone. To be called after `attach`, so that no SYN of a real client is missed, and before a copy can have
   * any flow. Returns how many; 0 also where it is not allowed.
   */
  inherit(): number;
  /** What the programs counted. */
  stats(): KernelStats;
  /**
   * The orderly end: closes every descriptor; nothing else here may be used after it. Returns false if no flow was forged:
   * everything is then gone from the interfaces at once. Returns true if a guard goes on dropping for the time to linger.
   */
  detach(): boolean;
}

const PROGRAMS = {
  learn: "xcopy_learn",
  catch: "xcopy_catch",
  tc: "xcopy_swallow",
  xdp: "xcopy_swallow_xdp",
  "xdp-linear": "xcopy_swallow_xdp_linear",
} as const;
type Program = keyof typeof PROGRAMS;

/** The sets of programs that will do, the best one first. */
function programsFor(mode: InterceptMode, xdp: readonly XdpProgram[] | null): Program[][] {
  if (mode === "target") return [["learn", "catch"]];
  return xdp?.map((program) => [program]) ?? [["tc"]];
}

/**
 * Loads the programs without attaching them. Throws a Failure: 2 for a hook that the mode does not have, 4 without privilege,
 * 5 where the kernel or the host cannot (before Linux 5.8; no libbpf; `tcx` asked for before 6.6 is found at the first
 * attach).
 */
export function loadIntercept(options: InterceptOptions): InterceptKernel {
  const { mode, hook, linger, xdpPrograms = ["xdp", "xdp-linear"] } = options;
  const isXdp = hook === "xdp" || hook === "xdp-native";
  if (mode === "target" && isXdp) {
    throw new Failure(
      'Cannot use --hook "xdp" on the target: XDP sees only what comes in',
      "Leave it out, or run the intercept on an assistant.",
      2,
    );
  }
  openLibbpf(options.libraries);
  const made: number[] = [];
  const attachments = new Attachments(hook === "tcx" || hook === "clsact" ? hook : "auto");
  const xdp = new XdpLinks(
    hook === "xdp-native" ? ["native"] : undefined,
    () => endLingeringGuards().length > 0,
  );
  const guards: Guard[] = [];

  let open = true;
  let loaded: BpfObject | undefined;
  function closeDescriptors(): void {
    open = false;
    for (const fd of made) libc.close(fd);
    loaded?.close();
  }

  try {
    const rings = createRings(options.ringBytes, made);
    const services = byAddress(options.services);
    const { object, variant: programs } = loadFirst(
      programsFor(mode, isXdp ? xdpPrograms : null),
      (needed) => {
        const object = new BpfObject("intercept", options.object);
        for (const [program, name] of Object.entries(PROGRAMS)) {
          if (!needed.includes(program as Program)) object.leaveOut(name);
        }
        useRings(object, rings);
        for (const map of ["learned", "registered", "datagram_flows"])
          object.setMaxEntries(map, mode === "target" ? options.flows : 1);
        object.setMaxEntries("services", Math.max(1, services.size));
        object.setMaxEntries("ports", 1 + services.size);
        return object;
      },
    );
    loaded = object;
    fillArrayOfMaps(object.mapFd("rings"), rings);
    fillServices(object, services);

    const countersMap = object.mapFd("counters");
    const ownersMap = object.mapFd("owners");
    const learnedMap = object.mapFd("learned");
    const registeredMap = object.mapFd("registered");
    const datagramFlowsMap = object.mapFd("datagram_flows");
    const fdOf = (program: Program) =>
      programs.includes(program) ? object.programFd(PROGRAMS[program]) : -1;
    const learnProgram = fdOf("learn");
    const catchProgram = fdOf("catch");
    const swallow = programs[0]!;
    const swallowProgram = mode === "assistant" ? fdOf(swallow) : -1;

    /** Whether the target may still answer in flows that copies have forged. */
    function isOwed(): boolean {
      if (mode === "target") {
        const learned = new Learned(learnedMap, new Owners(ownersMap));
        return !learned.isEmpty || !new Learned(datagramFlowsMap).isEmpty;
      }
      const { responsesCaptured, responseRingFull, inert, oversize } = readStats(countersMap);
      return responsesCaptured + responseRingFull + inert + oversize > 0;
    }

    return {
      rings,
      ringBytes: options.ringBytes,
      controlMap: object.mapFd("control"),
      cookiesMap: object.mapFd("cookies"),
      ownersMap,
      learnedMap,
      registeredMap,
      datagramFlowsMap,
      learnProgram,
      catchProgram,
      swallowProgram,
      filterKind: swallow === "learn" || swallow === "catch" ? "tc" : swallow,
      get hook() {
        return isXdp ? "xdp" : attachments.hook;
      },
      attach(ifindexes, filter = { fd: swallowProgram, descriptors: [] }) {
        const links: number[] = [];
        const modes: XdpMode[] = [];
        try {
          for (const ifindex of ifindexes) {
            if (isXdp) {
              const link = xdp.attach(filter.fd, ifindex);
              modes.push(link.mode);
              links.push(link.fd);
            } else if (mode === "assistant") {
              links.push(attachments.attach("swallow", filter.fd, ifindex));
            } else {
              // First catch, then learn: a flow that is learned must also be caught.
              links.push(attachments.attach("catch", catchProgram, ifindex));
              links.push(attachments.attach("learn", learnProgram, ifindex));
            }
          }
        } finally {
          const held = [...links.filter((fd) => fd >= 0), ...filter.descriptors];
          const flows = mode === "target" ? learnedMap : -1;
          if (linger > 0 && links.length > 0) guards.push(new Guard(held, linger, flows));
        }
        return modes;
      },
      inherit() {
        let count = 0;
        for (const { pid, flows = -1 } of lingeringGuards()) {
          const map = copyMapOf(pid, flows, LRU_HASH, FLOW_BYTES, 4);
          if (map < 0) continue;
          count += new Learned(learnedMap).inherit(new Learned(map));
          libc.close(map);
        }
        return count;
      },
      stats: () => readStats(countersMap),
      detach() {
        if (!open) return false;
        const lingers = guards.length > 0 && isOwed();
        for (const guard of guards) {
          if (lingers) guard.leave();
          else guard.end();
        }
        if (lingers) attachments.closeLinks();
        else attachments.detach();
        xdp.close();
        closeDescriptors();
        return lingers;
      },
    };
  } catch (error) {
    closeDescriptors();
    throw error;
  }
}

interface AddressPorts {
  family: 4 | 6;
  address: Uint8Array | null;
  ports: (readonly [number, number])[];
}

/** The ports of each address together. */
function byAddress(services: InterceptService[]): Map<string, AddressPorts> {
  const found = new Map<string, AddressPorts>();
  for (const { address, family, ports } of services) {
    const key = `${family} ${address ?? ""}`;
    const one = found.get(key);
    if (one) one.ports.push(...ports);
    else found.set(key, { address, family, ports: [...ports] });
  }
  return found;
}

/** Writes `struct service` of bpf/intercept/intercept.bpf.c; index 0 of the port maps has the ports of all services. */
function fillServices(object: BpfObject, services: Map<string, AddressPorts>): void {
  const all = [...services.values()];
  const portsMap = object.mapFd("ports");
  fillPorts(
    portsMap,
    0,
    all.flatMap(({ ports }) => ports),
  );
  fillPorts(
    object.mapFd("datagram_ports"),
    0,
    all.flatMap(({ ports }) => ports),
  );
  for (const [index, { address, family, ports }] of all.entries()) {
    fillPorts(portsMap, index + 1, ports);
    updateMap(object.mapFd("services"), addressKey([address], 0, family), words(index + 1));
  }
}
