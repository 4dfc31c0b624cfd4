/** Source ports: ranges, free ones, and how workers share them. */
import { expect, test } from "bun:test";
import {
  countPorts,
  formatPorts,
  freePorts,
  type PortRange,
  parsePart,
  parsePorts,
  partOf,
  portsAtRisk,
  reservedWith,
  sharedPorts,
} from "../../src/config/ports.ts";
import { seeded } from "../support/seed.ts";
import { failing } from "./failing.ts";
import { fc } from "./seed.ts";

test.each<[string, PortRange[], string, number]>([
  ["none of them", [[20000, 29999]], "\n", 0],
  ["those that it takes its own from", [[32000, 33000]], "\n", 233],
  ["all but the reserved ones", [[40000, 41000]], "9000-9010,40000-40099,40999-42000\n", 899],
  ["none, as all are reserved", [[40000, 41000]], "40000-41000\n", 0],
])("ports that this host may take for itself: %s", (_, ports, reserved, count) => {
  expect(portsAtRisk(ports, "32768\t60999\n", reserved)).toBe(count);
});

test("ports are reserved besides those that are", () => {
  const ports: PortRange[] = [
    [20000, 20999],
    [30000, 30000],
  ];
  expect(reservedWith(ports, "\n")).toBe("20000-20999,30000");
  expect(reservedWith(ports, "9000-9010\n")).toBe("9000-9010,20000-20999,30000");
});

test("--ports is a range", () => {
  expect(parsePorts("20000-29999")).toEqual([20000, 29999]);
  expect(parsePorts("1-65535")).toEqual([1, 65535]);
  expect(parsePorts("5000-5000")).toEqual([5000, 5000]);
});

test.each([
  ["20000", "not a range of two ports"],
  ["20000-", "not a range of two ports"],
  ["a-b", "not a range of two ports"],
  ["1-2-3", "not a range of two ports"],
  ["0-100", "not ports from 1 to 65535"],
  ["100-65536", "not ports from 1 to 65535"],
  ["200-100", "the first port is above the last"],
])('--ports "%s": %s', (text, cause) => {
  expect(failing(() => parsePorts(text))).toEqual({
    message: `Cannot use --ports "${text}": ${cause}`,
    fix: 'Write it as FIRST-LAST, for example "20000-29999".',
    exitCode: 2,
  });
});

test.each([
  ["32768\t60999\n", "\n", "1024-32767, 61000-65535"],
  ["32768\t60999\n", "8080,20000-20009\n", "1024-8079, 8081-19999, 20010-32767, 61000-65535"],
  ["32768\t60999\n", "50,40000-65535\n", "1024-32767"],
  ["1024\t65535\n", "\n", ""],
  ["1\t65534\n", "\n", "65535"],
])("with the local ports %j and the reserved ones %j these are free: %s", (local, reserved, free) => {
  expect(formatPorts(freePorts(local, reserved))).toBe(free);
});

test("free and taken ports are all from 1024 up, once each", () => {
  const range = fc
    .tuple(fc.nat(65535), fc.nat(65535))
    .map(([a, b]) => [Math.min(a, b), Math.max(a, b)] as [number, number]);
  fc.assert(
    fc.property(range, fc.array(range, { maxLength: 5 }), (local, reserved) => {
      const free = freePorts(local.join("\t"), reserved.map((one) => one.join("-")).join(","));
      const isFree = (port: number) => sharedPorts(free, [[port, port]]);
      const isTaken = (port: number) =>
        [local, ...reserved].some(([first, last]) => port >= first && port <= last);
      for (const edge of [
        1023,
        1024,
        65535,
        ...[local, ...reserved].flatMap(([a, b]) => [a - 1, a, b, b + 1]),
      ]) {
        if (edge < 0 || edge > 65535) continue;
        expect(isFree(edge)).toBe(edge >= 1024 && !isTaken(edge) ? 1 : 0);
      }
    }),
  );
});

test("ports that ranges have in common are counted", () => {
  expect(sharedPorts([[1, 10]], [[5, 20]])).toBe(6);
  expect(sharedPorts([[1, 10]], [[11, 20]])).toBe(0);
  expect(
    sharedPorts(
      [
        [1, 10],
        [20, 30],
      ],
      [[10, 20]],
    ),
  ).toBe(2);
});

test.each([
  ["0", 0, 16],
  ["15", 15, 16],
  ["16", 16, 32],
  ["31", 31, 32],
  ["32", 32, 64],
  ["1023", 1023, 1024],
  ["0/2", 0, 2],
  ["1/2", 1, 2],
  ["3/1024", 3, 1024],
  ["0/1", 0, 1],
])("-f %s is part %d of %d", (text, index, count) => {
  expect(parsePart(text)).toEqual({ index, count });
});

test.each([
  ["1024", "not a whole number from 0 to 1023"],
  ["-1", "not a whole number from 0 to 1023"],
  ["a", "not a whole number from 0 to 1023"],
  ["1/2/3", "not a whole number from 0 to 1023"],
  ["/2", "not a whole number from 0 to 1023"],
  ["0/", "not 1 to 1024 parts"],
  ["0/0", "not 1 to 1024 parts"],
  ["0/1025", "not 1 to 1024 parts"],
  ["2/2", "the parts are numbered from 0 to 1"],
])('-f "%s": %s', (text, cause) => {
  expect(failing(() => parsePart(text))).toEqual({
    message: `Cannot use -f "${text}": ${cause}`,
    fix: 'Give a number from 0 to 1023, or K/N with a K below N, for example "0/2" here and "1/2" there.',
    exitCode: 2,
  });
});

test("parts go over the gaps between ranges", () => {
  const ranges: PortRange[] = [
    [10, 14],
    [20, 20],
    [30, 35],
  ];
  const parts = (count: number) =>
    Array.from({ length: count }, (_, index) => formatPorts(partOf(ranges, { index, count })));
  expect(parts(1)).toEqual(["10-14, 20, 30-35"]);
  expect(parts(2)).toEqual(["10-14, 20", "30-35"]);
  expect(parts(4)).toEqual(["10-12", "13-14, 20", "30-32", "33-35"]);
  expect(parts(5)).toEqual(["10-11", "12-13", "14, 20, 30", "31-32", "33-35"]);
});

test("every port is in exactly one part, and parts are equal but for one port", () => {
  const ranges = fc.uniqueArray(fc.nat(65535), { minLength: 2, maxLength: 12 }).map((edges) => {
    const sorted = edges.toSorted((a, b) => a - b).slice(edges.length % 2);
    return sorted.flatMap((edge, at): PortRange[] => (at % 2 ? [[sorted[at - 1]!, edge]] : []));
  });
  fc.assert(
    fc.property(ranges, fc.integer({ min: 1, max: 1024 }), (ranges, count) => {
      const owners = new Uint8Array(65536);
      const sizes: number[] = [];
      for (let index = 0; index < count; index++) {
        const part = partOf(ranges, { index, count });
        sizes.push(countPorts(part));
        for (const [first, last] of part) for (let port = first; port <= last; port++) owners[port]!++;
      }
      for (const [first, last] of ranges) {
        expect(owners.subarray(first, last + 1).every((times) => times === 1)).toBe(true);
      }
      expect(sizes.reduce((sum, size) => sum + size)).toBe(countPorts(ranges));
      expect(Math.max(...sizes) - Math.min(...sizes)).toBeLessThanOrEqual(1);
    }),
    seeded(100),
  );
});
