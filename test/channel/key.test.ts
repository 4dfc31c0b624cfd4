/** The shared key of a channel: where it is read from, and what is refused. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readKey } from "../../src/channel/key.ts";
import { failing } from "../config/failing.ts";

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
    expect(readKey(null, { CREDENTIALS_DIRECTORY: directory })).toBeNull();
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
