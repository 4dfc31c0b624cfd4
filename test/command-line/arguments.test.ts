/** Command lines: what is an option, and what is refused. */
import { expect, test } from "bun:test";
import type { CommandSpec } from "../../src/command-line/command.ts";
import { parseArguments } from "../../src/command-line/reading/arguments.ts";
import { failing, returnsOrFails } from "../config/failing.ts";
import { fc } from "../config/seed.ts";

const SPEC: CommandSpec = {
  name: "thing",
  summary: "does things",
  examples: [["xcopy thing", "a thing"]],
  groups: {
    All: [
      { name: "transfer", short: "x", value: "LIST", values: "anything", multiple: true, help: "a list" },
      { name: "memory", short: "m", value: "MB", values: "anything", help: "a number" },
      { name: "drain", value: "SECONDS", values: "anything", help: "a number" },
      { name: "compare", value: "heads|body", choices: ["heads", "body"], help: "may stand alone" },
      { name: "json", help: "a switch" },
    ],
  },
  manual: { description: [], exits: [0] },
  refused: { d: ["it does not do that", "Do it otherwise."] },
};
const parse = (...args: string[]) => Object.fromEntries(parseArguments(SPEC, args));
const ALL = '"xcopy thing --help" lists all options.';

test.each([
  [[], {}],
  [["-x", "a"], { transfer: ["a"] }],
  [["-xa"], { transfer: ["a"] }],
  [["--transfer=a"], { transfer: ["a"] }],
  [["--transfer", "a", "-x", "b,c", "-xd"], { transfer: ["a", "b,c", "d"] }],
  [["--json", "-m", "5"], { json: [""], memory: ["5"] }],
  [["--json", "--json"], { json: ["", ""] }],
  [["-x=a"], { transfer: ["=a"] }],
  [["-x", "-"], { transfer: ["-"] }],
  [["--transfer=-a"], { transfer: ["-a"] }],
  [["--compare"], { compare: ["heads"] }],
  [["--compare", "body"], { compare: ["body"] }],
  [["--compare=body", "--json"], { compare: ["body"], json: [""] }],
  [["--compare", "--json"], { compare: ["heads"], json: [""] }],
  [["--compare", "-x", "body"], { compare: ["heads"], transfer: ["body"] }],
  [["-x", "a", "--compare", "heads", "-m5"], { transfer: ["a"], compare: ["heads"], memory: ["5"] }],
  [["--compare", "--"], { compare: ["heads"] }],
])("%j", (args, values) => {
  expect(parse(...args)).toEqual(values);
});

test.each([
  [
    ["--transfers", "a"],
    'Cannot use option "--transfers": there is no such option',
    `Did you mean "--transfer"? ${ALL}`,
  ],
  [["--Json"], 'Cannot use option "--Json": there is no such option', `Did you mean "--json"? ${ALL}`],
  [["--verbose"], 'Cannot use option "--verbose": there is no such option', ALL],
  [["--no-json"], 'Cannot use option "--no-json": there is no such option', `Did you mean "--json"? ${ALL}`],
  [["-q"], 'Cannot use option "-q": there is no such option', ALL],
  [["--x", "a"], 'Cannot use option "--x": there is no such option', ALL],
  [["-d"], 'Cannot use option "-d": it does not do that', "Do it otherwise."],
  [["-x"], 'Cannot use option "-x": it needs a value', 'Write it as "-x LIST".'],
  [["-x", "-m", "5"], 'Cannot use option "-x": it needs a value', 'Write it as "-x LIST".'],
  [["-x", "--json"], 'Cannot use option "-x": it needs a value', 'Write it as "-x LIST".'],
  [["-x", ""], 'Cannot use option "-x": it needs a value', 'Write it as "-x LIST".'],
  [["--memory="], 'Cannot use option "--memory": it needs a value', 'Write it as "--memory MB".'],
  [
    ["--drain", "-1"],
    'Cannot use option "--drain": it needs a value, and "-1" begins with a dash',
    'Write it as "--drain SECONDS".',
  ],
  [["--drain"], 'Cannot use option "--drain": it needs a value', 'Write it as "--drain SECONDS".'],
  ...[["--compare", "bodies"], ["--compare=bodies"]].map((words): [string[], string, string] => [
    words,
    'Cannot use --compare "bodies": it takes heads or body',
    'Write "--compare heads" or "--compare body"; "--compare" alone means heads.',
  ]),
  [
    ["--compare="],
    'Cannot use --compare "": it takes heads or body',
    'Write "--compare heads" or "--compare body"; "--compare" alone means heads.',
  ],
  [
    ["--compare", "--compare=body"],
    'Cannot use option "--compare" twice: with "heads" and with "body"',
    "Leave one of them out.",
  ],
  [
    ["--", "--compare"],
    'Cannot use "--compare": it belongs to no option',
    'Write each value after its option; "xcopy thing --help" shows how.',
  ],
  [
    ["-m", "1", "--memory", "2"],
    'Cannot use option "--memory" twice: with "1" and with "2"',
    "Leave one of them out.",
  ],
  [
    ["--json=yes"],
    'Cannot use option "--json": it takes no value, but "yes" is given',
    'Write "--json" alone.',
  ],
  [
    ["--json", "yes"],
    'Cannot use "yes": it belongs to no option',
    'Write each value after its option; "xcopy thing --help" shows how.',
  ],
  [
    ["-x", "a", "--", "b"],
    'Cannot use "b": it belongs to no option',
    'Write each value after its option; "xcopy thing --help" shows how.',
  ],
])("%j is an error", (args, message, fix) => {
  expect(failing(() => parse(...args))).toEqual({ message, fix, exitCode: 2 });
});

test.each([
  [1, 1, [[], ["a", "b"]], [["a"]]],
  [0, 1, [["a", "b"]], [[], ["a"], ["--json", "a"]]],
  [1, 2, [[], ["a", "b", "c"]], [["a"], ["a", "--json", "b"]]],
] as const)("from %i to %i operands", (least, most, wrong, right) => {
  const operand = { name: "file", value: "FILE", values: "file", help: "a file", least, most } as const;
  const spec: CommandSpec = { ...SPEC, operand };
  for (const words of wrong) expect(failing(() => parseArguments(spec, words)).exitCode).toBe(2);
  for (const words of right) {
    const files = words.filter((word) => !word.startsWith("-"));
    expect(parseArguments(spec, words).get("file") ?? []).toEqual(files);
  }
});

test("any words are options or a Failure", () => {
  const pieces = fc.constantFrom(
    "-x",
    "-m",
    "--json",
    "--compare",
    "--drain",
    "--",
    "-",
    "a",
    "5",
    "-xm",
    "--drain=1",
    "__proto__",
  );
  fc.assert(
    fc.property(fc.array(fc.oneof(pieces, fc.string()), { maxLength: 6 }), (args) => {
      expect(returnsOrFails(() => parse(...args))).toBe(true);
    }),
  );
});
