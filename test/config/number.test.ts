/** Numbers as users write them. */
import { expect, test } from "bun:test";
import { parseDecimal, parseMark, parseWhole } from "../../src/config/number.ts";
import { failing, returnsOrFails } from "./failing.ts";
import { fc } from "./seed.ts";

const MTU = { first: 576, last: 65535, unit: "bytes" };

test.each([
  ["576", 576],
  ["65535", 65535],
  ["0001500", 1500],
])("-M %s is taken", (text, value) => {
  expect(parseWhole("-M", text, MTU)).toBe(value);
});

test.each([
  "",
  "575",
  "65536",
  "1500x",
  "x1500",
  "1500.0",
  "1e3",
  "0x600",
  "-600",
  "+600",
  " 600",
  "600 ",
  "Infinity",
  "NaN",
  "9".repeat(400),
])('-M "%s" is refused', (text) => {
  expect(failing(() => parseWhole("-M", text, MTU))).toEqual({
    message: `Cannot use -M "${text}": not a whole number from 576 to 65535`,
    fix: "Give a whole number from 576 to 65535 bytes.",
    exitCode: 2,
  });
});

test.each([
  ["0", 0],
  ["2.5", 2.5],
  ["3600", 3600],
])("--drain %s is taken", (text, value) => {
  expect(parseDecimal("--drain", text, { first: 0, last: 3600 })).toBe(value);
});

test.each([".5", "5.", "3600.1", "1e2", "-1", "2,5"])('--drain "%s" is refused', (text) => {
  const { message } = failing(() => parseDecimal("--drain", text, { first: 0, last: 3600 }));
  expect(message).toBe(`Cannot use --drain "${text}": not a number from 0 to 3600`);
});

test.each([
  ["1", 1],
  ["0x78637079", 0x78637079],
  ["0XFFFFFFFF", 0xffffffff],
])("--mark %s is taken", (text, value) => {
  expect(parseMark("--mark", text)).toBe(value);
});

test.each(["0", "0x0", "0x100000000", "4294967296", "0x", "mark"])('--mark "%s" is refused', (text) => {
  expect(failing(() => parseMark("--mark", text)).message).toBe(
    `Cannot use --mark "${text}": not a number from 1 to 0xffffffff`,
  );
});

test("any text gives a number in the range or a Failure", () => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.double().map(String), fc.integer().map(String)), (text) => {
      expect(returnsOrFails(() => expect(parseWhole("-M", text, MTU)).toBeWithin(576, 65536))).toBe(true);
      expect(returnsOrFails(() => expect(parseMark("--mark", text)).toBeGreaterThan(0))).toBe(true);
    }),
  );
});
