/**
 * What the main thread tells the data plane at start. Plain data: it crosses a postMessage. Addresses are raw
 * bytes in network order (4 or 16 of them), ports host numbers, times us, sizes bytes.
 */

import type { KernelService } from "../../capture/services.ts";
import type { ResponseSocketConfig } from "../../capture/socket/response-source.ts";
import type { SourceConfig } from "../../capture/source.ts";
import type { EngineConfig } from "../../engine/sessions/context.ts";
import type { EgressConfig, PathConfig } from "../../inject/path.ts";
import type { Reserve } from "../../native/page.ts";
import type { PairConfig } from "../../pairs/pair.ts";
import type { MysqlConfig } from "../../protocol/mysql/config.ts";
import type { ProtocolName } from "../../protocol/names.ts";
import type { Prefix } from "../../wire/prefix.ts";
import type { WaysConfig } from "../ways/take.ts";

/** An intercept that catches answers. */
export interface InterceptConfig {
  /** As the user wrote it, for messages. */
  label: string;
  address: Uint8Array;
  port: number;
}

/** How answers come back where they do not come to this host's own address. */
export interface ChannelConfig {
  intercepts: InterceptConfig[];
  /** TCP connections to each. */
  connections: number;
  /** The shared key; null: none. */
  key: Uint8Array | null;
  /** Whether the intercepts are those of tcpcopy 1.x. */
  compat: boolean;
  /** Whether a protocol module reads what comes. */
  readsPayload: boolean;
  /** How much of it, of each segment. */
  prefix: Prefix;
  /** By path: the source address of its preflight connection, of the path's family. */
  probeFrom: Uint8Array[];
}

/** Recorded requests, instead of live ones. */
export interface TraceConfig {
  /** What the reader puts them into: see src/capture/trace/memory.ts. */
  memory: SharedArrayBuffer;
  /** An eventfd by which the reader wakes the data plane. */
  wake: number;
  /** Multiple of the recorded speed; Infinity: as fast as the targets answer. */
  speed: number;
  /** us; longer gaps between packets are shortened to this. 0: none is. */
  longestGap: number;
  /** Most requests that start per second; 0: no limit. */
  rate: number;
}

/** One of the targets that share the sessions of a route, in proportion to their weights. */
export interface TargetConfig {
  weight: number;
  /** Indexes into `paths`, one per source address. */
  paths: number[];
}

/** One captured service (an address and port): every session of it is copied along each of its routes. */
export interface ServiceConfig {
  /** As the user wrote it, for messages. */
  label: string;
  /** Absent: TCP. */
  transport?: "udp";
  routes: TargetConfig[][];
  /** The protocol module of its sessions; null: none. */
  protocol: ProtocolName | null;
}

/** What only the copying of datagrams needs. */
export interface DatagramsConfig {
  /** The UDP services, as the capture knows them: for datagrams in fragments. */
  services: KernelService[];
  /** A datagram without an answer for this long counts as unanswered; a flow without any is forgotten. */
  timeout: number;
  idleTimeout: number;
  noFragment: boolean;
  /** What is counted: see src/copy/data-plane/datagram-shared.ts. */
  shared: SharedArrayBuffer;
}

/** Which of how many workers this is, and where it runs. */
export interface WorkerConfig {
  /** From 0. */
  index: number;
  count: number;
  /** The CPU that it runs on; null: any. */
  cpu: number | null;
  /** CPUs that all workers together may use, 0.5 for half of one; 0: as much as they need. */
  cpuLimit: number;
  /** Words that the workers share (src/engine/sessions/share.ts), and when the run began, us. */
  words: SharedArrayBuffer;
  since: number;
}

/** What the engine is told as the main thread decided it; `memory` is that of this worker. */
type EngineSettings = Required<
  Pick<
    EngineConfig,
    | "replicas"
    | "jitter"
    | "waitsForAnswers"
    | "pace"
    | "late"
    | "turnTimeout"
    | "quiet"
    | "takesMidstream"
    | "turnLimit"
    | "proxyProtocol"
    | "users"
    | "ports"
    | "maxSessions"
    | "memory"
    | "sessionTimeout"
    | "idleTimeout"
    | "keepsClientPorts"
  >
>;

export interface DataPlaneConfig extends EngineSettings {
  worker: WorkerConfig;
  /** Where live requests come from; null: they are recorded ones. */
  source: SourceConfig | null;
  /** File descriptors of the ring maps of this worker's responses, one per CPU, and the bytes of one ring. */
  responseRings: number[];
  responseRingBytes: number;
  /** Where answers come by a socket instead; else null. */
  responseSocket: ResponseSocketConfig | null;
  /** The mmap'd maps `control` and `flows`; -1 where no kernel program is loaded. */
  controlMap: number;
  flowsMap: number;
  services: ServiceConfig[];
  mysql: MysqlConfig;
  /** What pairs are made for, and the ring that this worker puts them into; null: none are made. */
  pairs: { config: PairConfig; memory: SharedArrayBuffer } | null;
  /** Null: live requests, from the source. */
  trace: TraceConfig | null;
  /** The TCP services, as the capture knows them: for segments in IP fragments. */
  segmentServices: KernelService[];
  /** Null: no service is of UDP. */
  datagrams: DatagramsConfig | null;
  paths: PathConfig[];
  egresses: EgressConfig[];
  /** How the main thread tells that a way has changed. */
  ways: WaysConfig;
  /** How many paths there may be at most, as the map `flows` has room for. */
  mostPaths: number;
  /** How the main thread tells what else changes while it runs: see src/copy/changes. */
  changes: SharedArrayBuffer;
  /** Null: answers come to this host's own address. */
  channel: ChannelConfig | null;
  /** For captured payload: see reserveOf. The main thread makes it ready, after the start. */
  reserve: Reserve;
  /** SO_MARK of all we send. */
  mark: number;
  /** Share of the sessions that are captured, over 0 to 1, and us since the start in which it grows to that from 0. */
  sample: number;
  ramp: number;
  /** Whether to try a connection to every path before the first request is taken. */
  probe: boolean;
  /** Shared with the main thread: see src/copy/data-plane/shared.ts. */
  shared: SharedArrayBuffer;
}
