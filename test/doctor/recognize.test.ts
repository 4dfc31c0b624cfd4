/** Which protocol the first bytes of a connection are. */
import { expect, test } from "bun:test";
import { recognizeClient, recognizeDatagram, recognizeServer } from "../../src/doctor/arrival/recognize.ts";

const text = (value: string) => new TextEncoder().encode(value);
const hex = (value: string) => Uint8Array.from(Buffer.from(value.replaceAll(" ", ""), "hex"));
const HELLO = hex(`16030100c8 010000c4 0303${"11".repeat(195)}`);
const PROXY2 = hex("0d0a0d0a000d0a515549540a 21 11 000c 0a000001 0a000002 9c40 0050");
/** A greeting of MySQL 8.0. */
const GREETING = hex(
  "4a0000000a382e302e33360008000000 4f1b2c3d4e5f6a7b 00 ffff ff 0200 ffdf 15 00000000000000000000 0102030405060708090a0b0c 00 63616368696e675f736861325f70617373776f726400",
);

test.each<[string, Uint8Array, string | null, number]>([
  ["a request of HTTP/1", text("GET /a HTTP/1.1\r\nHost: a\r\n\r\n"), "HTTP/1", 0],
  ["a request of HTTP/1 with a body", text("POST /a HTTP/1.1\r\n"), "HTTP/1", 0],
  ["the preface of HTTP/2", text("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), "HTTP/2", 0],
  ["a ClientHello", HELLO, "TLS", 0],
  ["data of TLS in a connection that goes on", hex(`1703030040${"ab".repeat(64)}`), "TLS", 0],
  ["the version of an SSH client", text("SSH-2.0-OpenSSH_9.2\r\n"), "SSH", 0],
  ["a command of redis", text("*1\r\n$4\r\nPING\r\n"), "redis", 0],
  ["the start packet of PostgreSQL", hex("0000000f 00030000 7573657200 6100 00"), "PostgreSQL", 0],
  ["PostgreSQL asking for TLS", hex("00000008 04d2162f"), "PostgreSQL", 0],
  ["a query of PostgreSQL", hex("51 0000000d 73656c656374203100"), "PostgreSQL", 0],
  ["a query of MySQL", hex("09000000 03 73656c6563742031"), "MySQL", 0],
  ["mail", text("EHLO a.example\r\n"), "SMTP", 0],
  [
    "PROXY protocol 1 and HTTP/1",
    text("PROXY TCP4 10.0.0.1 10.0.0.2 40000 80\r\nGET / HTTP/1.1\r\n\r\n"),
    "HTTP/1",
    1,
  ],
  ["PROXY protocol 2 and TLS", Buffer.concat([PROXY2, HELLO]), "TLS", 2],
  ["PROXY protocol 2 alone", PROXY2, null, 2],
  ["words", text("hello world, how are you?\n"), null, 0],
  ["a few bytes", hex("160301"), null, 0],
  ["zeros", new Uint8Array(64), null, 0],
])("a client that begins with %s", (_, bytes, protocol, proxy) => {
  expect(recognizeClient(new Uint8Array(bytes))).toEqual({ protocol, proxy } as never);
});

test.each<[string, Uint8Array, string | null]>([
  ["a greeting of MySQL", GREETING, "MySQL"],
  ["the version of an SSH server", text("SSH-2.0-OpenSSH_9.2\r\n"), "SSH"],
  ["a response of HTTP/1", text("HTTP/1.1 200 OK\r\n"), "HTTP/1"],
  ["a greeting of a mail server", text("220 mx.example ESMTP Postfix\r\n"), "SMTP"],
  ["an alert of TLS", hex("15030300020228"), "TLS"],
  ["words", text("welcome\n"), null],
])("a server that begins with %s", (_, bytes, protocol) => {
  expect(recognizeServer(bytes)).toBe(protocol as never);
});

test("datagrams of DNS and QUIC", () => {
  const query = hex("1234 0100 0001 0000 0000 0000 01 61 07 6578616d706c65 00 0001 0001");
  expect(recognizeDatagram(query)).toBe("DNS");
  expect(recognizeDatagram(hex(`c0 00000001 08 ${"11".repeat(40)}`))).toBe("QUIC");
  expect(recognizeDatagram(text("syslog: hello"))).toBeNull();
});
