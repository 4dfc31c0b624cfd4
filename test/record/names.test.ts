/** The names of the files that a record is made of. */
import { describe, expect, test } from "bun:test";
import { nameOf, textOf, unknownConversion } from "../../src/record/names.ts";

const TIME = new Date(2026, 10, 3, 4, 5, 6);
const ONE = { rotates: false, compressed: false };
const MANY = { rotates: true, compressed: false };

test.each([
  ["cap.pcapng", ONE, 1, "cap.pcapng"],
  ["cap", ONE, 1, "cap"],
  ["/a.b/cap", ONE, 1, "/a.b/cap"],
  ["cap.pcapng", { rotates: false, compressed: true }, 1, "cap.pcapng.zst"],
  ["cap.pcapng.zst", { rotates: false, compressed: true }, 1, "cap.pcapng.zst"],
  ["cap.pcapng", MANY, 1, "cap-0001.pcapng"],
  ["cap.pcapng", MANY, 12345, "cap-12345.pcapng"],
  ["/a.b/cap", MANY, 2, "/a.b/cap-0002.pcapng"],
  ["a/.hidden", MANY, 2, "a/.hidden-0002.pcapng"],
  ["cap.pcapng", { rotates: true, compressed: true }, 3, "cap-0003.pcapng.zst"],
  ["cap.pcapng.zst", { rotates: true, compressed: true }, 3, "cap-0003.pcapng.zst"],
  ["cap-%F-%H%M%S.pcapng", MANY, 1, "cap-2026-11-03-040506.pcapng"],
  ["cap-%F-%H%M%S.pcapng", MANY, 2, "cap-2026-11-03-040506-0002.pcapng"],
  ["cap-%F.pcapng", ONE, 1, "cap-2026-11-03.pcapng"],
])("%s %j %d is %s", (path, how, number, name) => {
  expect(nameOf({ path, ...how }, TIME, number)).toBe(name);
});

describe("conversions", () => {
  test("are those of date(1)", () => {
    const format = "%Y %m %d %H %M %S %y %j %s %F %T %%";
    for (const time of [TIME, new Date(2024, 11, 31, 23, 59, 59), new Date(2025, 0, 1)]) {
      const seconds = Math.floor(time.getTime() / 1000);
      const said = Bun.spawnSync(["date", "-d", `@${seconds}`, `+${format}`])
        .stdout.toString()
        .trimEnd();
      expect(textOf(format, time)).toBe(said);
    }
  });

  test.each([
    ["cap-%Q.pcapng", "%Q"],
    ["cap%", "%"],
    ["%Y%m%%", null],
    ["cap", null],
  ])("%s: unknown is %s", (path, unknown) => {
    expect(unknownConversion(path)).toBe(unknown);
  });
});
