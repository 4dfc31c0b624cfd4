/** Compiles the pcap-filter language, as in `-F 'tcp and src port 8080'`, by the host's libpcap. */
import { Failure } from "../native/failure.ts";
import { compileExpression, DLT_EN10MB, DLT_RAW, disassemble } from "../native/libpcap.ts";
import { decode, faultOf } from "./classic.ts";

/** What packets begin with: an Ethernet header, or the IP header. */
export type LinkLayer = "ethernet" | "raw";

/** A compiled filter. */
export interface Filter {
  readonly expression: string;
  readonly linkLayer: LinkLayer;
  /** Classic BPF: struct bpf_insn, 8 bytes each, host order; a match returns not 0. */
  readonly instructions: Uint8Array;
  /**
   * Whether the filter must see the VLAN tag that the kernel or the network card has removed from a packet. True where the
   * expression has the keyword `vlan`: libpcap then expects the tag in the packet, and all headers after it. Without the
   * keyword such a packet counts as untagged, as in tcpdump on a live interface.
   */
  readonly wantsTag: boolean;
}

/** What a match returns; the same as in `tcpdump -d`. */
const SNAPSHOT_BYTES = 262144;
const LINK_TYPES: Record<LinkLayer, number> = { ethernet: DLT_EN10MB, raw: DLT_RAW };

/**
 * Interface types (ARPHRD_* of linux/if_arp.h) by what their packets begin with. Ethernet: ETHER, LOOPBACK; raw: PPP, RAWIP,
 * TUNNEL, TUNNEL6, SIT, NONE (tun, WireGuard).
 */
export const HARDWARE_TYPES: Record<LinkLayer, readonly number[]> = {
  ethernet: [1, 772],
  raw: [512, 519, 768, 769, 776, 65534],
};

/** The link layer of an interface of this ARPHRD type (linux/if_arp.h); null: not known to xcopy. */
export function linkLayerOf(hardwareType: number): LinkLayer | null {
  if (HARDWARE_TYPES.ethernet.includes(hardwareType)) return "ethernet";
  return HARDWARE_TYPES.raw.includes(hardwareType) ? "raw" : null;
}

/**
 * Compiles an expression; host names are looked up, which may take seconds. Throws a Failure: 2 with libpcap's message
 * where it refuses the expression, 2 where the kernel cannot run the compiled filter, 5 where the host has no libpcap.
 */
export function compileFilter(expression: string, linkLayer: LinkLayer): Filter {
  const compiled = compileExpression(expression, LINK_TYPES[linkLayer], SNAPSHOT_BYTES);
  if (typeof compiled === "string") {
    const where = linkLayer === "raw" ? " for an interface without link layer" : "";
    throw new Failure(
      `Cannot compile -F "${expression}"${where}: ${compiled}`,
      "Write it as for tcpdump, for example 'tcp and src port 8080': man 7 pcap-filter",
      2,
    );
  }
  const fault = faultOf(decode(compiled));
  if (fault !== null) {
    throw new Failure(`Cannot run the filter "${expression}" in the kernel: ${fault.cause}`, fault.fix, 2);
  }
  return { expression, linkLayer, instructions: compiled, wantsTag: /\bvlan\b/.test(expression) };
}

/** The filter as `tcpdump -d` prints it, without the last newline. */
export function renderFilter(filter: Filter): string {
  return disassemble(filter.instructions).join("\n");
}
