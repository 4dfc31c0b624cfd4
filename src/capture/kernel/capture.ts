/** Capture by the kernel programs, as its user sees it once they are loaded. */
import type { XdpProgram } from "../../filter/access.ts";
import type { LocalPrefix } from "../../native/netlink/local-prefixes.ts";
import type { Hook } from "../attachments.ts";
import type { KernelStats } from "../counters.ts";
import type { Forwarded } from "../local-maps.ts";
import type { AnsweringService, KernelService } from "../services.ts";
import type { XdpMode } from "../xdp-links.ts";
import type { KernelPath } from "./options.ts";

export interface KernelCapture {
  /**
   * Descriptors of the ring buffers, one per possible CPU and worker, those of a CPU next to each other (see `ofWorker`);
   * empty where the program is not loaded.
   */
  readonly requestRings: number[];
  readonly responseRings: number[];
  /** Bytes of each ring. */
  readonly requestRingBytes: number;
  readonly responseRingBytes: number;
  /** Descriptors of the maps to mmap: see control.ts and flows.ts; -1 where the program is not loaded. */
  readonly controlMap: number;
  readonly flowsMap: number;
  /** Descriptors of the programs, -1 where one is not loaded. */
  readonly requestProgram: number;
  readonly requestXdpProgram: number;
  readonly responseProgram: number;
  readonly outgoingProgram: number;
  /** Which program `requestXdpProgram` is. */
  readonly xdpProgram: XdpProgram;
  /** How tc programs are or will be attached. tcx and XDP links end with the process, clsact filters only by `detach`. */
  readonly hook: Hook;
  /** Whether requests on an interface are captured by XDP. */
  usesXdp(ifindex: number): boolean;
  /** The XDP mode on an interface; undefined before it is attached. */
  xdpModeOn(ifindex: number): XdpMode | undefined;
  /** Tells the XDP program the present MAC addresses of this host's Ethernet interfaces. */
  learnMacs(): void;
  /**
   * Attach to these interfaces of the network namespace of the calling thread. On an interface that has both, the response
   * program runs first, in whichever order these are called. Both throw a Failure: 2 for an interface that does not exist, 3
   * where another XDP program is attached, 4 without privilege, 5 where the kernel cannot. `program` is the descriptor of a
   * filter in front of `requestProgram` (or `requestXdpProgram`, where `usesXdp` is true).
   */
  attachRequests(ifindexes: number[], program?: number): void;
  attachResponses(ifindexes: number[]): void;
  /**
   * On interfaces with a request program this one runs instead from now on, as `program` of attachRequests; each packet is seen by one of
   * the two. Throws a Failure.
   */
  replaceRequests(ifindexes: readonly number[], program?: number): void;
  /**
   * From now on no request is captured. XDP programs are detached, tc programs stay: at each tcx link that comes or goes the
   * kernel waits some 10 ms for running programs (tcx_entry_sync), which on hundreds of interfaces takes seconds.
   */
  stopRequests(): void;
  /** Responses on a path come to another address of this host from now on. Throws with errno's text. */
  movePath(path: number, local: Uint8Array): void;
  /** Responses on one more path, which gets the next index, are captured from now on. Throws with errno's text. */
  addPath(path: KernelPath): void;
  /**
   * These services are captured from now on, and what these send to clients, with what they were told to be before `outgoingObject` was
   * loaded. Throws with errno's text.
   */
  setServices(services: readonly KernelService[], outgoing: readonly AnsweringService[]): void;
  /** The payload of responses on a path is captured whole from now on, where prefixes of it were. */
  readWhole(path: number): void;
  /** Detaches the request programs from all interfaces; responses are still captured. */
  detachRequests(): void;
  /** Closes the links of an interface that is gone. */
  forget(ifindex: number): void;
  /** Says which addresses are this host's; returns how many there is no room for. Null without `onlyLocal`. */
  readonly setLocal: ((local: readonly LocalPrefix[]) => number) | null;
  /** A destination whose packets only passed through this host; null: there was none. */
  forwarded(): Forwarded | null;
  stats(): KernelStats;
  /** Detaches all programs and closes every descriptor; nothing else here may be used afterwards. */
  detach(): void;
}
