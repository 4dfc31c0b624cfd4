/** What no copy works of is recognized by the client's bytes, and nothing else is. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { recognizeSecured, SECURED, type SecuredName } from "../../src/engine/sessions/secured.ts";
import { faultOfBooks } from "./books.ts";
import { client, Simulation } from "./simulation.ts";

const HELLO = "\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03random";
const STARTUP = "\0\0\0\x2a\0\x03\0\0user\0app\0database\0postgres\0\0";
const SSL_REQUEST = "\0\0\0\x08\x04\xd2\x16\x2f";
const SCRAM = "p\0\0\0\x36SCRAM-SHA-256\0\0\0\0\x20n,,n=,r=abcdefghijklmnopqrstuvwx";
const MD5 = `p\0\0\0\x28md5${"0123456789abcdef".repeat(2)}\0`;
const PASSWORD = "p\0\0\0\x0bsecret\0";
/** A login of MySQL with a response of some bytes. */
const mysql = (response: number) => {
  const rest = `\x0d\xa2\x08\0\0\0\0\x01\x2d${"\0".repeat(23)}app\0${String.fromCharCode(response)}${"x".repeat(response)}`;
  return `${String.fromCharCode(rest.length)}\0\0\x01${rest}`;
};
const mongodb = (document: string) => `\xc8\0\0\0\x01\0\0\0\0\0\0\0\xdd\x07\0\0\0\0\0\0\0${document}`;
const kafka = (mechanism: string) => `\0\0\0\x28\0\x11\0\x01\0\0\0\x01\0\x05abcde\0\x0d${mechanism}`;

const bytesOf = (text: string) => Uint8Array.from(text, (char) => char.charCodeAt(0));
const recognize = (text: string) => recognizeSecured(bytesOf(`xx${text}`), 2, 2 + text.length);

test.each<[SecuredName | null, string, string]>([
  ["tls", "a ClientHello", HELLO],
  ["tls", "of TLS 1.0 to 1.3", HELLO.replace("\x01\x02", "\x03\x02")],
  ["tls", "in packets of TDS", `\x12\x01\0\x30\0\0\0\0${HELLO}`],
  ["postgresql", "SCRAM", SCRAM],
  ["postgresql", "md5", MD5],
  ["mysql", "a login with a password", mysql(20)],
  ["mongodb", "SCRAM with the first message", mongodb("speculativeAuthenticate...SCRAM-SHA-256")],
  ["kafka", "SCRAM", kafka("SCRAM-SHA-512")],
  ["sasl", "SMTP", "AUTH CRAM-MD5\r\n"],
  ["sasl", "IMAP", "a1 AUTHENTICATE SCRAM-SHA-256\r\n"],
  ["ssh", "2.0", "SSH-2.0-OpenSSH_9.2\r\n"],
  [null, "application data of TLS (in the middle of a connection)", "\x17\x03\x03\x01\0abc"],
  [null, "HTTP", "GET /SSH-2.0 HTTP/1.1\r\nAuthorization: SCRAM-SHA-256 abc\r\n\r\n"],
  [null, "a body about logins", "POST / HTTP/1.1\r\n\r\nAUTH CRAM-MD5"],
  [null, "HTTP/2 with prior knowledge", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"],
  [null, "Redis", "*2\r\n$4\r\nAUTH\r\n$6\r\nsecret\r\n"],
  [null, "inline Redis", "AUTH secret\r\n"],
  [null, "SMTP PLAIN", "AUTH PLAIN AGEAYg==\r\n"],
  [null, "memcached", "set p 0 0 3\r\nabc\r\n"],
  [null, "PostgreSQL's startup", STARTUP],
  [null, "PostgreSQL's question for TLS", SSL_REQUEST],
  [null, "PostgreSQL with a password in the clear", PASSWORD],
  [null, "PostgreSQL, a query", "Q\0\0\0\x0eselect 1\0"],
  [null, "MySQL without a password", mysql(0)],
  [null, "a command of MySQL", "\x09\0\0\0\x03SELECT 1"],
  [null, "MongoDB without a login", mongodb("hello")],
  [null, "Kafka PLAIN", kafka("PLAIN")],
])("%s: %s", (name, _, text) => {
  expect(recognize(text)).toBe(name);
});

test("other bytes never throw", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 80 }), (bytes) => void recognizeSecured(bytes, 0, bytes.length)),
  );
});

describe("in a stream", () => {
  function play(requests: string[], header = ""): Partial<Record<SecuredName, number>> {
    const told: string[] = [];
    const net = new Simulation({
      seed: 1,
      config: { onSecured: (service, name) => told.push(`${service} ${name}`) },
    });
    net.answer = () => 0;
    requests = requests.map((text, i) => (i === 0 ? header + text : text));
    client(net, { port: 40_000, requests, encode: bytesOf, pace: 1000 });
    net.run(5_000_000);
    expect(faultOfBooks(net.counters)).toBe("");
    const names = Object.keys(SECURED) as SecuredName[];
    const counts = names.flatMap((name) => {
      const count = net.count(`secured.${name}`);
      return count > 0 ? [[name, count]] : [];
    });
    expect(told.length).toBe(counts.reduce((sum, [, count]) => sum + Number(count), 0));
    return Object.fromEntries(counts);
  }

  test.each<[string, string[], Partial<Record<SecuredName, number>>, string]>([
    ["TLS from the start", [HELLO, "\x17\x03\x03\0\x05abcde"], { tls: 1 }, ""],
    ["TLS behind a PROXY protocol header", [HELLO], { tls: 1 }, "PROXY UNKNOWN\r\n"],
    ["STARTTLS", ["EHLO a\r\n", "STARTTLS\r\n", HELLO], { tls: 1 }, ""],
    ["PostgreSQL by TLS", [SSL_REQUEST, HELLO], { tls: 1 }, ""],
    [
      "PostgreSQL, refused TLS, with SCRAM",
      [SSL_REQUEST, STARTUP, SCRAM, "p\0\0\0\x09abcde"],
      { postgresql: 1 },
      "",
    ],
    ["PostgreSQL without a login", [SSL_REQUEST, STARTUP, "Q\0\0\0\x0eselect 1\0"], {}, ""],
    ["what looks like TLS far behind the beginning", [`${"a".repeat(5000)}\n`, HELLO], {}, ""],
  ])("%s", (_, requests, expected, header) => {
    expect(play(requests, header)).toEqual(expected);
  });
});
