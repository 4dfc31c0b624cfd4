/** From a tunnel's packet to the IP packet in it. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { networkLayer } from "../../src/wire/link.ts";
import { innerIp } from "../../src/wire/tunnel.ts";
import { IP4, IP6, MACS, placed, SUM4 } from "./placed.ts";

const GRE = 47;
const UDP = 17;
const ETHERNET = `${MACS} 0800`;
/** With the length that it has. */
const LONG6 =
  "60000000 00080640 fd000000 00000000 00000000 00000001 fd000000 00000000 00000000 00000002 0000000000000000";

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
  ["GRE with a frame of a customer", GRE, `0000 88e7 00000007 ${ETHERNET}`, IP4],
  ["GRE with MPLS", GRE, "0000 8847 00010140", IP6],
  ["GRE with a pseudowire", GRE, `0000 8847 00010140 00000000 ${ETHERNET}`, SUM4],
  ["GRE with NSH", GRE, "0000 894f 0fc2 0202 000001ff", IP6],
  ["ERSPAN type III with IP", GRE, "1000 22eb 00000001 20010000 00000000 00000800", IP4],
  ["WCCP", GRE, "0000 883e", IP4],
  ["WCCP, second version", GRE, "0000 883e 00010203", IP4],
  ["PPTP", GRE, "3081 880b 00200001 00000005 00000004 ff03 0021", IP4],
  ["PPTP without its numbers", GRE, "2001 880b 00200001 0057", IP6],
  ["EoIP", GRE, `2001 6400 00220001 ${ETHERNET}`, IP4],
  ["IP in IP", 4, "", IP4],
  ["IPv6 in IP", 41, "", IP6],
  ["MPLS in IP", 137, "00010140", IP4],
  ["Ethernet in IP", 97, `3000 ${ETHERNET}`, IP4],
  ["Ethernet in IPv6", 143, `${MACS} 86dd`, IP6],
  ["NSH in IP", 145, "0fc2 0201 000001ff", IP4],
  ["L2TP version 3", 115, `00000009 ${ETHERNET}`, SUM4],
  ["L2TP version 3 with a sublayer", 115, `00000009 40000001 ${ETHERNET}`, SUM4],
  [
    "L2TP version 3 with a cookie and a sublayer",
    115,
    `00000009 0123456789abcdef 40000001 ${ETHERNET}`,
    SUM4,
  ],
  ["L2TP version 3 over UDP", UDP, `06a5 06a5 0000 0000 00030000 00000009 01234567 ${ETHERNET}`, SUM4],
  ["L2TP", UDP, "06a5 06a5 0000 0000 0002 00010002 ff03 0021", IP4],
  ["L2TP with all", UDP, "06a5 06a5 0000 0000 4a02 0030 00010002 00050004 0003 000000 0057", IP6],
  ["VXLAN with a group policy", UDP, `d000 12b5 0000 0000 88000007 00002a00 ${ETHERNET}`, IP4],
  ["VXLAN-GPE", UDP, "d000 12b6 0000 0000 0c000001 00002a00", IP4],
  ["VXLAN-GPE, IPv6", UDP, "d000 12b6 0000 0000 0c000002 00002a00", IP6],
  ["VXLAN-GPE with Ethernet", UDP, `d000 12b6 0000 0000 0c000003 00002a00 ${ETHERNET}`, IP4],
  ["VXLAN-GPE with NSH", UDP, `d000 12b6 0000 0000 0c000004 00002a00 0fc2 0203 000001ff ${ETHERNET}`, IP4],
  ["VXLAN-GPE with MPLS", UDP, "d000 12b6 0000 0000 0c000005 00002a00 00010140", IP6],
  ["VXLAN on the port of GPE", UDP, `d000 12b6 0000 0000 08000000 00002a00 ${ETHERNET}`, IP4],
  ["VXLAN on any port", UDP, `d000 ea60 0032 0000 08000000 00002a00 ${ETHERNET}`, SUM4],
  ["VXLAN on any port, IPv6", UDP, `d000 ea60 004e 0000 08000000 00002a00 ${MACS} 86dd`, LONG6],
  ["VXLAN on any port with padding", UDP, `d000 ea60 0060 0000 08000000 00002a00 ${ETHERNET}`, SUM4],
  ["GENEVE", UDP, `d000 17c1 0000 0000 00006558 00000700 ${ETHERNET}`, IP4],
  [
    "GENEVE with options",
    UDP,
    `d000 17c1 0000 0000 03406558 00000700 0102800200000000 00000000 ${ETHERNET}`,
    IP4,
  ],
  ["GENEVE with IPv6 in it", UDP, "d000 17c1 0000 0000 000086dd 00000700", IP6],
  ["GENEVE on any port", UDP, `d000 ea60 0036 0000 01006558 00000700 00000000 ${ETHERNET}`, SUM4],
  ["GTP-U", UDP, "0868 0868 0000 0000 30ff0014 00000063", IP4],
  ["GTP-U with a sequence number", UDP, "0868 0868 0000 0000 32ff0018 00000063 00010000", IP6],
  ["GTP-U with an N-PDU number", UDP, "0868 0868 0000 0000 31ff0018 00000063 00000500", IP4],
  [
    "GTP-U with extension headers",
    UDP,
    "0868 0868 0000 0000 34ff0020 00000063 00000085 01000985 02000000 00000000",
    IP4,
  ],
  ["MPLS in UDP", UDP, "d000 19eb 0000 0000 00010040 00020140", IP4],
  ["a pseudowire in UDP", UDP, `d000 19eb 0000 0000 00010140 00000001 ${ETHERNET}`, SUM4],
  ["GRE in UDP", UDP, "d000 1292 0000 0000 2000 0800 00000001", IP4],
  ["LISP", UDP, "d000 10f5 0000 0000 c0000001 00000001", IP6],
  ["TZSP", UDP, `d000 9090 0000 0000 01000001 0a0101 00 01 ${ETHERNET}`, IP4],
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
  ["PPTP's acknowledgement", GRE, "2081 880b 00000001 00000004"],
  ["GRE with routing", GRE, "4000 0800 00000000"],
  ["GRE with something else", GRE, "0000 0806"],
  ["ERSPAN of an unknown version", GRE, `1000 88be 00000001 30010000 00000000 ${ETHERNET}`],
  ["VXLAN without an identifier", UDP, `d000 12b5 003a 0000 00000000 00002a00 ${ETHERNET}`],
  ["UDP to another port", UDP, `d000 0035 003a 0000 08000000 00002a00 ${ETHERNET}`],
  ["IPv6 announced as IP in IP", 41, ""],
  ["L2TP's control over IP", 115, `00000000 ${ETHERNET}`],
  ["L2TP's control", UDP, "06a5 06a5 0000 0000 c802 0020 00010002 00050004 ff03 0021"],
  ["GTP-U's echo", UDP, "0868 0868 0000 0000 30010014 00000063"],
  ["GTP'", UDP, "0868 0868 0000 0000 20ff0014 00000063"],
  [
    "GTP-U with an extension header without length",
    UDP,
    "0868 0868 0000 0000 34ff0020 00000063 00000085 00000000",
  ],
  ["GENEVE of another version", UDP, `d000 17c1 0000 0000 40006558 00000700 ${ETHERNET}`],
  ["VXLAN-GPE with something else", UDP, "d000 12b6 0000 0000 0c000009 00002a00"],
  ["TZSP of a wireless network", UDP, `d000 9090 0000 0000 01000012 01 ${ETHERNET}`],
  ["TZSP without a frame", UDP, "d000 9090 0000 0000 01000001 0a0101"],
  ["TCP", 6, "0000 0800"],
])("%s is not a known tunnel", (_, protocol, header) => {
  const { view, at, end } = placed(header, IP4);
  expect(innerIp(view, protocol, at, end)).toBe(-1);
});

test.each([
  ["a bit that must be 0", "d000 ea60 0032 0000 08000001 00002a00", ETHERNET, SUM4],
  ["a last byte that must be 0", "d000 ea60 0032 0000 08000000 00002a01", ETHERNET, SUM4],
  ["no identifier", "d000 ea60 0032 0000 00000000 00002a00", ETHERNET, SUM4],
  [
    "a group as its frame's source",
    "d000 ea60 0032 0000 08000000 00002a00",
    "020000000001 030000000002 0800",
    SUM4,
  ],
  [
    "a wrong checksum in its IP header",
    "d000 ea60 0032 0000 08000000 00002a00",
    ETHERNET,
    SUM4.replace("66e1", "66e2"),
  ],
  ["a packet that is longer than it", "d000 ea60 0031 0000 08000000 00002a00", ETHERNET, SUM4],
  ["a packet that is much shorter", "d000 ea60 0064 0000 08000000 00002a00", ETHERNET, SUM4],
  [
    "a transport that nobody uses",
    "d000 ea60 004e 0000 08000000 00002a00",
    `${MACS} 86dd`,
    LONG6.replace("0640", "c840"),
  ],
  ["GENEVE's flags that nobody uses", "d000 ea60 0032 0000 00016558 00002a00", ETHERNET, SUM4],
])("what could be VXLAN or GENEVE on any port is none with %s", (_, header, frame, packet) => {
  const { view, at, end } = placed(header + frame, packet);
  expect(innerIp(view, UDP, at, end)).toBe(-1);
});

const PROTOCOLS = [4, UDP, 41, GRE, 97, 115, 137, 143, 145];
const PORTS = ["06a5", "0868", "10f5", "1292", "12b5", "12b6", "17c1", "19eb", "2118", "9090", "ea60"];
const LINKS = [0, 1, 9, 12, 50, 51, 101, 104, 108, 113, 228, 276];

/** Bytes, some of them such as tunnels begin with. */
const bytes = fc
  .array(
    fc.oneof(
      fc.uint8Array({ maxLength: 12 }).map((some) => Buffer.from(some).toString("hex")),
      fc.constantFrom(...tunnels.map(([, , header]) => header.replaceAll(" ", ""))),
      fc.constantFrom(
        MACS,
        "0800",
        "86dd",
        "6558",
        "8847",
        "894f",
        "88e7",
        "0fc20204",
        "00010140",
        IP4,
        SUM4,
        IP6,
      ),
    ),
    { maxLength: 12 },
  )
  .map((parts) => parts.join(""));

test("any bytes have their IP packet within them, or none", () => {
  fc.assert(
    fc.property(
      bytes,
      fc.constantFrom(...PROTOCOLS),
      fc.constantFrom(...PORTS),
      fc.nat(400),
      (text, protocol, port, cut) => {
        const { view, at, end } = placed(`d000 ${port} ${text}`, "");
        const last = Math.max(at, end - cut);
        // A view that ends there: to read on would throw.
        const inside = new DataView(view.buffer.slice(0, last));
        const found = innerIp(inside, protocol, at, last);
        expect(found === -1 || (found >= at && found < last)).toBe(true);
        for (const link of LINKS) {
          const first = networkLayer(inside, at, last, link);
          expect(first === -1 || (first >= at && first < last)).toBe(true);
        }
      },
    ),
    { numRuns: 2000 },
  );
});
