/** The shared key of a channel: where it is read from, and what is refused. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { checkKey, fingerprintOf, makeKeyFile, readKey as read } from "../../src/channel/key.ts";
import { failing } from "../config/failing.ts";

/** Whatever key this host has is none of ours. */
const readKey = (file: string | null, environment: Record<string, string>, fallback = "/nowhere/xcopy.key") =>
  read(file, environment, fallback);

const TEXT = "0123456789abcdef";
let directory = "";

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "xcopy-key-"));
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

function write(name: string, content: string | Uint8Array, mode = 0o600): string {
  const path = join(directory, name);
  writeFileSync(path, content);
  chmodSync(path, mode);
  return path;
}

const bytes = (text: string) => new TextEncoder().encode(text);

describe("where a key comes from", () => {
  test("none is given", () => {
    expect(readKey(null, {})).toBeNull();
    expect(readKey(null, { XCOPY_KEY: "", CREDENTIALS_DIRECTORY: "" })).toBeNull();
    expect(readKey(null, { CREDENTIALS_DIRECTORY: directory }, "/nowhere")).toBeNull();
    write("xcopy.key", "\n", 0o440);
    expect(readKey(null, { CREDENTIALS_DIRECTORY: directory }, "/nowhere")).toBeNull();
  });

  test("from a file, from the environment, from systemd, in this order", () => {
    const file = write("file", "key of the file!");
    write("xcopy.key", "key of systemd!!", 0o440);
    const environment = { XCOPY_KEY: "key of the shell", CREDENTIALS_DIRECTORY: directory };
    expect(readKey(file, environment)).toEqual({ bytes: bytes("key of the file!"), source: file });
    expect(readKey(null, environment)).toEqual({ bytes: bytes("key of the shell"), source: "XCOPY_KEY" });
    expect(readKey(null, { CREDENTIALS_DIRECTORY: directory })).toEqual({
      bytes: bytes("key of systemd!!"),
      source: join(directory, "xcopy.key"),
    });
  });

  test("from the place where both look, after all others", () => {
    const fallback = write("fallback", "key of this host");
    const found = { bytes: bytes("key of this host"), source: fallback };
    expect(readKey(null, {}, fallback)).toEqual(found);
    expect(readKey(null, { CREDENTIALS_DIRECTORY: "/nowhere" }, fallback)).toEqual(found);
    expect(readKey(null, { XCOPY_KEY: TEXT }, fallback)?.source).toBe("XCOPY_KEY");
    chmodSync(fallback, 0o644);
    expect(failing(() => readKey(null, {}, fallback)).message).toContain("every user of this host");
  });

  test("line ends behind it do not count, everything else does", () => {
    for (const end of ["\n", "\r\n", "\n\n"]) {
      expect(readKey(write("ends", TEXT + end), {})?.bytes).toEqual(bytes(TEXT));
      expect(readKey(null, { XCOPY_KEY: TEXT + end })?.bytes).toEqual(bytes(TEXT));
    }
    const binary = Uint8Array.from({ length: 32 }, (_, i) => (i * 37) & 255);
    expect(readKey(write("binary", binary), {})?.bytes).toEqual(binary);
    expect(readKey(write("spaces", ` ${TEXT} `), {})?.bytes).toEqual(bytes(` ${TEXT} `));
  });
});

describe("what is no key", () => {
  const cases: [string, () => string | null, Record<string, string>, string][] = [
    ["no file", () => join(directory, "none"), {}, 'Cannot read the key "{}": no such file'],
    ["a directory", () => directory, {}, 'Cannot use the key "{}": it is not a file'],
    [
      "a file for all",
      () => write("all", TEXT, 0o644),
      {},
      'Cannot use the key "{}": every user of this host can read or change it',
    ],
    [
      "a file all can write",
      () => write("all2", TEXT, 0o602),
      {},
      'Cannot use the key "{}": every user of this host can read or change it',
    ],
    [
      "a file its group can write",
      () => write("group", TEXT, 0o620),
      {},
      'Cannot use the key "{}": its group can change it',
    ],
    [
      "a short file",
      () => write("short", "0123456789abcde\n"),
      {},
      'Cannot use the key of "{}": it has 15 bytes, at least 16 are needed',
    ],
    [
      "an empty file",
      () => write("empty", ""),
      {},
      'Cannot use the key of "{}": it has 0 bytes, at least 16 are needed',
    ],
    [
      "a large file",
      () => write("large", "x".repeat(4097)),
      {},
      'Cannot use the key "{}": it is longer than 4096 bytes',
    ],
    [
      "a short variable",
      () => null,
      { XCOPY_KEY: "secret" },
      'Cannot use the key of "XCOPY_KEY": it has 6 bytes, at least 16 are needed',
    ],
  ];
  for (const [name, make, environment, message] of cases) {
    test(name, () => {
      const path = make();
      const failure = failing(() => readKey(path, environment));
      expect(failure.message).toBe(message.replace("{}", path ?? ""));
      expect(failure.exitCode).toBe(2);
      expect(failure.fix.length).toBeGreaterThan(10);
      expect(failure.message + failure.fix).not.toContain("0123456789");
    });
  }

  test("a named pipe does not block it", () => {
    const path = join(directory, "pipe");
    Bun.spawnSync(["mkfifo", "-m", "600", path]);
    expect(failing(() => readKey(path, {})).message).toBe(`Cannot use the key "${path}": it is not a file`);
  });
});

describe("a key that is made", () => {
  test("is 32 random bytes as base64, for its owner alone, and nothing else is left", () => {
    const place = mkdtempSync(join(directory, "made-"));
    const made = ["one", "two"].map((name) => {
      const path = join(place, name);
      const mask = process.umask(0);
      const fingerprint = makeKeyFile(path);
      process.umask(mask);
      const text = readFileSync(path, "utf8");
      expect(text).toMatch(/^[A-Za-z0-9+/]{43}=\n$/);
      expect(statSync(path).mode & 0o777).toBe(0o600);
      // The key of both sides is the text.
      expect(fingerprint).toBe(fingerprintOf(readKey(path, {})!.bytes));
      expect(fingerprint).toMatch(/^SHA256:[A-Za-z0-9+/]{22}$/);
      expect(text).not.toContain(fingerprint.slice(7, 15));
      return { text, fingerprint };
    });
    expect(made[0]!.text).not.toBe(made[1]!.text);
    expect(made[0]!.fingerprint).not.toBe(made[1]!.fingerprint);
    expect(readdirSync(place).sort()).toEqual(["one", "two"]);
  });

  test("never takes the place of a file, nor of a link to one that is not there", () => {
    const place = mkdtempSync(join(directory, "kept-"));
    const path = join(place, "key");
    writeFileSync(path, "what was there");
    Bun.spawnSync(["ln", "-s", "/nowhere/else", join(place, "link")]);
    for (const name of ["key", "link"]) {
      const failure = failing(() => makeKeyFile(join(place, name)));
      expect([failure.message, failure.exitCode]).toEqual([
        `Cannot make the key "${join(place, name)}": the file exists`,
        2,
      ]);
    }
    expect(readFileSync(path, "utf8")).toBe("what was there");
    expect(readdirSync(place).sort()).toEqual(["key", "link"]);
  });

  test("needs a directory", () => {
    const failure = failing(() => makeKeyFile(join(directory, "none", "key")));
    expect(failure.message).toEndWith('none/key": no such directory');
  });
});

describe("there must be one", () => {
  const key = { bytes: bytes(TEXT), source: "XCOPY_KEY" };
  test.each(["copy", "intercept"] as const)("for %s, or --insecure, and not both", (what) => {
    checkKey(what, key, false);
    checkKey(what, null, true);
    expect(failing(() => checkKey(what, null, false))).toMatchObject({
      exitCode: 2,
      message: expect.stringContaining("there is no key"),
      fix: expect.stringMatching(/xcopy key .*scp -p .*--insecure/),
    });
    expect(failing(() => checkKey(what, key, true)).message).toBe(
      "Cannot use --insecure: there is a key (XCOPY_KEY)",
    );
  });
});
