/** What a replay of datagrams is told at its start. */
import type { PairSink } from "../pairs/pair.ts";
import type { IpPair } from "../wire/ip.ts";

/** A target as seen from one source address. */
export interface DatagramPath {
  pair: IpPair;
  targetPort: number;
  /** Index of the batch its packets go to. */
  egress: number;
  /** Largest IP packet, bytes. */
  mtu: number;
  /** Each flow has its client's address as source: the source of `pair` is set for each packet. */
  fromClient: boolean;
}

export interface DatagramService {
  /** Each flow is copied to each route: to one of its targets, by weight, on one of the target's paths; as in EngineConfig. */
  routes: { weight: number; paths: number[] }[][];
  /** Whether QUIC packets are counted. */
  mayBeQuic: boolean;
}

export interface DatagramConfig {
  /** By index; undefined for services and paths of other protocols. */
  services: (DatagramService | undefined)[];
  paths: (DatagramPath | undefined)[];
  replicas: number;
  /** Index of this worker; each worker has ports of its own. */
  worker: number;
  /** How many workers there are. */
  workers: number;
  /** Source ports, ranges [first, last]. */
  ports: [number, number][];
  /** Whether flows from a client's address use the client's port too, if it is free. */
  keepsClientPorts: boolean;
  maxFlows: number;
  /** us without an answer after which a datagram counts as unanswered. */
  timeout: number;
  /** us without a datagram after which a flow is forgotten. */
  idleTimeout: number;
  /** Whether datagrams that do not fit into one packet are dropped, and the others have the don't-fragment flag (IPv4). */
  noFragment: boolean;
  /** The counters, at the indexes of DATAGRAM. */
  counters: Float64Array;
  /** Whether one more request may be sent now (--limit). */
  allow: (now: number) => boolean;
  /** Called before the first packet of a flow; the client's address is in `words` at `at`, four words (IPv4-mapped). */
  openFlow: (path: number, port: number, words: Int32Array, at: number) => void;
  /** Whether nothing may be sent on a path now. */
  isHeld: (path: number) => boolean;
  /** Where pairs of DNS go; null: none are made. */
  pairs: PairSink | null;
  /** Called when a batch is full: must send and clear it. */
  flush: (egress: number) => void;
  /** Called with the time from a datagram to its answer, us. */
  onLatency: (us: number) => void;
  /** At least 0, less than 1. */
  random: () => number;
}
