/** Odd and wrong configuration files: each is refused with its place and a fix, as the start would refuse it, or is taken as it is. */
import { afterAll, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { mistake, xcopy } from "../commands/run.ts";

const directory = mkdtempSync(join(tmpdir(), "xcopy-odd-"));
afterAll(() => rmSync(directory, { recursive: true }));
const path = join(directory, "f.toml");
const OK = 'transfer = "80-127.0.0.2:8080"';
const ONE = `[copy.one]\n${OK}\n`;
const TWO = '[copy.two]\ntransfer = "81-127.0.0.3:8080"\n';

const bytes = (text: string, encoding: BufferEncoding) => Buffer.from(text, encoding);
const many = (count: number) => Array.from({ length: count }, (_, index) => index);

test.each<[what: string, text: string | Uint8Array]>([
  ["a byte order mark", `\uFEFF[copy]\n${OK}\n`],
  ["CRLF", `[copy]\r\n${OK}\r\n`],
  ["tabs", `\t[copy]\t\n\ttransfer\t=\t"80-127.0.0.2:8080"\t# x\n`],
  ["UTF-8 in comments", `# größe 日本語 🙂\n[copy] # é\n${OK}\n`],
  ["dotted keys", 'copy.transfer = "80-127.0.0.2:8080"\ncopy.memory = 64\n'],
  ["an inline table", 'copy = { transfer = "80-127.0.0.2:8080", memory = 64 }\n'],
  ["inline tables with names", 'copy = { one = { transfer = "80-127.0.0.2:8080" } }\n'],
  ["quoted keys", '["copy"]\n"transfer" = \'80-127.0.0.2:8080\'\n'],
  [
    "a list over several lines",
    '[copy]\ntransfer = [\n  "80-127.0.0.2:8080", # x\n  "81-127.0.0.2:8081",\n]\n',
  ],
  ["no line end", `[copy]\n${OK}`],
  ["a number as text", `[copy]\n${OK}\nmemory = "64"\n`],
  ["a number in hex", `[copy]\n${OK}\nmemory = 0x40\n`],
  ["two copies that take any free port for their pages", `[copy]\nweb = 0\n${ONE}${TWO}`],
  ["two copies with a log in common", `[copy]\nlog = "shared.log"\n${ONE}${TWO}`],
  [
    "many copies",
    many(200)
      .map((n) => `[copy.c${n}]\ntransfer = "${n + 1}-127.0.0.2:8080"\n`)
      .join(""),
  ],
  [
    "two intercepts at addresses of their own",
    '[intercept.a]\nservice = ":80"\nbind = ["127.0.0.1"]\n[intercept.b]\nservice = ":81"\nbind = ["127.0.0.2"]\n',
  ],
])("%s: taken", (_, text) => {
  writeFileSync(path, text);
  expect(xcopy(["config", "check", path])).toMatchObject({ code: 0, stderr: "" });
});

/** What is wrong, where, and a part of what is said. */
test.each<[what: string, text: string | Uint8Array, place: string, said: string]>([
  ["an open heading", "[copy\n", "1:6", ""],
  ["no value", "[copy]\ntransfer =\n", "2:11", ""],
  ["no equals sign", "[copy]\ntransfer 80\n", "2:10", ""],
  ["an open string", '[copy]\ntransfer = "80-127.0.0.2\n', "2:", ""],
  ["a bad escape", '[copy]\ntransfer = "80-127.0.0.2\\q"\n', "2:", ""],
  ["an open list", `[copy]\ntransfer = ["80-127.0.0.2"\nmemory = 64\n`, "3:1", ""],
  ["a trailing comma in an inline table", "copy = { memory = 64, }\n", "1:", ""],
  ["a key twice", `[copy]\n${OK}\nmemory = 64\nmemory = 65\n`, "4:1", "there already"],
  ["a table twice", `${ONE}${ONE}`, "3:", "there already"],
  ["a leading zero", `[copy]\n${OK}\nmemory = 064\n`, "3:", ""],
  ["a bad date", "[copy]\nstart = 2026-13-01\n", "2:", ""],
  ["a lone carriage return", "[copy]\rmemory = 64\n", "1:", ""],
  ["a control character", "[copy]\n# \u0001\n", "2:", ""],
  [
    "an ESC in a value",
    '[copy]\ntransfer = "80-127.0.0.2:8080"\npace = "\\u001b[31mred"\n',
    "3:8",
    "\\u{1b}",
  ],
  ["a line end in a value", '[copy]\ntransfer = "80-127.0.0.2:8080"\npace = "a\\nb"\n', "3:8", "a\\u{a}b"],
  ["Latin-1", bytes(`[copy]\n${OK}\nlog = "caf\xe9.log"\n`, "latin1"), "3:11", "UTF-8"],
  ["UTF-16", bytes(`\uFEFF[copy]\n${OK}\n`, "utf16le"), "1:1", "UTF-8"],
  ["nothing that is TOML", Buffer.from([0, 1, 2, 3]), "1:1", ""],
  ["a depth that nobody means", `[copy]\ntransfer = ${"[".repeat(100_000)}\n`, "2:", ""],
  ["a near name", `[copy]\n${OK}\nmemroy = 64\n`, "3:1", "memory"],
  ["a near name of a table", `[cpoy]\n${OK}\n`, "1:2", "[copy]"],
  ["a letter", `[copy]\n${OK}\nr = 10\n`, "3:1", "sample"],
  ["an empty key", `[copy]\n${OK}\n"" = 10\n`, "3:1", ""],
  ["a key of objects", `[copy]\n${OK}\n__proto__ = 10\n`, "3:1", "no such option"],
  ["a table of objects", `[__proto__]\n${OK}\n`, "1:2", "no such table"],
  ["a list of tables", `[[copy]]\n${OK}\n`, "1:3", "[copy]"],
  ["a list of tables with names", `[[copy.one]]\n${OK}\n`, "1:8", ""],
  ["a table with the name of an option", `${ONE}[copy.web]\n${OK}\n`, "3:7", "web"],
  ["a date for text", `[copy]\n${OK}\nstart = 2026-01-31T22:00:00Z\n`, "3:9", "a date"],
  ["a table for a number", `[copy]\n${OK}\nmemory = { mb = 64 }\n`, "3:10", "a table"],
  ["a number for a switch", `[copy]\n${OK}\njson = 1\n`, "3:8", "true or false"],
  ["a negative number", `[copy]\n${OK}\nmemory = -64\n`, "3:10", "-64"],
  ["a number with a unit", `[copy]\n${OK}\nmemory = "64MB"\n`, "3:10", "64MB"],
  ["a share beyond all", `[copy]\n${OK}\nsample = 100.5\n`, "3:10", "100.5"],
  ["infinity", `[copy]\n${OK}\nsample = inf\n`, "3:10", ""],
  ["no number", `[copy]\n${OK}\nmemory = nan\n`, "3:10", ""],
  ["a large number", `[copy]\n${OK}\nmemory = 99999999999999999999\n`, "3:", ""],
  ["a bad filter", `[copy]\n${OK}\nfilter = "no such filter"\n`, "3:10", "filter"],
  ["values that exclude each other", `[copy]\n${OK}\nno-wait = true\npace = "think"\n`, "4:8", "pace"],
  [
    "a default that excludes a value below it",
    `[copy]\nno-wait = true\n${ONE}pace = "think"\n`,
    "5:8",
    "pace",
  ],
  ["an option without the one that it is about", `[copy]\n${OK}\njitter = 5\n`, "3:10", "jitter"],
  ["a page twice", `${ONE}web = 9400\n${TWO}web = "127.0.0.1:9400"\n`, "6:7", "web"],
  ["a process id file twice", `[copy]\npid-file = "a.pid"\n${ONE}${TWO}`, "2:12", "pid-file"],
  ["several in the background", `[copy]\ndaemon = true\n${ONE}${TWO}`, "2:10", "background"],
  [
    "a port twice",
    '[intercept.a]\nservice = ":80"\nport = 7000\n[intercept.b]\nservice = ":81"\nport = 7000\n',
    "6:8",
    "port",
  ],
  [
    "an output twice",
    '[record.a]\nservice = "80"\nwrite = "a.pcapng"\n[record.b]\nservice = "81"\nwrite = "./a.pcapng"\n',
    "6:9",
    "write",
  ],
])("%s: refused at its place, by the start too", (_, text, place, said) => {
  writeFileSync(path, text, { mode: 0o600 });
  const command = /^\[*(intercept|record)/.exec(text.toString())?.[1] ?? "copy";
  const checked = xcopy(["config", "check", path]);
  expect(checked).toMatchObject({ code: 2, stdout: "" });
  const [message, fix, ...more] = checked.stderr.split("\n");
  expect(message).toMatch(/^Cannot /);
  expect(message).toContain(`f.toml:${place}`);
  expect(checked.stderr).toContain(said);
  expect(fix).toMatch(/^\S/);
  expect(more).toEqual([""]);
  const started = xcopy([command, "--config", path], { within: ["unshare", "-n"] });
  expect(started).toEqual(checked);
});

test("what is no file", () => {
  const folder = join(directory, "folder");
  mkdirSync(folder);
  writeFileSync(join(directory, "large.toml"), `# ${"x".repeat(2 << 20)}`);
  writeFileSync(join(directory, "empty.toml"), "");
  expect(xcopy(["config", "check", folder])).toEqual(
    mistake(
      2,
      `Cannot read --config "${folder}": EISDIR: illegal operation on a directory`,
      "Name a file with options in TOML.",
    ),
  );
  const said = (name: string) => xcopy(["config", "check", join(directory, name)]).stderr;
  expect(said("large.toml")).toContain("it has more than 1 MB");
  expect(said("empty.toml")).toContain("there is nothing in it");
  expect(said("nowhere.toml")).toContain("ENOENT");
  expect(xcopy(["config", "check", "/dev/zero"]).stderr).toContain("it has more than 1 MB");
});

test.each([
  ["XCOPY_MEMORY", "much", 'Cannot use XCOPY_MEMORY "much"'],
  ["XCOPY_JSON", "maybe", 'Cannot use XCOPY_JSON "maybe"'],
  ["XCOPY_LATE", "-1", 'Cannot use XCOPY_LATE "-1"'],
  ["XCOPY_ONLY", "three", 'Cannot use --only "three"'],
])("%s=%s: the variable is named", (name, value, message) => {
  writeFileSync(path, ONE);
  process.env[name] = value;
  try {
    const { code, stderr } = xcopy(["copy", "--config", path, "--dry-run"]);
    expect([code, stderr.split("\n").length]).toEqual([2, 3]);
    expect(stderr).toStartWith(message);
  } finally {
    delete process.env[name];
  }
});

test("an error at the start is JSON where the file asks for that, however wrong it is", () => {
  for (const text of [
    `log-format = "json"\nmemory = 1`,
    `log-format = "json"\nmemory =`,
    `log-format = 'json'\nmemroy = 1`,
  ]) {
    writeFileSync(path, `[copy]\n${OK}\n${text}\n`);
    const { code, stderr } = xcopy(["copy", "--config", path]);
    expect(code).toBe(2);
    expect(JSON.parse(stderr)).toMatchObject({
      level: "error",
      command: "copy",
      message: expect.stringContaining("f.toml:4:"),
    });
  }
});
