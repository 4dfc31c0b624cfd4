/** What the kernel counts of dropped packets. */
import { expect, test } from "bun:test";
import { droppedSince, parseDropped, readDropped } from "../../src/native/facts/dropped.ts";

test("the counters are found by their names", () => {
  const text = `TcpExt: SyncookiesSent ListenOverflows ListenDrops IPReversePathFilter
TcpExt: 1 2 3 4
IpExt: InNoRoutes ListenDrops
IpExt: 5 6
`;
  expect(parseDropped(text)).toEqual({ reversePath: 4, listen: 2 });
  expect(parseDropped("")).toBeNull();
  expect(parseDropped("TcpExt: ListenOverflows\nTcpExt: 3\n")).toBeNull();
});

test("this kernel has them", () => {
  const now = readDropped()!;
  expect(
    droppedSince({ reversePath: now.reversePath - 2, listen: now.listen })!.reversePath,
  ).toBeGreaterThanOrEqual(2);
});
