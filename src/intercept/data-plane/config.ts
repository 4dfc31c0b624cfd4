/**
 * What the main thread of `xcopy intercept` tells its data plane at start. Plain data: it crosses a postMessage. Addresses
 * are raw bytes in network order (4 or 16 of them).
 */
import type { CoveredService } from "../../channel/messages.ts";
import type { AddressPair } from "./router.ts";

export interface InterceptPlaneConfig {
  mode: "target" | "assistant" | "nfqueue";
  /** Descriptors of the ring maps, one per CPU, bytes of one, and the map `control`; mode nfqueue has none. */
  rings: number[];
  ringBytes: number;
  controlMap: number;
  /** Descriptors of the maps `cookies` and `learned`, mode target only; -1: none. */
  cookiesMap: number;
  learnedMap: number;
  /** As `learnedMap`, of UDP. */
  datagramFlowsMap: number;
  /** Descriptor and number of the netfilter queue; mode nfqueue only. */
  queue: { fd: number; number: number } | null;
  /** Sockets that listen for copies. */
  listeners: number[];
  /** Null: copies need to prove nothing. */
  key: Uint8Array | null;
  /** How tcpcopy 1.x is spoken to; null: it is refused. */
  compat: { combined: number; single: boolean; protected: boolean } | null;
  /** What WELCOME names; empty: whatever. */
  services: CoveredService[];
  maxFlows: number;
  translations: AddressPair[];
  dnat: boolean;
  pass: Uint8Array[];
  /** For those who ask: what catches, and where. */
  hook: string;
  interfaces: string[];
  version: string;
  /** Shared with the main thread: see intercept-shared.ts. */
  shared: SharedArrayBuffer;
}
