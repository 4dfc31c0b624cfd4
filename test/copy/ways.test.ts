/** What a look at the routes means for the way to a target; and how data planes hear of it. */
import { describe, expect, test } from "bun:test";
import { parseAddress } from "../../src/config/address.ts";
import { type Facts, type Found, judge, type KnownWay } from "../../src/copy/ways/judge.ts";
import {
  createPublishedWays,
  type PublishedWays,
  publishWays,
  WaysReader,
} from "../../src/copy/ways/published.ts";
import type { EgressConfig } from "../../src/inject/path.ts";

const bytes = (text: string) => parseAddress(text)!.bytes;
const MAC = Uint8Array.of(2, 0, 0, 0, 0, 1);
const NO_MAC = new Uint8Array(0);

const EGRESS: EgressConfig = {
  kind: "packet",
  interface: "dk0",
  ifindex: 7,
  family: 4,
  nextHop: bytes("172.29.0.3"),
  sourceMac: MAC,
  nextHopMac: MAC,
  mtu: 1500,
};
const KNOWN: KnownWay = {
  target: bytes("172.29.0.3"),
  egress: EGRESS,
  source: bytes("172.29.0.1"),
  followsSource: true,
  wasOnLink: true,
  isHeld: false,
  heldFor: 0,
};
const FOUND = { egress: EGRESS, source: KNOWN.source };
const ETH0 = { ...EGRESS, interface: "eth0", ifindex: 2, nextHop: bytes("10.0.0.254") };
const ANEW = { ...EGRESS, ifindex: 9 };

const facts = (isDefault = false, ...local: string[]): Facts => ({
  isDefault: () => isDefault,
  isLocal: (address) => local.some((one) => bytes(one).join() === address.join()),
});

describe("judge", () => {
  const cases: [string, Partial<KnownWay>, Found, Facts, ReturnType<typeof judge>][] = [
    ["nothing has changed", {}, FOUND, facts(), FOUND],
    ["no route", {}, { cause: "no route" }, facts(), { cause: "no route" }],
    [
      "the interface was made anew",
      { isHeld: true },
      { ...FOUND, egress: ANEW },
      facts(),
      { ...FOUND, egress: ANEW },
    ],
    [
      "another interface, another address",
      {},
      { egress: ETH0, source: bytes("10.0.0.1") },
      facts(),
      { egress: ETH0, source: bytes("10.0.0.1") },
    ],
    [
      "only the default route is left of the target's own network",
      {},
      { egress: ETH0, source: bytes("10.0.0.1") },
      facts(true),
      { cause: "only the default route (eth0) is left" },
    ],
    [
      "only the default route, for more than a minute",
      { isHeld: true, heldFor: 60_000 },
      { egress: ETH0, source: bytes("10.0.0.1") },
      facts(true),
      { egress: ETH0, source: bytes("10.0.0.1") },
    ],
    [
      "the target was behind a router before",
      { wasOnLink: false },
      { egress: ETH0, source: bytes("10.0.0.1") },
      facts(true),
      { egress: ETH0, source: bytes("10.0.0.1") },
    ],
    [
      "the kernel prefers another address of the interface, and the one before is still there",
      {},
      { egress: EGRESS, source: bytes("172.29.0.9") },
      facts(false, "172.29.0.1", "172.29.0.9"),
      FOUND,
    ],
    [
      "the address before is gone",
      {},
      { egress: EGRESS, source: bytes("172.29.0.9") },
      facts(false, "172.29.0.9"),
      { egress: EGRESS, source: bytes("172.29.0.9") },
    ],
    [
      "IPv6 addresses that are still checked",
      { target: bytes("fd00::2"), source: bytes("fd00::1") },
      { egress: EGRESS, source: bytes("fe80::1") },
      facts(),
      { cause: "dk0 has no address yet to send from" },
    ],
    [
      "a link-local target",
      { target: bytes("fe80::2"), source: bytes("fd00::1") },
      { egress: EGRESS, source: bytes("fe80::1") },
      facts(),
      { egress: EGRESS, source: bytes("fe80::1") },
    ],
    [
      "a pool: the address towards the target does not matter",
      { followsSource: false, source: bytes("fd00::1") },
      { egress: EGRESS, source: bytes("fe80::1") },
      facts(),
      { egress: EGRESS, source: bytes("fe80::1") },
    ],
    [
      "the next hop has become silent: it may be asleep",
      {},
      { ...FOUND, egress: { ...EGRESS, nextHopMac: NO_MAC } },
      facts(),
      FOUND,
    ],
    [
      "on the interface that was made anew nobody answers yet",
      {},
      { ...FOUND, egress: { ...ANEW, nextHopMac: NO_MAC } },
      facts(),
      {
        cause: "172.29.0.3 on dk0 does not answer ARP",
        asks: { ...ANEW, nextHopMac: NO_MAC },
      },
    ],
    [
      "the user gave the MAC address",
      { isHeld: true },
      { ...FOUND, egress: { ...ANEW, hasFixedMac: true } },
      facts(),
      { ...FOUND, egress: { ...ANEW, hasFixedMac: true } },
    ],
    [
      "a tunnel needs no MAC address",
      { isHeld: true },
      { ...FOUND, egress: { ...ANEW, kind: "raw", nextHopMac: NO_MAC } },
      facts(),
      { ...FOUND, egress: { ...ANEW, kind: "raw", nextHopMac: NO_MAC } },
    ],
  ];
  test.each(cases)("%s", (_, known, found, given, expected) => {
    expect(judge({ ...KNOWN, ...known }, found, given)).toEqual(expected);
  });
});

describe("published ways", () => {
  const ways = (egress: number, source: Uint8Array | null): PublishedWays => ({
    egresses: [{ config: EGRESS, epoch: egress }],
    ways: [{ egress, source, isHeld: source === null }],
  });

  test("are read as they were written, the latest only", () => {
    const memory = createPublishedWays(1);
    const reader = new WaysReader(memory);
    expect([reader.hasNews, reader.version]).toEqual([false, 0]);
    expect(publishWays(memory, ways(0, null))).toBe(1);
    expect(publishWays(memory, ways(1, KNOWN.source))).toBe(2);
    expect(reader.hasNews).toBe(true);
    expect(reader.read()).toEqual(ways(1, KNOWN.source));
    expect([reader.hasNews, reader.version]).toEqual([false, 2]);
    publishWays(memory, ways(3, null));
    expect(reader.read()).toEqual(ways(3, null));
  });

  test("have room, with the longest addresses and names", () => {
    const count = 200;
    const config = {
      ...EGRESS,
      family: 6 as const,
      interface: "i".repeat(15),
      nextHop: new Uint8Array(16),
      isBound: true,
      hasFixedMac: true,
    };
    const all: PublishedWays = {
      egresses: Array.from({ length: count }, () => ({ config, epoch: 2 ** 30 })),
      ways: Array.from({ length: count }, () => ({ egress: 1e6, source: new Uint8Array(16), isHeld: true })),
    };
    const memory = createPublishedWays(count);
    publishWays(memory, all);
    expect(new WaysReader(memory).read()).toEqual(all);
  });
});
