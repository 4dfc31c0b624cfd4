/** Configuration files: what is taken, and what is said of what is not, with its place. */
import { expect, test } from "bun:test";
import { COPY } from "../../src/command-line/copy.ts";
import { INTERCEPT } from "../../src/command-line/intercept.ts";
import { readConfiguration } from "../../src/command-line/reading/file.ts";
import { RECORD } from "../../src/command-line/record.ts";
import { fc } from "../config/seed.ts";

const read = (text: string) =>
  readConfiguration({ written: "f", path: "/d/f" }, text, [COPY, INTERCEPT, RECORD]);

/** The options of the first run of [copy]. */
const options = (text: string) => {
  const { tables, problems } = read(`[copy]\n${text}`);
  expect(problems).toEqual([]);
  const { settings } = tables.get("copy")![0]!;
  return Object.fromEntries([...settings].map(([name, given]) => [name, given.map((one) => one.text)]));
};

test.each([
  ['transfer = "80-a,81-a"', { transfer: ["80-a,81-a"] }],
  ["transfer = ['80-a', '81-a']", { transfer: ["80-a", "81-a"] }],
  ["transfer = []", { transfer: [] }],
  ["json = true\nforce = false", { json: [""], force: [] }],
  ["compare = true", { compare: ["heads"] }],
  ["compare = false", { compare: [] }],
  ['compare = "body"', { compare: ["body"] }],
  ["memory = 1_000", { memory: ["1000"] }],
  ['memory = "64"', { memory: ["64"] }],
  ["mark = 0xc0", { mark: ["192"] }],
  ["sample = 0.5", { sample: ["0.5"] }],
  ['speed = "max"', { speed: ["max"] }],
  ["web = 8080", { web: ["8080"] }],
  ['"memory" = 64 # more', { memory: ["64"] }],
])("%s", (text, expected) => {
  expect(options(text)).toEqual(expected as Record<string, string[]>);
});

const ALL = '"xcopy copy --help" lists all options.';
const TABLES = "There are: [copy], [intercept], [record].";

test.each([
  [
    "[copy]\n  trasnfer = 5",
    'Cannot use f:2:3 "trasnfer": there is no such option',
    `Did you mean "transfer"? ${ALL}`,
  ],
  ["[copy]\nx = '80-a'", 'Cannot use f:2:1 "x": there is no such option', `Did you mean "transfer"? ${ALL}`],
  ["[copy]\ntoString = 1", 'Cannot use f:2:1 "toString": there is no such option', ALL],
  [
    "[copy.shop]\nmemroy = 1",
    'Cannot use f:2:1 "memroy": there is no such option',
    `Did you mean "memory"? ${ALL}`,
  ],
  ["[copy.shop.inner]\nmemory = 1", 'Cannot use f:1:12 "inner": there is no such option', ALL],
  [
    "[copy]\nmemory = true",
    'Cannot use f:2:10 "memory": it takes a number or text, and true or false is given',
    "Write it as memory = MB.",
  ],
  [
    "[copy]\nmemory = [1]",
    'Cannot use f:2:10 "memory": it takes a number or text, and a list is given',
    "Write it as memory = MB.",
  ],
  [
    "[copy]\ntransfer = [ '80-a', 5 ]",
    'Cannot use f:2:22 "transfer": it takes text, or a list of that, and a number is given',
    'Write it as transfer = ["LIST", "LIST"].',
  ],
  ["[copy]\nlog = ''", 'Cannot use f:2:7 "log": it needs a value', 'Write it as log = "FILE".'],
  [
    "[copy]\nstart = 2026-01-31T22:00:00Z",
    'Cannot use f:2:9 "start": it takes text, and a date is given',
    'Write it as start = "TIME".',
  ],
  [
    "[copy]\njson = 'yes'",
    'Cannot use f:2:8 "json": it takes true or false, and text is given',
    "Write it as json = true.",
  ],
  [
    "[copy]\nno-json = true",
    'Cannot use f:2:1 "no-json": it is for the command line',
    "Write it as json = false.",
  ],
  [
    "[copy]\ncompare = 'bodies'",
    'Cannot use f:2:11 compare "bodies": it takes true, false or one of heads, body',
    'Write it as compare = "heads".',
  ],
  [
    "[copy.filter]\na = 1",
    'Cannot use f:1:7 "filter": it takes text, and a table is given',
    'Write it as filter = "FILTER".',
  ],
  [
    "[copy.'a b']\nmemory = 64",
    `Cannot use f:1:7 "a b": this is not the name of a table`,
    "Name it with letters, digits, - and _, for example [copy.shop].",
  ],
  [
    "[copy]\nconfig = 'g'",
    'Cannot use f:2:1 "config": a file takes in no other',
    "Write the options of that file here.",
  ],
  [
    "[copy]\ndry-run = true",
    'Cannot use f:2:1 "dry-run": whether it is only tried is for who starts it to say',
    "Give --dry-run on the command line.",
  ],
  ["[copy]\nhelp = true", 'Cannot use f:2:1 "help": it is for the command line', "Leave it out."],
  [
    "[cpoy]\nmemory = 64",
    'Cannot use f:1:2 "cpoy": there is no such table',
    `Did you mean [copy]? ${TABLES}`,
  ],
  [
    "memory = 64",
    'Cannot use f:1:1 "memory": it stands outside of any table',
    "Write it below a line with [copy].",
  ],
  [
    "copy = 1",
    'Cannot use f:1:1 "copy": it is a table, and a number is given',
    "Write it as [copy], and its options below that.",
  ],
  [
    "[[copy]]\nmemory = 64",
    'Cannot use f:1:3 "copy": it is a table, and a list is given',
    "Write it as [copy], and its options below that.",
  ],
  [
    "[copy]\nmemory = 1\nmemory = 2",
    "Cannot read f:3:1: this key is there already",
    'Mend the file there: options are written as name = "text", name = 1 or name = true (toml.io).',
  ],
  [
    "[copy]\nlog = 'a",
    "Cannot read f:2:9: unterminated string constant",
    'Mend the file there: options are written as name = "text", name = 1 or name = true (toml.io).',
  ],
])("%j is an error", (text, message, fix) => {
  expect(read(text).problems.map((problem) => [problem.message, problem.fix, problem.exitCode])).toEqual([
    [message, fix, 2],
  ]);
});

test("names are shown in one line", () => {
  expect(read('[copy]\n"a\\nb" = 1').problems[0]!.message).toBe(
    'Cannot use f:2:1 "a\\nb": there is no such option',
  );
});

test("a byte order mark is no part of the text", () => {
  expect(read("\uFEFF[copy]\nmemory = 64").problems).toEqual([]);
});

test("all errors of a file are found", () => {
  const { problems } = read("[copy]\nmemroy = 1\nlog = 5\n[intercept]\nmod = 'a'\n[recrod]");
  expect(problems.map(({ message }) => /f:\d+:\d+/.exec(message)![0])).toEqual([
    "f:2:1",
    "f:3:7",
    "f:5:1",
    "f:6:2",
  ]);
});

test("dotted keys, inline tables and headings say the same", () => {
  const texts = [
    "[copy.shop]\nmemory = 64\n[intercept]\nport = 5",
    "copy.shop.memory = 64\nintercept.port = 5",
    "copy = { shop = { memory = 64 } }\nintercept = { port = 5 }",
    "[intercept]\nport = 5\n[copy]\nshop.memory = 64",
  ];
  for (const text of texts) {
    const { tables, problems } = read(text);
    expect(problems).toEqual([]);
    const found = ["copy", "intercept"].map((name) =>
      tables
        .get(name)!
        .map((run) => [run.name, ...[...run.settings].map(([key, [given]]) => `${key} ${given!.text}`)]),
    );
    expect(found).toEqual([[["shop", "memory 64"]], [[null, "port 5"]]]);
  }
});

test("any text is read, or has a place where it is wrong", () => {
  const pieces = fc.constantFrom(
    "[copy",
    "]",
    "[[",
    ".shop",
    "\n",
    "memory",
    " = ",
    "64",
    "'a'",
    '"""',
    "{",
    "}",
    ",",
    "#",
    "\u{feff}",
  );
  fc.assert(
    fc.property(fc.array(fc.oneof(pieces, fc.string()), { maxLength: 8 }), (parts) => {
      const text = parts.join("");
      const lines = text.split("\n");
      for (const { message, fix } of read(text).problems) {
        const [, line, column] = /^Cannot (?:use|read) f:(\d+):(\d+)[ :]/.exec(message)!.map(Number);
        expect(lines.length).toBeGreaterThanOrEqual(line!);
        expect(column).toBeGreaterThanOrEqual(1);
        expect(fix).toEndWith(".");
      }
    }),
  );
});
