/** The interface of every capture back end to the data plane, and the configuration that a back end is created from. */
import type { Packet } from "../wire/packet.ts";
import type { AnsweringService, KernelService } from "./services.ts";

/**
 * Captured requests. The same packets give the same records with every back end: pure ACKs that nobody needs and packets
 * that were seen on another interface before are left out, and counted.
 */
export interface RequestSource {
  /**
   * To wait on: readable when there may be a record. Before waiting, call Control.setWaiting(true), then check `isEmpty`.
   */
  readonly descriptors: readonly number[];
  /** Whether no record waits. */
  readonly isEmpty: boolean;
  /**
   * Passes records to `sink`, those of a flow in the order of their capture, and returns how many packets it read: at most
   * `limit`, and fewer when none is left. The packet is the same object each time and points into memory of the source: it is
   * valid only during the call of `sink`. Records captured after `before` (us, CLOCK_MONOTONIC) stay for the next call, and those after the
   * first `bytes` bytes of packets, where the source can tell.
   */
  drain(sink: (packet: Packet) => void, limit: number, before?: number, bytes?: number): number;
  /** Whether so much waited at the last drain that the buffer may soon overflow; absent where that cannot be known. */
  readonly isFilling?: boolean;
  /** Whether so much waits in the buffer now that it is to be read before anything is sent; absent: not known. */
  readonly isCrowded?: boolean;
  /** When the oldest packet that waits was captured, us; Infinity if none does; absent: not known. */
  readonly oldest?: number;
  /** These services are captured from now on, where the source picks their packets itself. */
  setServices?(services: readonly KernelService[], answering: readonly AnsweringService[]): void;
  /** Counts what only the kernel knows, such as drops; called about twice a second and at the end. */
  count(): void;
  close(): void;
}

/** By what sockets recognise requests. Plain data, as all of SourceConfig: it crosses a postMessage. */
export interface MatchConfig {
  services: KernelService[];
  /** Services of which what they send is captured too, on its way out; absent: none. */
  answering?: AnsweringService[];
  /**
   * Whether the back end does not tell what leaves from what comes in, so that what seems to come from a service may be forged: it is
   * good for comparing answers, and not for believing logins. Default false.
   */
  mixesDirections?: boolean;
  /** Whether requests leave this host instead of coming in. */
  isOutgoing: boolean;
  /** A LocalTable: services without address are at these addresses only. Null: at any. */
  local: SharedArrayBuffer | null;
  /** Most bytes of a packet that are captured, from its IP header on. */
  snaplen: number;
  /** us in which one pure ACK of each connection is captured as a sign of life; default SIGN_SPAN. */
  signSpan?: number;
  /** The counters of each worker as Float64Array, in the order of KERNEL_COUNTERS; shared with the main thread. */
  counters: SharedArrayBuffer;
  /** Index of the worker that uses this config: which counters are its own. */
  worker: number;
}

/** A raw IP socket, and which packets it receives. */
export interface RawSocket {
  fd: number;
  family: 4 | 6;
  /** IPPROTO_TCP or IPPROTO_UDP. */
  protocol: number;
}

export type SourceConfig =
  /** BPF ring buffers, one per CPU, of `ringBytes` each. */
  | { kind: "rings"; rings: number[]; ringBytes: number }
  /** Packet sockets with a ring each (PACKET_RX_RING, TPACKET_V3) of `blocks` blocks; with several workers one socket each. */
  | { kind: "packet"; sockets: number[]; blocks: number; blockBytes: number; match: MatchConfig }
  /** Raw IP sockets. */
  | { kind: "raw"; sockets: RawSocket[]; match: MatchConfig }
  /** libpcap: an epoll descriptor of all handles, the most bytes of an IP packet that it hands over, and what src/capture/socket/pcap-table.ts reads. */
  | { kind: "pcap"; watched: number; table: SharedArrayBuffer; longest: number; match: MatchConfig };
