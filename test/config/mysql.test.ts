/** The options about MySQL. */
import { afterAll, describe, expect, test } from "bun:test";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { COPY } from "../../src/command-line/copy.ts";
import { parseArguments } from "../../src/command-line/reading/arguments.ts";
import { isByGreeting, protocolFor } from "../../src/config/protocol.ts";
import { parseCopy } from "../../src/copy/options.ts";
import { failing } from "./failing.ts";

const parse = (words: string) =>
  parseCopy(parseArguments(COPY, ["-x", "3306-10.0.0.2", ...words.split(" ")]));
const directory = mkdtempSync(join(tmpdir(), "xcopy-users-"));
afterAll(() => rmSync(directory, { recursive: true }));

test("users have names, passwords, and names at the target", () => {
  const { users } = parse("-u a@b,c@ -u d>e@f@g").mysql;
  expect(users).toEqual([
    { name: "a", target: "a", password: "b" },
    { name: "c", target: "c", password: "" },
    { name: "d", target: "e", password: "f@g" },
  ]);
});

test("a file of users is read behind those of -u, comments and empty lines are not", () => {
  const file = join(directory, "users");
  writeFileSync(file, "# production\n\na,b@c,d\r\ne>f@g\n", { mode: 0o600 });
  expect(parse(`-u x@y --mysql-users ${file}`).mysql.users).toEqual([
    { name: "x", target: "x", password: "y" },
    { name: "a,b", target: "a,b", password: "c,d" },
    { name: "e", target: "f", password: "g" },
  ]);
});

describe("refused", () => {
  const cases: [words: string, text: string | RegExp][] = [
    ["-u secret", /^Cannot use -u: a user in it is not user@password/],
    ["-u @secret", /^Cannot use -u: a user in it is not user@password/],
    ["-u a>b>c@secret", /^Cannot use -u: a user in it is not user@password/],
    ["--protocol smtp", /^Cannot use --protocol "smtp": no such protocol/],
    ["--protocol 0=mysql", /^Cannot use --protocol "0=mysql": "0" is not a port/],
    ["--protocol http -u a@b", /names no service that speaks it/],
    ["--protocol none -u a@b", /names no service that speaks it/],
    [
      "--protocol mysql -s 10.0.0.3 --compat",
      /^Cannot use --protocol: the protocol module reads the responses of the target/,
    ],
    ["-u a@secret -s 10.0.0.3 --compat", /^Cannot use --user: the protocol module reads/],
    ["--protocol mysql -W", /^Cannot use -W: a MySQL server/],
    ["--mysql-users /none/such", /^Cannot use --mysql-users "\/none\/such": /],
  ];
  for (const [words, text] of cases) {
    test(words, () => {
      const failure = failing(() => parse(words));
      expect(failure.message).toMatch(text);
      expect(`${failure.message} ${failure.fix}`).not.toContain("secret");
    });
  }

  test("a file that others may read", () => {
    const file = join(directory, "open");
    writeFileSync(file, "a@b\n");
    chmodSync(file, 0o644);
    expect(failing(() => parse(`--mysql-users ${file}`)).message).toContain(
      "other users than its owner may read or change it",
    );
  });
});

test("a module is for a port or for all", () => {
  const at = (words: string, port: number) => protocolFor(parse(words).protocols, { port });
  expect(at("--protocol mysql", 80)).toBe("mysql");
  expect(at("--protocol 3306=mysql,http", 80)).toBe("http");
  expect(at("--protocol 3306=mysql,http", 3306)).toBe("mysql");
  expect(at("--protocol 3306=none,http", 3306)).toBe(null);
  expect(at("-u a@b", 3306)).toBe(null);
});

test("the greeting decides if port or options suggest MySQL, and no option names the protocol", () => {
  const asks = (words: string, port: number, ...targets: number[]) =>
    isByGreeting(parse(words), port, targets);
  expect(asks("-u a@b", 80, 80)).toBe(true);
  expect(asks("--json", 3306, 3307)).toBe(true);
  expect(asks("--json", 3307, 80, 3306)).toBe(true);
  expect(asks("--json", 80, 80)).toBe(false);
  for (const named of ["--protocol mysql", "--protocol none", "--protocol 3306=http"]) {
    expect(asks(named, 3306, 3306)).toBe(false);
  }
  expect(asks("--protocol 80=http -u a@b", 3306, 3306)).toBe(true);
  expect(asks("-s 10.0.0.3 --compat", 3306, 3306)).toBe(false);
  expect(asks("-W", 3306, 3306)).toBe(false);
});
