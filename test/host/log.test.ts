/** The log: how messages are written, and the file that is opened anew. */
import { afterAll, afterEach, describe, expect, test } from "bun:test";
import {
  closeSync,
  fstatSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { asksForJson } from "../../src/command-line/reading/logging.ts";
import { createLog, reopenLogs } from "../../src/host/log/log.ts";
import {
  forFile,
  forStderr,
  isToJournal,
  type Message,
  type Style,
  setStyle,
  styleOfProcess,
} from "../../src/host/log/style.ts";

const directory = mkdtempSync(join(tmpdir(), "xcopy-log-"));
afterAll(() => rmSync(directory, { recursive: true }));
const original = styleOfProcess();
afterEach(() => setStyle(original));

const message: Message = { level: "warning", text: "it is late\nby 2 s", time: new Date(1e12) };
const style: Style = { format: "text", isJournal: false, command: "copy" };
const json = `{"time":"2001-09-09T01:46:40.000Z","level":"warning","command":"copy","pid":${process.pid},"message":"it is late\\nby 2 s"}`;

test.each<[string, Partial<Style>, string]>([
  ["people", {}, "warning: it is late\nby 2 s"],
  ["the journal", { isJournal: true }, "<4>warning: it is late\n<4>by 2 s"],
  ["programs", { format: "json" }, json],
  ["programs that read the journal", { format: "json", isJournal: true }, `<4>${json}`],
])("a message for %s", (_, changed, expected) => {
  expect(forStderr(message, { ...style, ...changed })).toBe(expected);
});

test("each level has its priority", () => {
  const lineOf = (level: Message["level"]) =>
    forStderr({ ...message, level, text: "x" }, { ...style, isJournal: true });
  expect((["info", "warning", "error"] as const).map(lineOf)).toEqual(["<6>x", "<4>warning: x", "<3>x"]);
});

test("a message in a file has its time, on each line of text and in JSON", () => {
  expect(forFile(message, { ...style, isJournal: true })).toBe(
    "2001-09-09T01:46:40.000Z warning it is late\n2001-09-09T01:46:40.000Z warning by 2 s\n",
  );
  expect(forFile(message, { ...style, format: "json", isJournal: true })).toBe(`${json}\n`);
});

describe("the journal", () => {
  const fd = openSync(join(directory, "stream"), "a");
  const { dev, ino } = fstatSync(fd);
  afterAll(() => closeSync(fd));
  test.each<[string, Record<string, string>, boolean]>([
    ["the descriptor that the environment names", { JOURNAL_STREAM: `${dev}:${ino}` }, true],
    ["another one", { JOURNAL_STREAM: `${dev}:${ino + 1}` }, false],
    ["none, without it", {}, false],
    ["none, where it makes no sense", { JOURNAL_STREAM: "yes" }, false],
    ["behind the parent's pipe", { JOURNAL_STREAM: "1:2", XCOPY_PARENT: "shop" }, true],
  ])("is %s", (_, environment, expected) => {
    expect(isToJournal(fd, environment)).toBe(expected);
  });
});

test.each<[string[], Record<string, string>, boolean]>([
  [["copy", "--log-format", "json", "--bad"], {}, true],
  [["copy", "--log-format=json"], {}, true],
  [["copy", "--log-format", "text"], { XCOPY_LOG_FORMAT: "json" }, false],
  [["copy"], { XCOPY_LOG_FORMAT: "json" }, true],
  [["copy", "--json"], {}, false],
])("%j with %j asks for JSON: %p", (words, environment, expected) => {
  expect(asksForJson(words, environment)).toBe(expected);
});

describe("the file", () => {
  const said: string[] = [];
  const begin = (name: string) => {
    said.length = 0;
    const path = resolve(directory, name);
    return { path, log: createLog((line) => said.push(line), path) };
  };
  const linesOf = (path: string) =>
    readFileSync(path, "utf8")
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => line.slice(line.indexOf(" ") + 1));

  test("is opened anew: what was moved away is left alone from then on", () => {
    const { path, log } = begin("rotated");
    log.info("one");
    renameSync(path, `${path}.1`);
    log.info("two");
    reopenLogs();
    log.warn("three");
    expect(linesOf(`${path}.1`)).toEqual(["info one", "info two"]);
    expect(linesOf(path)).toEqual(["warning three"]);
    expect(said).toEqual(["one", "two", "warning: three"]);
  });

  test("is written on where it cannot be opened anew, which is said", () => {
    const { path, log } = begin("kept");
    log.info("one");
    renameSync(path, `${path}.1`);
    mkdirSync(path);
    reopenLogs();
    log.info("two");
    expect(linesOf(`${path}.1`)).toEqual([
      "info one",
      expect.stringMatching(/^warning Cannot open log file .*the old one is written on$/),
      "info two",
    ]);
    expect(said[1]).toStartWith(`warning: Cannot open log file "${path}" again: EISDIR`);
  });

  test("that has no room is tried again, and tells how many messages are missing", () => {
    const link = join(directory, "link");
    symlinkSync("/dev/full", link);
    const { log } = begin("link");
    log.info("one");
    log.info("two");
    expect(said).toEqual(["one", expect.stringMatching(/^warning: Cannot write log file .*ENOSPC/), "two"]);
    rmSync(link);
    reopenLogs();
    log.info("three");
    expect(linesOf(link)).toEqual([
      "warning 2 messages are missing here: the file could not be written",
      "info three",
    ]);
  });

  test("that several runs share has the name of each in its messages", () => {
    setStyle({ name: "shop", command: "copy" });
    const { path, log } = begin("shared");
    log.info("one");
    expect(linesOf(path)).toEqual(["info shop: one"]);
    setStyle({ format: "json" });
    begin("shared").log.info("two");
    const line = readFileSync(path, "utf8").split("\n")[1]!;
    expect(JSON.parse(line)).toMatchObject({ name: "shop", message: "two" });
  });

  test("and the lines on stderr are JSON where that is asked for", () => {
    setStyle({ format: "json", command: "record" });
    const { path, log } = begin("json");
    log.error("first\nsecond");
    const expected = { level: "error", command: "record", pid: process.pid, message: "first\nsecond" };
    expect(JSON.parse(said[0]!)).toMatchObject(expected);
    expect(JSON.parse(readFileSync(path, "utf8"))).toEqual(JSON.parse(said[0]!));
  });
});
