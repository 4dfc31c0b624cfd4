/** The ways to the targets. Plain data; addresses are raw bytes in network order, ports host numbers, sizes bytes. */

/** One way out: everything with the same interface and next hop shares one. */
export interface EgressConfig {
  /** `packet`: frames with a MAC header on an interface; `raw`: IP packets, the kernel routes (loopback, tunnels). */
  kind: "packet" | "raw";
  interface: string;
  ifindex: number;
  family: 4 | 6;
  /** Address the next hop is resolved for: the gateway, or the target itself on the same link. */
  nextHop: Uint8Array;
  /** 6 bytes each; empty for `raw`. */
  sourceMac: Uint8Array;
  nextHopMac: Uint8Array;
  /** Largest IP packet. */
  mtu: number;
  /** Whether the user named the interface, which routes do not change then; and the MAC address of the next hop. */
  isBound?: boolean;
  hasFixedMac?: boolean;
}

/** A target as seen from one local address: the flows between the two are told apart by our port alone. */
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
