/** The options about comparing answers: values, defaults, and what makes no sense together. */
import { expect, test } from "bun:test";
import { COPY } from "../../../src/command-line/copy.ts";
import { parseArguments } from "../../../src/command-line/reading/arguments.ts";
import { parseCopy } from "../../../src/copy/options.ts";
import { failing } from "../../config/failing.ts";

const X = "-x 80-10.0.0.2,80-10.0.0.3:8080,81-old,82-10.0.0.4|10.0.0.5";
const parse = (words: string) => parseCopy(parseArguments(COPY, `${X} ${words}`.trim().split(" ")));

test.each([
  ["", null],
  [
    "--compare",
    {
      body: false,
      prefix: 512,
      fields: ["content-type", "content-encoding", "location", "cache-control"],
      endpoints: [],
      ignore: [],
      masks: [],
      noise: [],
      bounds: [],
    },
  ],
  [
    "--compare body --ignore $.a --ignore $.b.*",
    { body: true, ignore: [{ text: "$.a" }, { text: "$.b.*" }] },
  ],
  ["--compare --compare-prefix 2048", { prefix: 2048 }],
  ["--compare --compare-field ETag,x-cache --compare-field Etag", { fields: ["etag", "x-cache"] }],
  ["--compare --endpoint /users/* --endpoint /a", { endpoints: [{ path: "/users/*" }, { path: "/a" }] }],
  ["--compare --mask sk_[a-z]+ --mask [0-9]{16}", { masks: [{ text: "sk_[a-z]+" }, { text: "[0-9]{16}" }] }],
  ["--compare --noise 10.0.0.3", { noise: ["80-10.0.0.3:8080"] }],
  ["--compare --noise 10.0.0.3:8080 --noise OLD", { noise: ["80-10.0.0.3:8080", "81-old"] }],
] as const)("%j", (words, expected) => {
  const { comparison } = parse(words);
  if (expected === null) expect(comparison).toBeNull();
  else expect(comparison).toMatchObject(expected as object);
});

test("reports and the live page need no comparison", () => {
  expect(parse("--report a.html --report b.JSON --web 9400").audience).toEqual({
    reports: [
      { path: "a.html", format: "html" },
      { path: "b.JSON", format: "json" },
    ],
    web: { host: "127.0.0.1", port: 9400, token: null },
  });
});

const TARGETS = "10.0.0.2:80, 10.0.0.3:8080, old:81, 10.0.0.4:82, 10.0.0.5:82";

test.each([
  ...["--compare-prefix 99", "--compare-field a", "--endpoint /a", "--ignore $.a", "--mask a"].map(
    (words) => [
      words,
      `Cannot use ${words.replace(" ", ' "')}": nothing is compared`,
      "Add --compare, or leave it out.",
    ],
  ),
  [
    "--noise 10.0.0.3",
    'Cannot use --noise "10.0.0.3": nothing is compared',
    "Add --compare, or leave it out.",
  ],
  ["--fail-on x", 'Cannot use --fail-on "x": nothing is compared', "Add --compare, or leave it out."],
  [
    "--compare --noise 10.0.0.9",
    'Cannot use --noise "10.0.0.9": it is no target of -x',
    `Name one of these: ${TARGETS}.`,
  ],
  [
    "--compare --noise 10.0.0.3:80",
    'Cannot use --noise "10.0.0.3:80": it is no target of -x',
    `Name one of these: ${TARGETS}.`,
  ],
  [
    "--compare --noise 10.0.0",
    'Cannot use --noise "10.0.0": it is not ADDRESS or ADDRESS:PORT',
    `Name a target of -x: ${TARGETS}.`,
  ],
  [
    "--compare --noise 10.0.0.4",
    'Cannot use --noise "10.0.0.4": in -x "82-10.0.0.4|10.0.0.5" it gets only a part of the connections',
    "Name it in a transfer of its own, so that it gets all requests that the new version gets.",
  ],
  [
    "--compare body --compare-prefix 600",
    'Cannot use --compare-prefix "600": with --compare body responses are captured whole',
    "Leave it out.",
  ],
  [
    "--compare --ignore $.a",
    'Cannot use --ignore "$.a": it is about content, and only heads are compared',
    "Write --compare body.",
  ],
  [
    "--compare --compare-field a,b;c",
    'Cannot use --compare-field "b;c": not the name of a header field',
    "Give names, separated by commas, for example content-type,content-encoding,location,cache-control.",
  ],
  [
    "--compare -s 10.0.0.2 --compat",
    "Cannot use --compare: it reads the responses of the target, and an intercept 1.x sends only their headers",
    "Run xcopy intercept on the target, or leave -s and --compat out.",
  ],
  [
    "--report r.txt",
    'Cannot use --report "r.txt": its name does not say what to write',
    "Name a file that ends in .html, for people, or in .json, for programs.",
  ],
  ["--report r.html --report r.html", 'Cannot use --report "r.html" twice', "Leave one of them out."],
  ["--web-token t", 'Cannot use --web-token "t": there is no live page', "Add --web, or leave it out."],
])("%s is refused", (words, message, fix) => {
  expect(failing(() => parse(words!))).toEqual({ message, fix, exitCode: 2 } as never);
});
