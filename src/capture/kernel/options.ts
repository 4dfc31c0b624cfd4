/** What is to be captured by the kernel programs, and how. */
import type { XdpProgram } from "../../filter/access.ts";
import type { CarriedLibrary } from "../../native/carried.ts";
import type { Prefix } from "../../wire/prefix.ts";
import type { Hook } from "../attachments.ts";
import type { AnsweringService, KernelService } from "../services.ts";

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
  /** Whether services of UDP may be added later, where there is none now. Default false. */
  mayTakeDatagrams?: boolean;
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
