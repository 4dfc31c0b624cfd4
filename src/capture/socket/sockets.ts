/** The main thread's half of the back ends that capture by sockets: opens the sockets, sets their filters, reads counters. */
import { attachSocketFilter } from "../../filter/socket.ts";
import { libc } from "../../native/libc.ts";
import type { LocalPrefix } from "../../native/netlink/local-prefixes.ts";
import { links } from "../../native/netlink/netlink.ts";
import { openPacketSocket, startPacketSockets } from "../../native/packet-socket.ts";
import { emptySocket, openRawSocket } from "../../native/raw-socket.ts";
import { IPPROTO_TCP } from "../../wire/ip.ts";
import { IPPROTO_UDP } from "../../wire/udp.ts";
import { KERNEL_COUNTERS, type KernelCounter } from "../counters.ts";
import { SIGN_SPAN } from "../history.ts";
import type { Forwarded } from "../local-maps.ts";
import { possibleCpus } from "../maps.ts";
import { type AnsweringService, type KernelService, portsOf } from "../services.ts";
import type { MatchConfig, SourceConfig } from "../source.ts";
import { workerProgram } from "./fanout.ts";
import { rejectAll, type SocketFilterOptions, type SocketKind, socketFilter } from "./filter.ts";
import { LocalTable } from "./local-table.ts";

export interface SocketCaptureOptions {
  services: KernelService[];
  /** Services of which what they send is captured too; raw sockets do not see it. Default: none. */
  answering?: AnsweringService[];
  isOutgoing: boolean;
  /** Most bytes of a packet that are captured, at most WHOLE_PACKETS. */
  snaplen: number;
  /** See MatchConfig. */
  signSpan?: number;
  /** SO_MARK of all packets that we send; 0: none. */
  mark: number;
  /** Bytes of all receive buffers or rings together. */
  bufferBytes: number;
  /** -F: see SocketFilterOptions. */
  front: SocketFilterOptions["front"];
  /** Whether services without address are at this host's own addresses only. Default false. */
  onlyLocal?: boolean;
  /** Workers that read; more than one only with packet sockets. Default 1. */
  workers?: number;
}

/** What of the options may change while it captures. */
export type SocketRules = Required<Pick<SocketCaptureOptions, "services" | "answering" | "front">>;

export interface SocketCapture {
  readonly source: SourceConfig;
  /** Bytes of all receive buffers or rings together: fewer than asked for where the kernel has no memory for so much. */
  readonly bufferBytes: number;
  /**
   * From now on captures on these interfaces only, of the network namespace of the calling thread; null: on all. May be called
   * again with others.
   */
  start(ifindexes: readonly number[] | null): void;
  /** Captures by other rules from now on; what is absent stays. A back end with one worker sees no answers that it did not from the start. */
  change(rules: Partial<SocketRules>): void;
  /** From now on nothing more is captured. */
  stop(): void;
  /** Says which addresses are this host's; returns how many there is no room for. Null where it does not matter. */
  readonly setLocal: ((local: readonly LocalPrefix[]) => number) | null;
  /** A destination whose packets only passed through this host; null: there was none. */
  forwarded(): Forwarded | null;
  stats(): Record<KernelCounter, number>;
  /** To call after the data plane has ended. */
  close(): void;
}

/** Bytes of a ring's block: a packet of 64 KiB and its header fit, or where an interface has BIG TCP one of 512 KiB. */
const BLOCK_BYTES = 128 << 10;
const LARGE_BLOCK_BYTES = 1 << 20;
const WITHOUT_BIG_TCP = 65_536;
/** Most rings with one worker. Each has a part of the flows, so that CPUs seldom wait for each other to write a packet. */
const MOST_RINGS = 4;
const LEAST_BLOCKS = 8;

/** Opens packet sockets that capture nothing yet. Throws a Failure: 4 without privilege, 5 where the kernel cannot. */
export function openPacketCapture(options: SocketCaptureOptions): SocketCapture {
  const { isOutgoing, bufferBytes, workers = 1, answering = [] } = options;
  const ignoresOutgoing = !isOutgoing && answering.length === 0;
  const hasBigTcp = links().some(({ largest }) => largest > WITHOUT_BIG_TCP);
  const blockBytes = hasBigTcp ? LARGE_BLOCK_BYTES : BLOCK_BYTES;
  const allBlocks = Math.max(LEAST_BLOCKS, Math.floor(bufferBytes / blockBytes));
  const rings =
    workers > 1 ? workers : Math.min(possibleCpus(), MOST_RINGS, Math.floor(allBlocks / LEAST_BLOCKS));
  const wanted = Math.max(LEAST_BLOCKS, Math.floor(allBlocks / rings));
  const { sockets, blocks } = openLargest(rings, wanted, blockBytes, ignoresOutgoing);
  return captureBySockets(
    { ...options, bufferBytes: rings * blocks * blockBytes },
    sockets.map((fd) => ({ fd, kind: "packet" })),
    (match) => ({ kind: "packet", sockets, blocks, blockBytes, match }),
    // Several workers: a later fragment, which has no port, goes to that of its flow.
    () =>
      startPacketSockets(
        sockets,
        ignoresOutgoing,
        workerProgram(rings, !ignoresOutgoing && !isOutgoing),
        workers > 1,
      ),
  );
}

/**
 * Opens raw IP sockets, one for each address family and protocol, as tcpcopy does. They receive packets for this host, after
 * its firewall and reassembled, and none that leave. Throws a Failure: 4 without privilege, else 5.
 */
export function openRawCapture(options: SocketCaptureOptions): SocketCapture {
  const { services, bufferBytes } = options;
  const isUdp = ({ transport }: KernelService) => transport === "udp";
  const protocols = [
    ...(services.every(isUdp) ? [] : [IPPROTO_TCP]),
    ...(services.some(isUdp) ? [IPPROTO_UDP] : []),
  ];
  const kinds = protocols.flatMap((protocol) => [
    { family: 4 as const, protocol },
    { family: 6 as const, protocol },
  ]);
  const bytes = Math.floor(bufferBytes / kinds.length);
  const descriptors = openAll(
    kinds.map(
      ({ family, protocol }) =>
        () =>
          openRawSocket(family, protocol, bytes),
    ),
  );
  const sockets = kinds.map((kind, index) => ({ ...kind, fd: descriptors[index]! }));
  return captureBySockets(
    // They get only what is for this host.
    { ...options, onlyLocal: false, answering: [] },
    sockets.map(({ fd, family }) => ({ fd, kind: family === 4 ? "ip4" : "ip6" })),
    (match) => ({ kind: "raw", sockets, match }),
    // Raw sockets receive as soon as they are open: discards what came before the filter.
    () => {
      for (const { fd } of sockets) emptySocket(fd);
    },
  );
}

/** Packet sockets with so many blocks each, or with half as many and so on where the kernel has no memory for so much. */
function openLargest(rings: number, wanted: number, blockBytes: number, ignoresOutgoing: boolean) {
  for (let blocks = wanted; ; blocks = Math.max(LEAST_BLOCKS, blocks >> 1)) {
    const open = () => openPacketSocket(blocks, blockBytes, ignoresOutgoing);
    try {
      return { sockets: openAll(Array.from({ length: rings }, () => open)), blocks };
    } catch (error) {
      if (blocks === LEAST_BLOCKS) throw error;
    }
  }
}

function openAll(opens: (() => number)[]): number[] {
  const sockets: number[] = [];
  try {
    for (const open of opens) sockets.push(open());
    return sockets;
  } catch (error) {
    for (const socket of sockets) libc.close(socket);
    throw error;
  }
}

/** Creates the shared counters of a source, and the function that sums them over all workers. */
export function createCounts(workers = 1): { counters: SharedArrayBuffer; stats: SocketCapture["stats"] } {
  const { length } = KERNEL_COUNTERS;
  const counters = new SharedArrayBuffer(workers * length * 8);
  const values = new Float64Array(counters);
  const sum = (index: number) => {
    let all = 0;
    for (let worker = 0; worker < workers; worker++) all += values[worker * length + index]!;
    return all;
  };
  const entries = () => KERNEL_COUNTERS.map((name, index) => [name, sum(index)]);
  return { counters, stats: () => Object.fromEntries(entries()) as Record<KernelCounter, number> };
}

/** The memory of a LocalTable, and what a capture does with it. */
export function createLocal(onlyLocal: boolean) {
  const local = onlyLocal ? LocalTable.memory() : null;
  const table = local && new LocalTable(local);
  return {
    local,
    setLocal: table && ((prefixes: readonly LocalPrefix[]) => table.set(prefixes)),
    forwarded: () => table?.forwarded() ?? null,
  };
}

/** `begin` is called once, at the first `start`, with filters that reject everything: it makes the sockets receive. */
function captureBySockets(
  {
    services,
    answering = [],
    isOutgoing,
    snaplen,
    signSpan = SIGN_SPAN,
    mark,
    bufferBytes,
    front,
    onlyLocal = false,
    workers = 1,
  }: SocketCaptureOptions,
  sockets: readonly { fd: number; kind: SocketKind }[],
  config: (match: MatchConfig) => SourceConfig,
  begin: () => void,
): SocketCapture {
  const { counters, stats } = createCounts(workers);
  const { local, setLocal, forwarded } = createLocal(onlyLocal);
  let rules: SocketRules = { services, answering, front };
  let interfaces: readonly number[] | null = null;
  const setFilters = () => {
    const { services, ...rest } = rules;
    for (const { fd, kind } of sockets) {
      const all = { kind, interfaces, isOutgoing, ...portsOf(services), mark, snaplen, ...rest };
      attachSocketFilter(fd, socketFilter(all));
    }
  };
  const rejectEverything = () => {
    for (const { fd } of sockets) attachSocketFilter(fd, rejectAll());
  };
  let isBegun = false;
  return {
    source: config({ services, answering, isOutgoing, local, snaplen, signSpan, counters, worker: 0 }),
    bufferBytes,
    start(on) {
      interfaces = on;
      if (!isBegun) {
        // Until all sockets have joined the fanout group, each of them would get every packet.
        rejectEverything();
        begin();
        isBegun = true;
      }
      setFilters();
    },
    change(others) {
      rules = { ...rules, ...others };
      if (isBegun) setFilters();
    },
    stop: rejectEverything,
    setLocal,
    forwarded,
    stats,
    close() {
      for (const { fd } of sockets) libc.close(fd);
    },
  };
}
