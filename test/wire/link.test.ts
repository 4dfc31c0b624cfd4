/** From a captured frame to the IP packet in it. */
import { expect, test } from "bun:test";
import { isKnownLink, networkLayer } from "../../src/wire/link.ts";
import { IP4, IP6, MACS, placed, SUM4 } from "./placed.ts";

const IS_IP: [string, number, string, string][] = [
  ["Ethernet", 1, `${MACS} 0800`, IP4],
  ["Ethernet, IPv6", 1, `${MACS} 86dd`, IP6],
  ["Ethernet, a VLAN tag", 1, `${MACS} 8100 0064 0800`, IP4],
  ["Ethernet, two tags", 1, `${MACS} 88a8 0001 8100 0064 86dd`, IP6],
  ["Ethernet, five tags", 1, `${MACS} 9100 0001 9100 0002 88a8 0003 8100 0004 8100 0005 0800`, IP4],
  ["Ethernet, PPPoE", 1, `${MACS} 8864 1100 0001 0016 0021`, IP4],
  ["Ethernet, a tag, PPPoE, IPv6", 1, `${MACS} 8100 0007 8864 1100 0001 002a 0057`, IP6],
  ["Ethernet, MPLS", 1, `${MACS} 8847 00010140`, IP4],
  ["Ethernet, two MPLS labels", 1, `${MACS} 8847 00010040 00020140`, IP6],
  [
    "Ethernet, tags of older and private types",
    1,
    `${MACS} 9200 0001 8909 01010001 0064 8100 0007 0800`,
    IP4,
  ],
  ["Ethernet, a VN-TAG", 1, `${MACS} 8926 00010002 0800`, IP4],
  ["Ethernet, a VN-TAG and a VLAN tag with priority", 1, `${MACS} 8926 00010002 8100 a064 86dd`, IP6],
  ["Ethernet, an E-TAG", 1, `${MACS} 893f 0000 0001 0000 0800`, IP4],
  ["Ethernet, HSR", 1, `${MACS} 892f 0034 0001 0800`, IP4],
  ["Ethernet, a frame of a customer (PBB)", 1, `${MACS} 88a8 0002 88e7 00000007 ${MACS} 8100 0003 0800`, IP4],
  ["Ethernet, MACsec that only protects", 1, `${MACS} 88e5 0000 00000001 0800`, IP4],
  ["Ethernet, MACsec with a channel", 1, `${MACS} 88e5 2000 00000001 0200000000010001 86dd`, IP6],
  ["Ethernet, NSH", 1, `${MACS} 894f 0fc2 0201 000001ff`, IP4],
  [
    "Ethernet, NSH with a context and a frame",
    1,
    `${MACS} 894f 0fc6 0103 000001ff ${"00".repeat(16)} ${MACS} 0800`,
    IP4,
  ],
  ["Ethernet, a service header in another", 1, `${MACS} 894f 0fc2 0204 000001ff 0fc2 0202 000002ff`, IP6],
  ["Ethernet, SNAP", 1, `${MACS} 001c aaaa03 000000 0800`, IP4],
  ["Ethernet, SNAP of a bridge", 1, `${MACS} 0064 aaaa03 0000f8 86dd`, IP6],
  ["Ethernet, a VLAN tag, SNAP", 1, `${MACS} 8100 0001 001c aaaa03 000000 0800`, IP4],
  ["Ethernet, LLC with IP", 1, `${MACS} 0017 060603`, IP4],
  ["Linux cooked, SNAP", 113, "0000 0001 0006 020000000001 0000 0004 aaaa03 000000 0800", IP4],
  ["a pseudowire with a control word", 1, `${MACS} 8847 00010140 00000007 ${MACS} 0800`, SUM4],
  ["a pseudowire without", 1, `${MACS} 8847 00010040 00020140 ${MACS} 8100 0001 0800`, SUM4],
  [
    "a pseudowire to a MAC address that is no control word",
    1,
    `${MACS} 8847 00010140 001b21000001 001b21000002 0800`,
    SUM4,
  ],
  ["Linux cooked", 113, "0000 0001 0006 020000000001 0000 0800", IP4],
  ["Linux cooked, IPv6", 113, "0004 0304 0000 000000000000 0000 86dd", IP6],
  ["Linux cooked, a VLAN tag", 113, "0000 0001 0006 020000000001 0000 8100 0064 0800", IP4],
  ["Linux cooked v2", 276, "0800 0000 00000002 0001 00 06 0200000000010000", IP4],
  ["Linux cooked v2, IPv6", 276, "86dd 0000 00000002 0304 04 00 0000000000000000", IP6],
  ["NFLOG", 239, "02 00 0000 0800 0100 08000100 0500 0a00 41000000 2c00 0900", IP4],
  ["NFLOG of a big-endian host, IPv6", 239, "0a 00 0000 0008 0001 08000100 0044 0009", IP6],
  ["PKTAP", 258, `6c000000 01000000 01000000 ${"00".repeat(96)} ${MACS} 0800`, IP4],
  ["PKTAP of a tunnel", 258, `6c000000 01000000 0c000000 ${"00".repeat(96)}`, IP6],
  ["PPI", 192, `0000 0c00 01000000 00000000 ${MACS} 86dd`, IP6],
  [
    "radiotap, QoS",
    127,
    `0000 0800 00000000 8801 0000 ${MACS} 020000000003 0000 0000 aaaa03 000000 0800`,
    IP4,
  ],
  ["IEEE 802.11", 105, `0801 0000 ${MACS} 020000000003 0000 aaaa03 000000 86dd`, IP6],
  ["IEEE 802.11, between two access points", 105, `0803 0000 ${MACS} ${MACS} 0000 aaaa03 000000 0800`, IP4],
  ["Prism", 119, `00000044 ${"00".repeat(140)} 0801 0000 ${MACS} 020000000003 0000 aaaa03 000000 0800`, IP4],
  ["AVS", 163, `80211001 0000000c 00000000 0801 0000 ${MACS} 020000000003 0000 aaaa03 000000 0800`, IP4],
  [
    "AVS under the type of Prism",
    119,
    `80211001 00000008 0801 0000 ${MACS} 020000000003 0000 aaaa03 000000 0800`,
    IP4,
  ],
  ["PFLOG", 117, `3d 02 00 00 ${"00".repeat(60)}`, IP4],
  ["ENC", 109, "02000000 00000001 00000000", IP4],
  ["IPNET", 226, `01 1a 0000 ${"00".repeat(20)}`, IP6],
  ["MPLS alone", 219, "00010140", IP4],
  ["PPP of pppd", 166, "01 ff03 0021", IP4],
  ["PPP with a direction", 204, "00 0057", IP6],
  ["Cisco HDLC with a direction", 205, "00 0f00 0800", IP4],
  ["Cisco HDLC 121", 121, "0f00 86dd", IP6],
  ["frame relay", 107, "1841 03 cc", IP4],
  ["frame relay, SNAP", 107, "1841 03 00 80 000000 86dd", IP6],
  ["frame relay with a direction", 206, "00 1841 03 8e", IP6],
  ["ATM", 100, "aaaa03 000000 0800", IP4],
  ["ATM 11", 11, "aaaa03 000000 86dd", IP6],
  ["FDDI", 10, `50 ${MACS} aaaa03 000000 0800`, IP4],
  ["IP over InfiniBand", 242, `${"00".repeat(40)} 0800 0000`, IP4],
  ["netANALYZER", 240, `00000000 ${MACS} 0800`, IP4],
  ["netANALYZER, transparent", 241, `00000000 55555555555555d5 ${MACS} 0800`, IP4],
  ["mPackets", 274, `55555555555555d5 ${MACS} 86dd`, IP6],
  ["a switch's tag (Broadcom)", 281, `${MACS} 00000001 0800`, IP4],
  ["a switch's tag in front (Broadcom)", 282, `00000001 ${MACS} 86dd`, IP6],
  ["a switch's tag (DSA)", 283, `${MACS} c0080000 0800`, IP4],
  ["a switch's tag (EDSA)", 284, `${MACS} dada0000 c0080000 86dd`, IP6],
  ["raw 12", 12, "", IP4],
  ["raw 14", 14, "", IP6],
  ["raw 101", 101, "", IP6],
  ["IPv4", 228, "", IP4],
  ["IPv6", 229, "", IP6],
  ["loopback, little-endian", 0, "02000000", IP4],
  ["loopback, big-endian", 0, "00000002", IP4],
  ["loopback, macOS's IPv6", 0, "1e000000", IP6],
  ["loopback, FreeBSD's IPv6, big-endian", 0, "0000001c", IP6],
  ["loopback, NetBSD's IPv6", 0, "18000000", IP6],
  ["loopback, Linux's IPv6", 0, "0a000000", IP6],
  ["OpenBSD's loopback", 108, "00000018", IP6],
  ["OpenBSD's loopback, IPv4", 108, "00000002", IP4],
  ["PPP", 9, "0021", IP4],
  ["PPP with address and control", 9, "ff03 0057", IP6],
  ["PPP with a protocol of one byte", 9, "ff03 21", IP4],
  ["PPP with MPLS", 9, "0281 00010140", IP4],
  ["PPP in HDLC", 50, "ff03 0021", IP4],
  ["Cisco's HDLC", 50, "0f00 0800", IP4],
  ["Cisco's HDLC by its own type, IPv6", 104, "8f00 86dd", IP6],
  ["PPPoE alone", 51, "1100 0001 0016 0021", IP4],
];

test.each(IS_IP)("%s", (_, linkType, header, packet) => {
  const { view, at, end, ip } = placed(header, packet);
  expect(networkLayer(view, at, end, linkType)).toBe(ip);
  expect(isKnownLink(linkType)).toBe(true);
});

test.each(IS_IP)("%s, cut anywhere before its IP header", (_, linkType, header, packet) => {
  const { view, at, ip } = placed(header, packet);
  for (let end = at; end <= ip; end++) expect(networkLayer(view, at, end, linkType)).toBe(-1);
});

test.each([
  ["ARP", 1, `${MACS} 0806`],
  ["an 802.3 length", 1, `${MACS} 0026`],
  ["IPv6 announced as IPv4", 1, `${MACS} 86dd`],
  ["LLC that is no SNAP", 1, `${MACS} 0026 424203`],
  ["SNAP of an organization", 1, `${MACS} 0026 aaaa03 00000c 0800`],
  ["SNAP of an older length", 1, `${MACS} 0026 aaaa03 000000 0026`],
  ["MACsec that encrypts", 1, `${MACS} 88e5 0c00 00000001 0800`],
  ["NSH of an unknown version", 1, `${MACS} 894f 4fc2 0201 000001ff`],
  ["NSH that is too short", 1, `${MACS} 894f 0fc1 0201`],
  ["PPPoE discovery", 1, `${MACS} 8864 1109 0000 0016 0021`],
  ["PPP's LCP", 9, "ff03 c021"],
  ["a loopback family that is not IP", 0, "07000000"],
  ["an unknown link type", 147, ""],
  ["IEEE 802.11, encrypted", 105, `0841 0000 ${MACS} 020000000003 0000 aaaa03 000000 0800`],
  ["IEEE 802.11, a beacon", 105, `8000 0000 ${MACS} 020000000003 0000 aaaa03 000000 0800`],
  ["NFLOG with a field of no length", 239, "02 00 0000 0000 0900"],
  ["PKTAP in PKTAP", 258, `6c000000 01000000 02010000 ${"00".repeat(96)}`],
])("%s is not IP", (_, linkType, header) => {
  const { view, at, end } = placed(header, IP4);
  expect(networkLayer(view, at, end, linkType)).toBe(-1);
});

test("isKnownLink is false for an unknown link type", () => {
  expect(isKnownLink(147)).toBe(false);
});

test.each([
  [
    "a pseudowire to a MAC address that begins as IPv4",
    1,
    `${MACS} 8847 00010140 450000000001 020000000002 0800`,
    SUM4,
  ],
  [
    "a pseudowire to a MAC address that begins as IPv6",
    1,
    `${MACS} 8847 00010140 600000000001 000000000002 86dd`,
    IP6.replace("3b40", "0640"),
  ],
])("%s", (_, linkType, header, packet) => {
  const { view, at, end, ip } = placed(header, packet);
  expect(networkLayer(view, at, end, linkType)).toBe(ip);
});

test("frames within frames are bounded", () => {
  const { view, at, end } = placed(`${MACS} 6558`.repeat(20_000) + `${MACS} 0800`, IP4);
  expect(networkLayer(view, at, end, 1)).toBe(-1);
  const headers = placed(`${MACS} 894f ${"0fc2 0204 000001ff".repeat(20_000)}`, IP4);
  expect(networkLayer(headers.view, headers.at, headers.end, 1)).toBe(-1);
});
