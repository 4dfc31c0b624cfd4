/** The main thread's half of the packet socket that answers are read from. */
import { attachSocketFilter } from "../../filter/socket.ts";
import { libc } from "../../native/libc.ts";
import { openPlainPacketSocket, startPacketSockets } from "../../native/packet-socket.ts";
import { WHOLE_PACKETS } from "../maps.ts";
import { rejectAll, socketFilter } from "./filter.ts";
import type { AnsweredPath } from "./path-table.ts";
import { RESPONSE_BYTES, type ResponseSocketConfig } from "./response-source.ts";
import { createCounts, type SocketCapture } from "./sockets.ts";

/** Bytes of the receive buffer. The kernel charges a packet with all the memory that it occupies. */
const BUFFER = 16 << 20;

export interface ResponseSocket extends Pick<SocketCapture, "stats" | "close"> {
  readonly source: ResponseSocketConfig;
  /** From now on answers are received. Throws a Failure (5). */
  start(): void;
  /** Answers on these paths are received too. Throws a Failure (5). */
  addPaths(paths: readonly AnsweredPath[]): void;
  /** They come in by these interfaces (indexes) from now on. Throws a Failure (5). */
  listen(interfaces: readonly number[]): void;
}

/**
 * Opens the socket for answers on these paths, received by these interfaces (indexes): headers, and so many bytes of payload at
 * most. Throws a Failure: 4 without privilege, 5 where the kernel cannot.
 */
export function openResponseSocket(
  paths: readonly AnsweredPath[],
  interfaces: readonly number[],
  payload = 0,
): ResponseSocket {
  const packetBytes = Math.min(WHOLE_PACKETS, RESPONSE_BYTES + payload);
  const socket = openPlainPacketSocket(BUFFER);
  const { counters, stats } = createCounts();
  const ports = paths.map(({ targetPort }) => targetPort);
  let present = interfaces;
  const listen = (on: readonly number[]): void => {
    present = on;
    const rules = { kind: "network" as const, interfaces: on, isOutgoing: false, ports, mark: 0 };
    attachSocketFilter(
      socket,
      socketFilter({ ...rules, snaplen: packetBytes, front: null, takesAnswers: true }),
    );
  };
  return {
    source: {
      socket,
      paths: paths.map(({ target, local, targetPort }) => ({ target, local, targetPort })),
      counters,
      packetBytes,
    },
    start() {
      attachSocketFilter(socket, rejectAll());
      startPacketSockets([socket], true);
      listen(interfaces);
    },
    listen,
    addPaths(more) {
      ports.push(...more.map(({ targetPort }) => targetPort));
      listen(present);
    },
    stats,
    close() {
      libc.close(socket);
    },
  };
}
