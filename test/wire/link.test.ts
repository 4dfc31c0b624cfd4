/** From a captured frame to the IP packet in it. */
import { describe, expect, test } from "bun:test";
import { isKnownLink, networkLayer } from "../../src/wire/link.ts";
import { innerIp } from "../../src/wire/tunnel.ts";

/** Bytes as hexadecimal digits, spaces as one likes. */
function hex(text: string): Uint8Array {
  return Uint8Array.from(Buffer.from(text.replaceAll(" ", ""), "hex"));
}

const IP4 = "45000014 00010000 40060000 0a000001 0a000002";
const IP6 = "60000000 00003b40 fd000000 00000000 00000000 00000001 fd000000 00000000 00000000 00000002";
const MACS = "020000000001 020000000002";

/** In a buffer with other bytes around it, so that an offset that is not added shows. */
function placed(header: string, ip: string): { view: DataView; at: number; end: number; ip: number } {
  const frame = hex(header + ip);
  const bytes = new Uint8Array(new ArrayBuffer(frame.length + 16)).fill(0x45);
  bytes.set(frame, 5);
  return { view: new DataView(bytes.buffer), at: 5, end: 5 + frame.length, ip: 5 + hex(header).length };
}

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
  ["Linux cooked", 113, "0000 0001 0006 020000000001 0000 0800", IP4],
  ["Linux cooked, IPv6", 113, "0004 0304 0000 000000000000 0000 86dd", IP6],
  ["Linux cooked, a VLAN tag", 113, "0000 0001 0006 020000000001 0000 8100 0064 0800", IP4],
  ["Linux cooked v2", 276, "0800 0000 00000002 0001 00 06 0200000000010000", IP4],
  ["Linux cooked v2, IPv6", 276, "86dd 0000 00000002 0304 04 00 0000000000000000", IP6],
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
  ["PPPoE discovery", 1, `${MACS} 8864 1109 0000 0016 0021`],
  ["PPP's LCP", 9, "ff03 c021"],
  ["a loopback family that is not IP", 0, "07000000"],
  ["an unknown link type", 105, ""],
])("%s is not IP", (_, linkType, header) => {
  const { view, at, end } = placed(header, IP4);
  expect(networkLayer(view, at, end, linkType)).toBe(-1);
});

test("isKnownLink is false for an unknown link type", () => {
  expect(isKnownLink(105)).toBe(false);
});

const GRE = 47;
const UDP = 17;
const ETHERNET = `${MACS} 0800`;

describe("tunnels", () => {
  const tunnels: [string, number, string, string][] = [
    ["GRE", GRE, "0000 0800", IP4],
    ["GRE, IPv6", GRE, "0000 86dd", IP6],
    ["GRE with checksum", GRE, "8000 0800 12340000", IP4],
    ["GRE with key", GRE, "2000 0800 00000001", IP4],
    ["GRE with sequence", GRE, "1000 86dd 00000001", IP6],
    ["GRE with all", GRE, "b000 0800 12340000 00000001 00000002", IP4],
    ["GRE with Ethernet", GRE, `2000 6558 00000001 ${ETHERNET}`, IP4],
    ["GRE with tagged Ethernet", GRE, `0000 6558 ${MACS} 8100 0005 0800`, IP4],
    ["ERSPAN type I", GRE, `0000 88be ${ETHERNET}`, IP4],
    ["ERSPAN type II", GRE, `1000 88be 00000001 10010000 00000000 ${ETHERNET}`, IP4],
    ["ERSPAN type III", GRE, `1000 22eb 00000001 20010000 00000000 00000000 ${ETHERNET}`, IP4],
    [
      "ERSPAN type III with a subheader",
      GRE,
      `1000 22eb 00000001 20010000 00000000 00000001 0000000000000000 ${MACS} 86dd`,
      IP6,
    ],
    ["VXLAN", UDP, `d000 12b5 003a 0000 08000000 00002a00 ${ETHERNET}`, IP4],
    ["VXLAN on Linux's old port", UDP, `d000 2118 0056 0000 08000000 00002a00 ${MACS} 8100 0001 86dd`, IP6],
  ];

  test.each(tunnels)("%s", (_, protocol, header, packet) => {
    const { view, at, end, ip } = placed(header, packet);
    expect(innerIp(view, protocol, at, end)).toBe(ip);
  });

  test.each(tunnels)("%s, cut anywhere before the inner IP header", (_, protocol, header, packet) => {
    const { view, at, ip } = placed(header, packet);
    for (let end = at; end <= ip; end++) expect(innerIp(view, protocol, at, end)).toBe(-1);
  });

  test.each([
    ["PPTP", GRE, "3001 880b 00000000 00000000 00000000"],
    ["GRE with routing", GRE, "4000 0800 00000000"],
    ["GRE with something else", GRE, "0000 0806"],
    ["ERSPAN of an unknown version", GRE, `1000 88be 00000001 30010000 00000000 ${ETHERNET}`],
    ["VXLAN without an identifier", UDP, `d000 12b5 003a 0000 00000000 00002a00 ${ETHERNET}`],
    ["UDP to another port", UDP, `d000 0035 003a 0000 08000000 00002a00 ${ETHERNET}`],
    ["TCP", 6, "0000 0800"],
  ])("%s is not a known tunnel", (_, protocol, header) => {
    const { view, at, end } = placed(header, IP4);
    expect(innerIp(view, protocol, at, end)).toBe(-1);
  });
});
