/**
 * What the main thread of `xcopy intercept` tells its data plane at start. Plain data: it crosses a postMessage. Addresses
 * are raw bytes in network order (4 or 16 of them).
 */
import type { CoveredService } from "../../channel/messages.ts";
import type { Network } from "../../config/networks.ts";
import type { RuleTexts } from "../../netfilter/listed/list.ts";
import type { AddressPair } from "./router.ts";

export interface InterceptPlaneConfig {
  mode: "target" | "assistant" | "nfqueue";
  /** Descriptors of the ring maps, one per CPU, bytes of one, and the map `control`; mode nfqueue has none. */
  rings: number[];
  ringBytes: number;
  controlMap: number;
  /** Descriptors of the maps `cookies`, `owners` and `learned`, mode target only; -1: none. */
  cookiesMap: number;
  ownersMap: number;
  learnedMap: number;
  /** Flows that copies have registered, which responses have yet to prove; mode target only. */
  registeredMap: number;
  /** Whether `learnedMap` has flows of an earlier intercept. */
  inherits: boolean;
  /** As `learnedMap`, of UDP. */
  datagramFlowsMap: number;
  /** Descriptor and number of the netfilter queue; mode nfqueue only. */
  queue: { fd: number; number: number } | null;
  /** Sockets that listen for copies. */
  listeners: number[];
  /** The shared key; null: no copies are served, or with `insecure` any. */
  key: Uint8Array | null;
  insecure: boolean;
  /** How to talk to a tcpcopy 1.x, and to which; null: it is refused. */
  compat: { combined: number; single: boolean; protected: boolean; from: Network[] } | null;
  /** Services that WELCOME names; empty: none are named. */
  services: CoveredService[];
  maxFlows: number;
  /** Addresses that are no client's, 4 or 16 bytes: of this host, and of the services. No address range may hold one. */
  noClients: Uint8Array[];
  /** us for which all that a copy has registered is kept when it is gone. */
  linger: number;
  translations: AddressPair[];
  dnat: boolean;
  pass: Uint8Array[];
  /** For answers to questions of copies: what catches, and on which interfaces. */
  hook: string;
  interfaces: string[];
  version: string;
  /** The netfilter rules of this host as they were at the start; null: not read. */
  rules: RuleTexts | null;
  /** Shared with the main thread: see shared.ts. */
  shared: SharedArrayBuffer;
}
