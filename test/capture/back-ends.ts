/** Every back end of the capture in the same shape, in a namespace, with its records copied out. */
import { Control } from "../../src/capture/control.ts";
import type { RequestHook } from "../../src/capture/kernel/options.ts";
import type { AnsweringService, KernelService } from "../../src/capture/services.ts";
import { openPcapCapture } from "../../src/capture/socket/pcap-capture.ts";
import { openPacketCapture, openRawCapture, type SocketCapture } from "../../src/capture/socket/sockets.ts";
import type { RequestSource } from "../../src/capture/source.ts";
import { type BackEnd as BackEndName, WHOLE_PACKETS } from "../../src/config/capture.ts";
import { createSource } from "../../src/copy/data-plane/request-source.ts";
import type { XdpProgram } from "../../src/filter/access.ts";
import { compileFilter } from "../../src/filter/compile.ts";
import { type FilterProgram, loadFilterProgram } from "../../src/filter/program.ts";
import { outgoingProgram } from "../../src/host/carried-programs.ts";
import type { LocalPrefix } from "../../src/native/netlink/local-prefixes.ts";
import { links } from "../../src/native/netlink/netlink.ts";
import { type Captured, copyOf, loadForTest, MARK, OPTIONS } from "../bpf/capture.ts";
import type { Namespace } from "../bpf/namespace.ts";

export interface BackEndOptions {
  services?: KernelService[];
  /** What they send is captured too. */
  answering?: AnsweringService[];
  isOutgoing?: boolean;
  snaplen?: number;
  /** In pcap-filter language. */
  filter?: string;
  /** Services without address are at these only. */
  local?: LocalPrefix[];
}

/** ARPHRD_NONE: tun interfaces have no link layer. */
function isRaw(host: Namespace, ifindex: number): boolean {
  return host.enter(() => links().find((link) => link.ifindex === ifindex)?.hardwareType === 65534);
}

export interface BackEnd {
  readonly control: Control;
  readonly source: RequestSource;
  /** What was captured since the last call. */
  take(): Captured[];
  /** The counters that changed since the last call, by how much. */
  counted(): Record<string, number>;
  stop(): void;
  close(): void;
}

type Counters = Record<string, number | number[]>;

function backEnd(
  control: Control,
  source: RequestSource,
  stats: () => Counters,
  stop: () => void,
  close: () => void,
): BackEnd {
  let before = stats();
  return {
    control,
    source,
    take() {
      const taken: Captured[] = [];
      while (source.drain((packet) => taken.push(copyOf(packet)), 64) > 0);
      return taken;
    },
    counted() {
      source.count();
      const now = stats();
      const changed = Object.entries(now).flatMap(([name, value]) => {
        const by = typeof value === "number" ? value - (before[name] as number) : 0;
        return by === 0 ? [] : [[name, by] as const];
      });
      before = now;
      return Object.fromEntries(changed);
    },
    stop,
    close,
  };
}

function byHook(hook: RequestHook, xdpPrograms: XdpProgram[] = ["xdp"]) {
  return (host: Namespace, ifindexes: number[], options: BackEndOptions): BackEnd => {
    const onlyLocal = options.local !== undefined;
    const { answering } = options;
    const sent = answering && { outgoingObject: outgoingProgram(), outgoingServices: answering };
    const loaded = loadForTest({ hook, xdpPrograms, paths: null, onlyLocal, ...options, ...sent });
    const { kernel, control, requests, beat } = loaded;
    kernel.setLocal?.(options.local ?? []);
    beat();
    const filters: FilterProgram[] = [];
    for (const ifindex of ifindexes) {
      if (options.filter !== undefined) {
        const compiled = compileFilter(options.filter, isRaw(host, ifindex) ? "raw" : "ethernet");
        const isXdp = host.enter(() => kernel.usesXdp(ifindex));
        const target = isXdp ? kernel.requestXdpProgram : kernel.requestProgram;
        const kind = isXdp ? kernel.xdpProgram : "tc";
        filters.push(loadFilterProgram({ kind, frags: kind === "xdp", target, ...compiled }));
      }
      host.enter(() => kernel.attachRequests([ifindex], filters.at(-1)?.fd));
    }
    return backEnd(
      control,
      requests,
      () => kernel.stats(),
      () => kernel.stopRequests(),
      () => {
        host.enter(() => kernel.detach());
        for (const filter of filters) filter.close();
      },
    );
  };
}

function front(filter: string) {
  const compiled = (layer: "ethernet" | "raw") => compileFilter(filter, layer).instructions;
  return { ethernet: compiled("ethernet"), raw: compiled("raw") };
}

type OpenSockets = (options: Parameters<typeof openPacketCapture>[0]) => SocketCapture;

function bySockets(open: OpenSockets) {
  return (host: Namespace, ifindexes: number[], options: BackEndOptions): BackEnd => {
    const all = {
      services: OPTIONS.services,
      isOutgoing: false,
      snaplen: WHOLE_PACKETS,
      mark: MARK,
      bufferBytes: 4 << 20,
      onlyLocal: options.local !== undefined,
      front: options.filter === undefined ? null : front(options.filter),
      ...options,
    };
    const capture = host.enter(() => {
      const opened = open(all);
      opened.setLocal?.(options.local ?? []);
      opened.start(ifindexes);
      return opened;
    });
    const control = new Control(-1);
    const source = createSource(capture.source, control);
    return backEnd(control, source, capture.stats, capture.stop, () => {
      source.close();
      capture.close();
    });
  };
}

/** What of the interface a back end is about cannot be the same for all. */
export interface Traits {
  /** Sees packets as the wire has them: tagged ones, fragments, those that are for other hosts; and can tell by the interface. */
  seesLink: boolean;
  /** Sees requests that leave this host, and what its services answer. */
  seesLeaving: boolean;
  seesAnswers: boolean;
  /** Sees segments as GRO has joined them. */
  seesJoined: boolean;
  /** Bytes of the largest IP packet that it takes. */
  largest: number;
}

const EVERYTHING: Traits = {
  seesLink: true,
  seesLeaving: true,
  seesAnswers: true,
  seesJoined: true,
  largest: WHOLE_PACKETS,
};

type Open = (host: Namespace, ifindexes: number[], options: BackEndOptions) => BackEnd;

/** Each opens and captures on these interfaces of a namespace. */
export const BACK_ENDS: Record<
  BackEndName | "xdp-linear" | "xdp-generic-linear",
  { open: Open; traits: Traits }
> = {
  tcx: { open: byHook("tcx"), traits: EVERYTHING },
  clsact: { open: byHook("clsact"), traits: EVERYTHING },
  packet: { open: bySockets(openPacketCapture), traits: EVERYTHING },
  // libpcap cuts packets to 256 KiB.
  pcap: { open: bySockets(openPcapCapture), traits: { ...EVERYTHING, largest: 262_000 } },
  raw: {
    open: bySockets(openRawCapture),
    traits: { ...EVERYTHING, seesLink: false, seesLeaving: false, seesAnswers: false },
  },
  xdp: {
    open: byHook("xdp"),
    traits: { ...EVERYTHING, seesLeaving: false, seesJoined: false, largest: 65535 },
  },
  "xdp-generic": {
    open: byHook("xdp-generic"),
    traits: { ...EVERYTHING, seesLeaving: false, largest: 65535 },
  },
  // What kernels before 5.18 take: without parts of a packet in other buffers, so the kernel makes it one.
  "xdp-linear": {
    open: byHook("xdp", ["xdp-linear"]),
    traits: { ...EVERYTHING, seesLeaving: false, largest: 65504 },
  },
  "xdp-generic-linear": {
    open: byHook("xdp-generic", ["xdp-linear"]),
    traits: { ...EVERYTHING, seesLeaving: false, largest: 65504 },
  },
};
