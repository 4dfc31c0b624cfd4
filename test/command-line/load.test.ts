/** Options from the command line, the environment and a file: which one counts, and what is said of the others. */
import { afterAll, expect, test } from "bun:test";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { COPY } from "../../src/command-line/copy.ts";
import { DOCTOR } from "../../src/command-line/doctor.ts";
import { INTERCEPT } from "../../src/command-line/intercept.ts";
import { load, loadRuns, readingWith } from "../../src/command-line/reading/load.ts";
import { parseCopy } from "../../src/copy/options.ts";
import { failing } from "../config/failing.ts";

const directory = mkdtempSync(join(tmpdir(), "xcopy-load-"));
afterAll(() => rmSync(directory, { recursive: true }));

/** Writes shop.toml; returns the words that name it. */
function file(text: string, mode = 0o600): string[] {
  const path = join(directory, "shop.toml");
  writeFileSync(path, text);
  chmodSync(path, mode);
  return ["--config", "shop.toml"];
}

const values = (words: string[], environment = {}) => {
  const { config: _, ...others } = Object.fromEntries(load(COPY, words, environment, directory));
  return others;
};

test("the command line goes before the environment, and that before the file", () => {
  const words = file('[copy]\nmemory = 100\nmtu = 1400\ndrain = 5\ntransfer = ["80-a", "81-a"]\njson = true');
  const environment = { XCOPY_MEMORY: "200", XCOPY_MTU: "1300", XCOPY_TRANSFER: "82-a,83-a" };
  expect(values([...words, "-m", "300", "-x", "84-a"], environment)).toEqual({
    memory: ["300"],
    mtu: ["1300"],
    drain: ["5"],
    transfer: ["84-a"],
    json: [""],
  });
  expect(values(words, environment).transfer).toEqual(["82-a,83-a"]);
  expect(values(words).transfer).toEqual(["80-a", "81-a"]);
  expect(values([], environment).memory).toEqual(["200"]);
});

test.each([
  [["--no-json"], {}, undefined],
  [[], { XCOPY_JSON: "no" }, undefined],
  [["--json"], { XCOPY_JSON: "0" }, [""]],
  [["--no-json"], { XCOPY_JSON: "1" }, undefined],
  [["--no-json", "--json"], {}, [""]],
  [["--json", "--no-json"], {}, undefined],
  [[], { XCOPY_JSON: "" }, [""]],
])("json = true with %j and %j is %j", (words, environment, expected) => {
  expect(values([...file("[copy]\njson = true"), ...words], environment).json).toEqual(expected!);
});

test.each([
  ["XCOPY_COMPARE", "yes", { compare: ["heads"] }],
  ["XCOPY_COMPARE", "body", { compare: ["body"] }],
  ["XCOPY_FORCE", "TRUE", { force: [""] }],
  ["XCOPY_MAX_SESSIONS", "7", { "max-sessions": ["7"] }],
  ["XCOPY_KEY", "c2VjcmV0", {}],
  ["XCOPY_TEST_SEED", "1", {}],
  // Kubernetes says where the service xcopy is.
  ["XCOPY_PORT", "tcp://10.0.0.1:36524", {}],
  ["XCOPY_SERVICE_PORT_HTTP", "80", {}],
  // Options of other commands.
  ["XCOPY_LINGER", "5", {}],
])("%s=%s", (variable, text, expected) => {
  const { runs, warnings } = loadRuns(COPY, [], { [variable]: text });
  expect(Object.fromEntries(runs[0]!.args)).toEqual(expected);
  expect(warnings).toEqual([]);
});

test.each([
  ["XCOPY_TRASNFER", "did you mean XCOPY_TRANSFER?"],
  ["XCOPY_COLOUR_OF_THE_LOG", "unset it."],
])("%s is warned of", (variable, fix) => {
  const { warnings } = loadRuns(COPY, [], { [variable]: "a" });
  expect(warnings).toEqual([
    `${variable} in the environment is no option of xcopy, and has no effect: ${fix}`,
  ]);
});

test("a variable of a switch takes no other text", () => {
  expect(failing(() => load(COPY, [], { XCOPY_JSON: "maybe" }))).toEqual({
    message: 'Cannot use XCOPY_JSON "maybe": --json takes 1, true, yes, 0, false or no',
    fix: "Give 1, true, yes, 0, false or no.",
    exitCode: 2,
  });
});

test("tables with a name are runs of their own, with the options above them as defaults", () => {
  const words = file(
    '[copy]\nmemory = 100\njson = true\n[copy.shop]\ntransfer = "80-a"\n[copy.search]\ntransfer = "90-a"\nmemory = 50\njson = false',
  );
  const { runs } = loadRuns(COPY, words, {}, directory);
  const config = ["shop.toml"];
  expect(runs.map(({ name, args }) => [name, Object.fromEntries(args)])).toEqual([
    ["shop", { config, only: ["shop"], memory: ["100"], json: [""], transfer: ["80-a"] }],
    ["search", { config, only: ["search"], memory: ["50"], transfer: ["90-a"] }],
  ]);
  expect(values([...words, "--only", "search"]).memory).toEqual(["50"]);
  expect(failing(() => values(words))).toMatchObject({
    message: 'Cannot run "copy" for "shop.toml": it has 2 tables below [copy]',
    fix: "Name one of them with --only: shop, search.",
  });
  expect(failing(() => values([...words, "--only", "shops"]))).toMatchObject({
    message: 'Cannot use --only "shops": shop.toml has no [copy.shops]',
    fix: "There are: shop, search.",
  });
});

test("paths in a file are relative to it; values that may be interfaces are not paths", () => {
  const words = file(
    '[copy]\nlog = "log/a.log"\nkey-file = "/etc/key"\nreport = ["a.html"]\ninput = "eth0,./a.pcap"',
  );
  expect(values(words)).toEqual({
    log: [join(directory, "log/a.log")],
    "key-file": ["/etc/key"],
    report: [join(directory, "a.html")],
    input: [`eth0,${join(directory, "a.pcap")}`],
  });
  expect(values([...words, "-l", "b.log"]).log).toEqual(["b.log"]);
});

test("doctor reads the options of the copy, and reports as its own command line says", () => {
  const words = file('[copy]\njson = true\ntransfer = "80-a"');
  expect(load(DOCTOR, words, {}, directory).has("json")).toBe(false);
  expect(load(DOCTOR, [...words, "--json"], {}, directory).has("json")).toBe(true);
});

test("a file with passwords must not be open to others", () => {
  const secret = '[copy]\ntransfer = "3306-a"\nuser = "app@secret"';
  const message =
    'Cannot use "shop.toml", which has passwords ("user"): other users than its owner may read or change it';
  expect(failing(() => values(file(secret, 0o644))).message).toBe(`${message} (mode 644)`);
  expect(failing(() => values(file(secret, 0o660))).message).toBe(`${message} (mode 660)`);
  expect(values(file(secret, 0o640)).user).toEqual(["app@secret"]);
  expect(values(file("[copy]\nmemory = 50", 0o644)).memory).toEqual(["50"]);
});

test.each([
  [
    ["--config", "gone.toml"],
    'Cannot read --config "gone.toml": ENOENT: no such file or directory',
    "Name a file that can be read.",
  ],
  [
    ["--config", "."],
    'Cannot read --config ".": EISDIR: illegal operation on a directory',
    "Name a file with options in TOML.",
  ],
  [["--only", "shop"], 'Cannot use --only "shop": there is no --config', "Name the file with --config."],
])("%j is refused", (words, message, fix) => {
  expect(failing(() => values(words))).toEqual({ message, fix, exitCode: 2 });
});

test("a file for another command is refused", () => {
  const words = file('[intercept]\nservice = ":80"');
  expect(failing(() => values(words))).toMatchObject({
    message: 'Cannot use --config "shop.toml": it has no table [copy]',
    fix: "It has [intercept]: add [copy].",
  });
  expect(load(INTERCEPT, words, {}, directory).get("service")).toEqual([":80"]);
});

test("the first of several errors is thrown, and that there are more", () => {
  expect(failing(() => values(file("[copy]\nmemroy = 1\nmut = 2")))).toEqual({
    message: 'Cannot use shop.toml:2:1 "memroy": there is no such option',
    fix: 'Did you mean "memory"? "xcopy copy --help" lists all options. There is more: "xcopy config check shop.toml" lists all.',
    exitCode: 2,
  });
});

/** What reading the values says, of a file with one service and these lines. */
function mistakeIn(lines: string, words: string[] = [], environment = {}): string {
  const args = load(COPY, [...file(`[copy]\n${lines}`), ...words], environment, directory);
  return failing(() => readingWith(COPY, args, parseCopy)).message;
}

test.each([
  ['transfer = "80"', 'shop.toml:2:12 transfer "80": there is no target in it'],
  [
    'transfer = [\n  "80-10.0.0.2,81-10.0.0.2",\n  "82-10.0.0.2,83-10.0"]',
    'shop.toml:4:3 transfer "83-10.0": "10.0" is neither an address nor a name',
  ],
  ['transfer = "80-10.0.0.2"\nmemory = 1', 'shop.toml:3:10 memory "1": not a whole number from 16 to 65536'],
  ['transfer = "80-10.0.0.2"\npace = "slow"', 'shop.toml:3:8 pace "slow": no such pace'],
  [
    'transfer = "80-10.0.0.2"\nno-wait = true\npace = "fast"',
    'shop.toml:4:8 pace "fast": with --no-wait requests do not wait for responses',
  ],
  [
    'transfer = "80-10.0.0.2"\njitter = 5',
    'shop.toml:3:10 jitter "5": it spreads the copies of a connection, and without --replicas there is only one',
  ],
  ['transfer = "80-10.0.0.2"\nnoise = "10.0.0.3"', 'shop.toml:3:9 noise "10.0.0.3": nothing is compared'],
])("%j is named by its place", (lines, message) => {
  expect(mistakeIn(lines)).toBe(`Cannot use ${message}`);
});

test("a value of the environment is named by its variable, one of the command line as it is written", () => {
  const transfer = 'transfer = "80-10.0.0.2"';
  expect(mistakeIn(transfer, [], { XCOPY_MEMORY: "1" })).toStartWith('Cannot use XCOPY_MEMORY "1": not a');
  expect(mistakeIn(transfer, ["-m", "1"], { XCOPY_MEMORY: "2" })).toStartWith('Cannot use -m "1": not a');
});
