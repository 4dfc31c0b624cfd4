/** Finding the IP packet inside a tunnel's IP packet, as mirror ports, clouds and overlay networks send them. */
import { ethernet, ip, mpls, nsh } from "./ether-type.ts";
import { gre } from "./gre.ts";
import { IPPROTO_UDP } from "./udp.ts";
import { inUdp, l2tpSession } from "./udp-tunnel.ts";

const IPPROTO_IPIP = 4;
const IPPROTO_IPV6 = 41;
const IPPROTO_GRE = 47;
/** RFC 3378: 2 bytes, version 3, then the frame. */
const IPPROTO_ETHERIP = 97;
const IPPROTO_L2TP = 115;
const IPPROTO_MPLS = 137;
/** Segment routing's (RFC 8986 section 4.9). */
const IPPROTO_ETHERNET = 143;
const IPPROTO_NSH = 145;

/** Whether IP packets of this protocol may have another IP packet in them. */
export function isTunnel(protocol: number): boolean {
  switch (protocol) {
    case IPPROTO_IPIP:
    case IPPROTO_UDP:
    case IPPROTO_IPV6:
    case IPPROTO_GRE:
    case IPPROTO_ETHERIP:
    case IPPROTO_L2TP:
    case IPPROTO_MPLS:
    case IPPROTO_ETHERNET:
    case IPPROTO_NSH:
      return true;
    default:
      return false;
  }
}

/**
 * The offset of the inner IP header of a tunnel's packet. Its outer IP packet has this `protocol`, and its payload from `at` to
 * `end` (offsets into `view`). -1 if the tunnel is not known or has no IP packet in it.
 */
export function innerIp(view: DataView, protocol: number, at: number, end: number): number {
  switch (protocol) {
    case IPPROTO_UDP:
      return inUdp(view, at, end);
    case IPPROTO_IPIP:
      return ip(view, at, end, 4);
    case IPPROTO_IPV6:
      return ip(view, at, end, 6);
    case IPPROTO_GRE:
      return gre(view, at, end);
    case IPPROTO_ETHERIP:
      return at + 2 <= end && view.getUint8(at) === 0x30 ? ethernet(view, at + 2, end) : -1;
    case IPPROTO_L2TP:
      return l2tpSession(view, at, end);
    case IPPROTO_MPLS:
      return mpls(view, at, end);
    case IPPROTO_ETHERNET:
      return ethernet(view, at, end);
    case IPPROTO_NSH:
      return nsh(view, at, end);
    default:
      return -1;
  }
}
