/** `--web` and `--web-token`: addresses, ports, and when a token is needed. */
import { afterAll, expect, test } from "bun:test";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseWeb } from "../../src/config/web.ts";
import { Failure } from "../../src/native/failure.ts";

const directory = mkdtempSync(join(tmpdir(), "xcopy-token-"));
afterAll(() => rmSync(directory, { recursive: true }));

function tokenFile(text: string, mode = 0o600): string {
  const path = join(directory, "token");
  writeFileSync(path, text);
  chmodSync(path, mode);
  return path;
}

const TOKEN = "0123456789abcdef";

test.each([
  ["9400", "127.0.0.1", 9400],
  ["0", "127.0.0.1", 0],
  ["localhost:80", "127.0.0.1", 80],
  ["127.0.0.2:80", "127.0.0.2", 80],
  ["[::1]:9400", "::1", 9400],
  ["[0:0:0:0:0:0:0:1]:9400", "::1", 9400],
])("%s is on loopback and needs no token", (text, host, port) => {
  expect(parseWeb(text, null)).toEqual({ host, port, token: null });
});

test.each([
  ["0.0.0.0:9400", "0.0.0.0"],
  ["[::]:9400", "::"],
  ["10.0.0.1:9400", "10.0.0.1"],
  ["[2001:db8::1]:9400", "2001:db8::1"],
])("%s needs a token", (text, host) => {
  expect(() => parseWeb(text, null)).toThrow(
    `Cannot use --web "${text}": whoever reaches this address could read what clients ask and are answered`,
  );
  expect(parseWeb(text, tokenFile(`${TOKEN}\n`))).toEqual({ host, port: 9400, token: TOKEN });
});

test.each([
  ["", '"" is not a port from 0 to 65535'],
  ["x", '"x" is not a port from 0 to 65535'],
  ["65536", '"65536" is not a port from 0 to 65535'],
  ["127.0.0.1:", '"" is not a port from 0 to 65535'],
  ["::1:9400", "it is not [address:]port (IPv6 addresses go in brackets)"],
  ["[127.0.0.1]:9400", '"[127.0.0.1]" is not an address'],
  ["[::1:9400", "it is not [address:]port (IPv6 addresses go in brackets)"],
  [":9400", '"" is not an address'],
  ["example.com:9400", '"example.com" is not an address'],
  ["[fe80::1%eth0]:9400", '"[fe80::1%eth0]" is not an address'],
])("%p is refused", (text, cause) => {
  expect(() => parseWeb(text, null)).toThrow(`Cannot use --web "${text}": ${cause}`);
});

test.each([
  ["short", 0o600, "a token has at least 16 characters"],
  [`two words ${TOKEN}`, 0o600, "a token is one word of printable ASCII characters"],
  ["x".repeat(2000), 0o600, "a token has at most 1024 characters"],
  [TOKEN, 0o644, "other users than its owner may read or change it (mode 644)"],
])("a token %p in a file of mode %o is refused", (text, mode, cause) => {
  const path = tokenFile(text, mode);
  const error = (() => {
    try {
      return parseWeb("9400", path);
    } catch (error) {
      return error;
    }
  })();
  expect(error).toBeInstanceOf(Failure);
  expect((error as Failure).message).toBe(`Cannot use --web-token "${path}": ${cause}`);
});
