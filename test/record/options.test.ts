/** The options of `xcopy record`: values and errors. */
import { describe, expect, test } from "bun:test";
import { parseArguments } from "../../src/command-line/reading/arguments.ts";
import { RECORD } from "../../src/command-line/record.ts";
import { parseSize, parseTime } from "../../src/config/size.ts";
import { parseRecord } from "../../src/record/options.ts";
import { makeRecordPlan } from "../../src/record/plan.ts";
import {
  filterText,
  formatRecordedService,
  parseRecordedServices,
  resolveRecordedServices,
} from "../../src/record/service.ts";
import { failing, rejecting, returnsOrFails } from "../config/failing.ts";
import { fc } from "../config/seed.ts";

const options = (...words: string[]) => parseRecord(parseArguments(RECORD, words));
const lookup = async (name: string) => (name === "www" ? [{ address: "10.0.0.7" }] : []);
const resolve = (...values: string[]) => resolveRecordedServices(parseRecordedServices(values), lookup);

describe("-x", () => {
  test.each([
    ["80", ["port 80"]],
    ["10.0.0.1:80,443", ["10.0.0.1:80", "port 443"]],
    ["[2001:db8::1]:80", ["[2001:db8::1]:80"]],
    ["www:80", ["10.0.0.7:80"]],
    ["80-10.0.0.2", ["port 80"]],
    ["10.0.0.1:80-10.0.0.2:8080,443-[::1]", ["10.0.0.1:80", "port 443"]],
    ["80-10.0.0.2,80-10.0.0.3", ["port 80"]],
    ["80-10.0.0.2|10.0.0.3*2", ["port 80"]],
    ["80,10.0.0.7:80,www:80", ["port 80", "10.0.0.7:80"]],
  ])("%s", async (text, services) => {
    expect((await resolve(text)).map(formatRecordedService)).toEqual(services);
  });

  const how = 'Write it as [address:]port, for example "80", "10.0.0.1:80" or "[2001:db8::1]:80".';
  test.each([
    ["", 'Cannot use -x "": not [address:]port', how],
    ["http", 'Cannot use -x "http": not [address:]port', how],
    ["2001:db8::1:80", 'Cannot use -x "2001:db8::1:80": not [address:]port', how],
    ["8000-8010", 'Cannot use -x "8000-8010": a range of ports', 'Name each port: "8000,8010".'],
  ])('"%s" is refused', (text, message, fix) => {
    expect(failing(() => parseRecordedServices([text]))).toEqual({ message, fix, exitCode: 2 });
  });

  test.each(["70000", "0", "10.0.0.256:80", "0.0.0.0:80"])('"%s" is refused', (text) => {
    expect(failing(() => parseRecordedServices([text])).exitCode).toBe(2);
  });

  test("a name without an address is refused", async () => {
    expect((await rejecting(resolve("nobody:80"))).message).toBe(
      'Cannot use -x "nobody:80": the name "nobody" does not resolve',
    );
  });
});

test("the filter of the files is the one that captures", async () => {
  const services = await resolve("80,10.0.0.1:443");
  const requests = "tcp dst port 80 or (dst host 10.0.0.1 and tcp dst port 443)";
  expect(filterText(services, false)).toBe(requests);
  expect(filterText(await resolve("80"), true)).toBe("tcp dst port 80 or tcp src port 80");
});

describe("sizes and times", () => {
  test.each([
    ["10000", 10_000],
    ["100M", 100_000_000],
    ["1.5G", 1_500_000_000],
    ["20k", 20_000],
  ])("%s", (text, bytes) => {
    expect(parseSize("--rotate-size", text, 10_000)).toBe(bytes);
  });
  test.each(["", "M", "9999", "100MB", "-5M", "1e9", "0x10000", "100 M", "2000T"])(
    '"%s" is no size',
    (text) => {
      expect(failing(() => parseSize("--rotate-size", text, 10_000))).toMatchObject({
        message: `Cannot use --rotate-size "${text}": not a size of at least 10000 bytes`,
        exitCode: 2,
      });
    },
  );
  test.each([
    ["60", 60],
    ["60s", 60],
    ["5m", 300],
    ["1.5h", 5400],
    ["20d", 1_728_000],
  ])("%s", (text, seconds) => {
    expect(parseTime("--duration", text)).toBe(seconds);
  });
  test.each(["", "0", "0.5s", "5min", "21d", "1:00"])('"%s" is no time', (text) => {
    expect(failing(() => parseTime("--duration", text)).exitCode).toBe(2);
  });
});

test("options that are not given have a default", () => {
  expect(options("-x", "80", "-w", "cap")).toMatchObject({
    both: false,
    acks: false,
    sample: 1,
    snaplen: null,
    rotateSize: null,
    rotateTime: null,
    keep: 0,
    compress: false,
    overwrite: false,
    count: null,
    hook: "auto",
    bufferBytes: null,
    mark: 0xc0,
  });
});

test.each([
  [["-x", "80"], "Cannot record anything: no -w names a file"],
  [["-w", "cap"], "Cannot record anything: no -x names a service"],
  [
    ["-x", "80", "-w", "cap", "--keep", "3"],
    'Cannot use --keep "3": without rotation there is one file only',
  ],
  [["-x", "80", "-w", "cap", "--compress", "gzip"], 'Cannot use --compress "gzip": no such compression'],
  [
    ["-x", "80", "-w", "cap", "--snaplen", "40"],
    'Cannot use --snaplen "40": not a whole number from 64 to 65535',
  ],
  [["-x", "80", "-w", "cap", "-B", "0"], 'Cannot use -B "0": not a whole number from 1 to 4096'],
  [
    ["-x", "80", "-w", "-", "--rotate-size", "1M"],
    "Cannot use --rotate-size and --rotate-time: with -w - there is no file",
  ],
  [["-x", "80", "-w", "-", "--overwrite"], "Cannot use --overwrite: with -w - there is no file"],
  [["-x", "80", "-w", "-", "--json"], "Cannot use --json: with -w - standard output has the packets"],
])("%j is refused", (words, message) => {
  expect(failing(() => options(...words))).toMatchObject({ message, exitCode: 2 });
});

test("any words are options or a Failure of two lines", () => {
  const names = [
    "-x",
    "-w",
    "--rotate-size",
    "--rotate-time",
    "--keep",
    "-c",
    "--duration",
    "--limit-bytes",
    "-r",
  ];
  const word = fc.oneof(
    fc.constantFrom("80", "80-1", "1M", "5m", "-", "10.0.0.1:80,443", "%Y", "zstd", "0", "1e3"),
    fc.string({ maxLength: 8 }).map((text) => `x${text}`),
  );
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.constantFrom(...names), word), { maxLength: 6 }), (given) => {
      expect(returnsOrFails(() => options("-x", "80", ...given.flat().map(String)))).toBe(true);
    }),
  );
});

test("who records MySQL without its responses is told that a replay must trust the logins", async () => {
  const host = {
    lookup,
    interfaces: [{ name: "eth0", ifindex: 2, up: true, loopback: false }],
    isLocal: () => true,
    isTerminal: false,
  };
  const warnings = async (...words: string[]) =>
    (await makeRecordPlan(options("-w", "a.pcapng", "-x", ...words), host)).warnings;
  expect(await warnings("80,3306")).toEqual([expect.stringContaining("a replay needs --trust-logins")]);
  expect(await warnings("3306", "--both")).toEqual([]);
  expect(await warnings("80")).toEqual([]);
});
