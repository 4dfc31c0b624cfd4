import { expect, test } from "bun:test";
import { formatPorts, freePorts, parsePorts, sharedPorts } from "../../src/config/ports.ts";
import { failing } from "./failing.ts";
import { fc } from "./seed.ts";

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
