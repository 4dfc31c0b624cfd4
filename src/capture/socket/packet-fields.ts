/** Where the fields of a packet are for a socket's classic BPF filter, and their values. */

/**
 * SKF_NET_OFF and SKF_AD_OFF of linux/filter.h, as 32 bits: loads relative to the IP header, and loads of what Linux knows
 * about a packet. The former see only the linear part of a packet before Linux 6.16, so they are used only where necessary.
 */
export const NETWORK = 0xfff00000;
const KNOWN = 0xfffff000;
export const PROTOCOL = KNOWN + 0;
export const PACKET_TYPE = KNOWN + 4;
export const INTERFACE = KNOWN + 8;
export const MARK = KNOWN + 20;
export const HARDWARE_TYPE = KNOWN + 28;

export const PACKET_OUTGOING = 4;
export const ETHERTYPE_IP = 0x0800;
export const ETHERTYPE_IPV6 = 0x86dd;
export const ETHERTYPES_TAGGED = [0x8100, 0x88a8];
export const TCP = 6;
export const UDP = 17;
export const ICMP = 1;
export const ICMP6 = 58;
/** IPv6 extension headers that TCP or UDP may follow: options, routing, fragment, authentication. */
export const EXTENSIONS = [0, 43, 44, 51, 60];
/** Bits of the IPv4 header's fragment field: the offset, and "more fragments". */
export const ANY_FRAGMENT = 0x3fff;
/** Bytes. */
export const ETHERNET_HEADER = 14;

/** Bytes that are taken of a packet that we sent, so that it can be counted: fewer than any header has. */
export const OWN_PACKET_BYTES = 1;
/** Room for link layer headers in front of the bytes that -S counts. */
export const LINK_BYTES = 64;
