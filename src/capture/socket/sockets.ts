/** The main thread's half of the back ends that capture by sockets: opens them, says what they let in, counts. */
import { attachSocketFilter } from "../../filter/socket.ts";
import { libc } from "../../native/libc.ts";
import { openPacketSocket, startPacketSockets } from "../../native/packet-socket.ts";
import { emptySocket, openRawSocket } from "../../native/raw-socket.ts";
import { IPPROTO_TCP } from "../../wire/ip.ts";
import { IPPROTO_UDP } from "../../wire/udp.ts";
import { KERNEL_COUNTERS, type KernelCounter } from "../counters.ts";
import { possibleCpus } from "../maps.ts";
import { type KernelService, portsOf } from "../services.ts";
import type { MatchConfig, SourceConfig } from "../source.ts";
import { workerProgram } from "./fanout.ts";
import { rejectAll, type SocketFilterOptions, type SocketKind, socketFilter } from "./filter.ts";

export interface SocketCaptureOptions {
  services: KernelService[];
  isOutgoing: boolean;
  /** Most bytes of a packet that are captured, at most WHOLE_PACKETS. */
  snaplen: number;
  /** SO_MARK of all that we send; 0: none. */
  mark: number;
  /** Bytes for all that waits to be read. */
  bufferBytes: number;
  front: SocketFilterOptions["front"];
  /** Workers that read; more than one only of packet sockets. Default 1. */
  workers?: number;
}

export interface SocketCapture {
  readonly source: SourceConfig;
  /** Captures on these interfaces, and no others, of the network namespace of the calling thread; null: on every one. */
  start(ifindexes: readonly number[] | null): void;
  /** Lets nothing more in. */
  stop(): void;
  stats(): Record<KernelCounter, number>;
  /** After the data plane has ended. */
  close(): void;
}

/** A packet of 64 KiB and its header fit. */
const BLOCK_BYTES = 128 << 10;
/** Rings, each for a part of the flows: one CPU does not wait for another to put a packet in. */
const MOST_RINGS = 4;
const LEAST_BLOCKS = 8;

/** Opens packet sockets that capture nothing yet. Throws a Failure: 4 without privilege, 5 where the kernel cannot. */
export function openPacketCapture(options: SocketCaptureOptions): SocketCapture {
  const { isOutgoing, bufferBytes, workers = 1 } = options;
  const allBlocks = Math.max(LEAST_BLOCKS, Math.floor(bufferBytes / BLOCK_BYTES));
  const rings =
    workers > 1 ? workers : Math.min(possibleCpus(), MOST_RINGS, Math.floor(allBlocks / LEAST_BLOCKS));
  const blocks = Math.max(LEAST_BLOCKS, Math.floor(allBlocks / rings));
  const sockets = openAll(
    Array.from({ length: rings }, () => () => openPacketSocket(blocks, BLOCK_BYTES, !isOutgoing)),
  );
  return captureBySockets(
    options,
    sockets.map((fd) => ({ fd, kind: "packet" })),
    (match) => ({ kind: "packet", sockets, blocks, blockBytes: BLOCK_BYTES, match }),
    () => startPacketSockets(sockets, !isOutgoing, workerProgram(rings)),
  );
}

/**
 * Opens raw IP sockets, one for each address family and protocol, as tcpcopy does: they see what this host takes for itself, behind its
 * firewall, with fragments put together; none that leave. Throws a Failure: 4 without privilege.
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
    options,
    sockets.map(({ fd, family }) => ({ fd, kind: family === 4 ? "ip4" : "ip6" })),
    (match) => ({ kind: "raw", sockets, match }),
    // They receive from the beginning.
    () => {
      for (const { fd } of sockets) emptySocket(fd);
    },
  );
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

/** Memory for what a source counts, and what reads it. */
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

/** `begin`: makes the sockets receive. */
function captureBySockets(
  { services, isOutgoing, snaplen, mark, front, workers = 1 }: SocketCaptureOptions,
  sockets: readonly { fd: number; kind: SocketKind }[],
  config: (match: MatchConfig) => SourceConfig,
  begin: () => void,
): SocketCapture {
  const { counters, stats } = createCounts(workers);
  const ports = portsOf(services);
  const letIn = (interfaces: readonly number[] | null) => {
    for (const { fd, kind } of sockets) {
      attachSocketFilter(fd, socketFilter({ kind, interfaces, isOutgoing, ...ports, mark, snaplen, front }));
    }
  };
  const shut = () => {
    for (const { fd } of sockets) attachSocketFilter(fd, rejectAll());
  };
  let isBegun = false;
  return {
    source: config({ services, isOutgoing, snaplen, counters, worker: 0 }),
    start(interfaces) {
      if (!isBegun) {
        // Until all share the flows, each would get every packet.
        shut();
        begin();
        isBegun = true;
      }
      letIn(interfaces);
    },
    stop: shut,
    stats,
    close() {
      for (const { fd } of sockets) libc.close(fd);
    },
  };
}
