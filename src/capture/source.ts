/** What every back end of the capture offers to the data plane, and what the data plane is told to make one. */
import type { Packet } from "../wire/packet.ts";
import type { KernelService } from "./services.ts";

/**
 * Captured requests. The same packets give the same records whatever the back end: packets without data that nobody needs
 * and packets that were seen on another interface before are left out, and counted.
 */
export interface RequestSource {
  /**
   * Readable when there may be a record, once Control.setWaiting(true) was called and `isEmpty` was true after it.
   */
  readonly descriptors: readonly number[];
  /** Whether no record waits. */
  readonly isEmpty: boolean;
  /**
   * Hands up to `limit` records to `sink`, those of a flow in the order of their capture, and returns how many packets
   * it looked at: fewer than `limit` when none is left. The packet is the same object each time and points into memory of
   * the source: it is valid only during the call. Records captured after `before` (us) stay for the next call.
   */
  drain(sink: (packet: Packet) => void, limit: number, before?: number): number;
  /** Whether the last drain found so much that there may be no room for what comes until a look as late as that one. */
  readonly isFilling?: boolean;
  /** Counts what only the kernel knows, such as drops; called about twice a second and at the end. */
  count(): void;
  close(): void;
}

/** How sockets tell a request from other packets; plain data, as all of SourceConfig: it crosses a postMessage. */
export interface MatchConfig {
  services: KernelService[];
  /** Whether requests leave this host instead of coming in. */
  isOutgoing: boolean;
  /** Most bytes of a packet that are captured, from its IP header on. */
  snaplen: number;
  /** What every worker has counted, in the order of KERNEL_COUNTERS, as Float64Array; shared with the main thread. */
  counters: SharedArrayBuffer;
  /** The one that counts here. */
  worker: number;
}

/** A raw IP socket, and what it receives. */
export interface RawSocket {
  fd: number;
  family: 4 | 6;
  /** TCP or UDP. */
  protocol: number;
}

export type SourceConfig =
  /** BPF ring buffers, one per CPU, of `ringBytes` each. */
  | { kind: "rings"; rings: number[]; ringBytes: number }
  /** Packet sockets with a ring each (PACKET_RX_RING, TPACKET_V3) of `blocks` blocks; for several workers one each. */
  | { kind: "packet"; sockets: number[]; blocks: number; blockBytes: number; match: MatchConfig }
  /** Raw IP sockets. */
  | { kind: "raw"; sockets: RawSocket[]; match: MatchConfig }
  /** libpcap: an epoll descriptor of all handles, and what src/capture/socket/pcap-table.ts reads. */
  | { kind: "pcap"; watched: number; table: SharedArrayBuffer; match: MatchConfig };
