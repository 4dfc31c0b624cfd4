import { describe, expect, test } from "bun:test";
import { parseArguments } from "../../src/config/arguments.ts";
import { COPY, parseCopy } from "../../src/config/copy.ts";
import { failing } from "./failing.ts";

const parse = (...args: string[]) => parseCopy(parseArguments(COPY, ["-x", "80-10.0.0.2", ...args]));

test("what is not given has its default", () => {
  const { transfers, ...rest } = parse();
  expect(transfers.map(({ label }) => label)).toEqual(["80-10.0.0.2"]);
  expect(rest).toEqual({
    pool: [],
    interfaces: [],
    memory: 256 << 20,
    mtu: null,
    timeout: 600,
    maxSessions: 262144,
    ports: null,
    drain: 2,
    json: false,
    statsInterval: null,
    log: null,
    dryRun: false,
    force: false,
    hook: "auto",
    mark: 0x78637079,
  });
});

test("what is given is taken", () => {
  const args =
    "-x 81-10.0.0.3 -c 10.1.0.1 -c 10.1.0.2 -i lo -i eth0 -m 2048 -M 1400 -t 120 --max-sessions 1000";
  const more =
    "--ports 20000-29999 --drain 0.5 --json --stats-interval 0.1 -l /x --dry-run --force --capture clsact --mark 7";
  const { transfers, pool, ...rest } = parse(...args.split(" "), ...more.split(" "));
  expect(transfers.map(({ label }) => label)).toEqual(["80-10.0.0.2", "81-10.0.0.3"]);
  expect(pool.map(({ bytes }) => [...bytes])).toEqual([
    [10, 1, 0, 1],
    [10, 1, 0, 2],
  ]);
  expect(rest).toEqual({
    interfaces: ["lo", "eth0"],
    memory: 2048 * 1048576,
    mtu: 1400,
    timeout: 120,
    maxSessions: 1000,
    ports: [20000, 29999],
    drain: 0.5,
    json: true,
    statsInterval: 0.1,
    log: "/x",
    dryRun: true,
    force: true,
    hook: "clsact",
    mark: 7,
  });
});

describe("numbers out of range", () => {
  test.each([
    ["-m", "15", "not a whole number from 16 to 65536"],
    ["-m", "65537", "not a whole number from 16 to 65536"],
    ["-M", "575", "not a whole number from 576 to 65535"],
    ["-t", "0", "not a whole number from 1 to 86400"],
    ["-t", "10s", "not a whole number from 1 to 86400"],
    ["--max-sessions", "0", "not a whole number from 1 to 16777216"],
    ["--drain", "3601", "not a number from 0 to 3600"],
    ["--stats-interval", "0", "not a number from 0.1 to 86400"],
    ["--mark", "0", "not a number from 1 to 0xffffffff"],
    ["--capture", "xdp", "no such hook"],
    ["--ports", "1", "not a range of two ports"],
  ])("%s %s: %s", (option, value, cause) => {
    expect(failing(() => parse(option, value))).toMatchObject({
      message: `Cannot use ${option} "${value}": ${cause}`,
      exitCode: 2,
    });
  });
});

test("every letter of tcpcopy 1.x is an option or is refused with a reason", () => {
  for (const letter of "xHciaITFBSonfmMDRUCstkrpPOgWLdlvh") {
    const known = Object.values(COPY.groups)
      .flat()
      .some(({ short }) => short === letter);
    expect([letter, known || "vh".includes(letter) || letter in COPY.refused!]).toEqual([letter, true]);
  }
});

test("no letter is both an option and refused", () => {
  const letters = Object.values(COPY.groups)
    .flat()
    .flatMap(({ short }) => short ?? []);
  expect(letters.filter((letter) => letter in COPY.refused!)).toEqual([]);
});
