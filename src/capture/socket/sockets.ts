/** The main thread's half of the back ends that capture by sockets: opens them, says what they let in, counts. */
import { attachSocketFilter } from "../../filter/socket.ts";
import { libc } from "../../native/libc.ts";
import { openPacketSocket, startPacketSockets } from "../../native/packet-socket.ts";
import { KERNEL_COUNTERS, type KernelCounter } from "../counters.ts";
import { possibleCpus } from "../maps.ts";
import type { KernelService } from "../services.ts";
import type { SourceConfig } from "../source.ts";
import { rejectAll, type SocketFilterOptions, socketFilter } from "./filter.ts";

export interface SocketCaptureOptions {
  services: KernelService[];
  isOutgoing: boolean;
  /** Most bytes of a packet that are captured, at most MOST_CAPTURED. */
  snapBytes: number;
  /** SO_MARK of all that we send; 0: none. */
  mark: number;
  /** Bytes for all that waits to be read. */
  bufferBytes: number;
  front: SocketFilterOptions["front"];
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
  const { isOutgoing, bufferBytes } = options;
  const allBlocks = Math.max(LEAST_BLOCKS, Math.floor(bufferBytes / BLOCK_BYTES));
  const rings = Math.min(possibleCpus(), MOST_RINGS, Math.floor(allBlocks / LEAST_BLOCKS));
  const blocks = Math.floor(allBlocks / rings);
  const sockets = openAll(rings, () => openPacketSocket(blocks, BLOCK_BYTES, !isOutgoing));
  return captureBySockets(
    options,
    sockets,
    (match) => ({ kind: "packet", sockets, blocks, blockBytes: BLOCK_BYTES, match }),
    () => startPacketSockets(sockets, !isOutgoing),
  );
}

function openAll(count: number, open: () => number): number[] {
  const sockets: number[] = [];
  try {
    while (sockets.length < count) sockets.push(open());
    return sockets;
  } catch (error) {
    for (const socket of sockets) libc.close(socket);
    throw error;
  }
}

/** `begin`: makes the sockets receive. */
function captureBySockets(
  { services, isOutgoing, snapBytes, mark, front }: SocketCaptureOptions,
  sockets: readonly number[],
  config: (match: Extract<SourceConfig, { kind: "packet" }>["match"]) => SourceConfig,
  begin: () => void,
): SocketCapture {
  const counters = new SharedArrayBuffer(KERNEL_COUNTERS.length * 8);
  const values = new Float64Array(counters);
  const ports = services.map(({ port }) => port);
  const letIn = (program: Uint8Array) => {
    for (const socket of sockets) attachSocketFilter(socket, program);
  };
  let isBegun = false;
  return {
    source: config({ services, isOutgoing, snapBytes, counters }),
    start(interfaces) {
      if (!isBegun) {
        // Until all share the flows, each would get every packet.
        letIn(rejectAll());
        begin();
        isBegun = true;
      }
      letIn(socketFilter({ interfaces, isOutgoing, ports, mark, snapBytes, front }));
    },
    stop: () => letIn(rejectAll()),
    stats: () =>
      Object.fromEntries(KERNEL_COUNTERS.map((name, index) => [name, values[index]!])) as Record<
        KernelCounter,
        number
      >,
    close() {
      for (const socket of sockets) libc.close(socket);
    },
  };
}
