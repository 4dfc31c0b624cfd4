/** `xcopy config check` and `show`: what they say of files. */
import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { checkFile } from "../../src/configuration/check.ts";
import { showFile } from "../../src/configuration/show.ts";

const directory = mkdtempSync(join(tmpdir(), "xcopy-check-"));
afterAll(() => rmSync(directory, { recursive: true }));

const write = (text: string) => writeFileSync(join(directory, "f.toml"), text, { mode: 0o600 });

function check(text: string) {
  write(text);
  const { problems, contents } = checkFile("f.toml", directory);
  return { problems: problems.map(({ message }) => message), contents };
}

const SHOP = '[copy.shop]\ntransfer = "80-10.0.0.2"\n';
const SEARCH = '[copy.search]\ntransfer = "90-10.0.0.2"\n';

test.each([
  ['[copy]\ntransfer = "80-10.0.0.2"', "1 copy"],
  [SHOP + SEARCH, "2 copies (shop, search)"],
  [`${SHOP}[intercept]\nservice = ":80"`, "1 copy (shop), 1 intercept"],
  ['[record]\nservice = "80"\nwrite = "a.pcapng"', "1 record"],
])("%j", (text, contents) => {
  expect(check(text)).toEqual({ problems: [], contents });
});

test("the mistakes of every run are found, one of the defaults once", () => {
  expect(check(`${SHOP}memory = 1\n${SEARCH}pace = "slow"`).problems).toEqual([
    'Cannot use f.toml:3:10 memory "1": not a whole number from 16 to 65536',
    'Cannot use f.toml:6:8 pace "slow": no such pace',
  ]);
  expect(check(`[copy]\nmemory = 1\n${SHOP}${SEARCH}`).problems).toHaveLength(1);
});

test("all bad values are found, and nothing that only seems wrong without them", () => {
  const lines = [
    "[copy]",
    'transfer = ["80", "81-10.0.0.2", "82-10.0.0"]',
    "replicas = 0",
    "jitter = 5",
    'pace = "slow"',
    'clients = ["10.1.1.1", "a"]',
    'late = "never"',
    'protocol = "smtp"',
    'compare = "body"',
    'ignore = ["$.a", "b"]',
    'fail-on = "much"',
    "web = 70000",
  ];
  const { problems } = check(lines.join("\n"));
  const places = problems.map((message) => /f\.toml:(\d+:\d+ \S+)/.exec(message)![1]!);
  expect(places.sort((one, other) => one.localeCompare(other, "en", { numeric: true }))).toEqual([
    "2:13 transfer",
    "2:34 transfer",
    "3:12 replicas",
    "5:8 pace",
    "6:24 clients",
    "7:8 late",
    "8:12 protocol",
    "10:18 ignore",
    "11:11 fail-on",
    "12:7 web",
  ]);
});

test("an unknown option and a bad value are both found, what an unknown option may have been meant for is not", () => {
  expect(check("[copy]\ntrasnfer = '80-a'\n[record]\nservice = 'x'\nwrite = 'a'").problems).toEqual([
    'Cannot use f.toml:2:1 "trasnfer": there is no such option',
    expect.stringContaining("f.toml:4:11 service"),
  ]);
});

test("what is missing is said of its table", () => {
  write(`${SHOP}[copy.search]\nmemory = 64`);
  const { problems } = checkFile("f.toml", directory);
  expect(problems.map(({ message }) => message)).toEqual([
    "Cannot copy anything: no -x names a service and its target",
  ]);
  expect(problems[0]!.fix).toEndWith("It is about [copy.search] of f.toml.");
});

test("an empty file is no configuration", () => {
  expect(check("# nothing\n").problems).toEqual(['Cannot use "f.toml": there is nothing in it']);
});

test.each(['report = ["a.html"]', "web = 8080"])("two copies cannot share %s", (line) => {
  const [option, value] = [/^\w+/.exec(line)![0], /a\.html|8080/.exec(line)![0]];
  const { problems } = check(
    `[copy]\n${option === "report" ? "compare = true\n" : ""}${line}\n${SHOP}${SEARCH}`,
  );
  expect(problems).toHaveLength(1);
  expect(problems[0]).toMatch(
    new RegExp(`^Cannot use f.toml:\\d:\\d+ ${option} ".*${value}" for "shop" and for "search": `),
  );
});

test("show says what counts and where it comes from, without passwords", () => {
  write(
    `[copy]\nuser = ["app>web@s3,b@s4", "c@s5"]\njson = true\nmemory = 64\n${SHOP}memory = 65\n${SEARCH}[intercept]\nservice = ":80"`,
  );
  const { text, warnings } = showFile(
    "f.toml",
    undefined,
    { XCOPY_JSON: "0", XCOPY_MTU: "1400", XCOPY_MEMROY: "1" },
    directory,
  );
  expect(text.split("\n\n")).toEqual([
    '[copy.shop]\nuser = ["app>web@***,b@***", "c@***"]  # f.toml:2:9, f.toml:2:28\nmemory = "65"                          # f.toml:7:10\ntransfer = "80-10.0.0.2"               # f.toml:6:12\nmtu = "1400"                           # XCOPY_MTU',
    expect.stringContaining('memory = "64"'),
    '[intercept]\nservice = ":80"  # f.toml:11:11',
  ]);
  expect(warnings).toEqual([expect.stringContaining("XCOPY_MEMORY?")]);
  expect(showFile("f.toml", "search", {}, directory).text).toStartWith("[copy.search]\n");
  expect(showFile("f.toml", "search", {}, directory).text).not.toContain("intercept");
});
