/** Egresses and paths, as plain data; addresses are bytes in network order, ports numbers, sizes bytes. */

/** How packets leave this host; paths with the same interface and next hop share one. */
export interface EgressConfig {
  /**
   * `packet`: frames with a MAC header on an interface; `cooked`: IP packets on an interface without MAC headers (tunnels);
   * `raw`: IP packets that the kernel routes and filters (loopback).
   */
  kind: "packet" | "cooked" | "raw";
  interface: string;
  ifindex: number;
  family: 4 | 6;
  /** IP address of the next hop: the gateway, or the target itself on the same link. */
  nextHop: Uint8Array;
  /** 6 bytes each; empty except for `packet`. */
  sourceMac: Uint8Array;
  nextHopMac: Uint8Array;
  /** Largest IP packet. */
  mtu: number;
  /** Whether the user named the interface: routes then do not change it. */
  isBound?: boolean;
  /** Whether the user gave the MAC address of the next hop: it is then not resolved. */
  hasFixedMac?: boolean;
}

/** A target as seen from one local address: the flows between the two differ only in our port. */
export interface PathConfig {
  family: 4 | 6;
  /** Null: each connection comes from the address of its client. */
  local: Uint8Array | null;
  target: Uint8Array;
  targetPort: number;
  /** Absent: TCP. */
  transport?: "udp";
  /** Index into `egresses`. */
  egress: number;
}
