/** What a server says first, when it is told from other protocols. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { isFirstPacket } from "../../src/protocol/mysql/packets/greeting.ts";
import { error, greeting } from "./server.ts";

const text = (words: string) => Uint8Array.from(Buffer.from(words));

test("a greeting, or an error in its place, is recognized when its last byte has come", () => {
  for (const packet of [
    greeting("mysql_native_password"),
    greeting("caching_sha2_password", { version: "5.5.5-10.11.19-MariaDB" }),
    error(0, 1129, "Host is blocked"),
  ]) {
    for (let length = 0; length < packet.length; length++) {
      expect(isFirstPacket(packet.subarray(0, length))).toBe(null);
    }
    expect(isFirstPacket(packet)).toBe(true);
    expect(isFirstPacket(Uint8Array.of(...packet, 1, 2, 3))).toBe(true);
  }
});

test("the first bytes of other servers are not taken for a greeting", () => {
  for (const words of [
    "SSH-2.0-OpenSSH_9.2\r\n",
    "220 mail ESMTP\r\n",
    "* OK ready\r\n",
    "-ERR no\r\n",
    "HTTP/1.1 400 Bad Request\r\n\r\n",
    "\x0a\x00\x00\x00\x0ano greeting\x00",
    "\x03\x00\x00\x00\xff\x01\x00",
    "\x00\x00\x00\x00\x0a",
  ]) {
    const bytes = Uint8Array.from(Buffer.from(words, "latin1"));
    expect(isFirstPacket(bytes), words).toBe(false);
  }
  expect(isFirstPacket(text("+O"))).toBe(null);
});

test("any bytes are judged without an error", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
      isFirstPacket(bytes);
      for (const type of [10, 0xff]) {
        const packet = Uint8Array.of(bytes.length + 1, 0, 0, 0, type, ...bytes);
        expect(isFirstPacket(packet)).not.toBe(null);
      }
    }),
  );
});
