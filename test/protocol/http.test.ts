/** The module HTTP/1.1: where requests and answers end, in whatever pieces they come. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { HTTP } from "../../src/protocol/http/http.ts";
import { Host } from "./host.ts";

const bytes = (text: string) => Buffer.from(text, "latin1");
const GET = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

/** A session that has sent `requests`, one at a time as answers allow; how many were sent before `answer` and after it. */
function play(requests: string[], answer: string, size: number): [before: number, after: number] {
  const host = new Host(HTTP);
  host.connect();
  for (const request of requests) host.request(bytes(request), true, size);
  const before = host.sent.length;
  host.response(bytes(answer), size);
  return [before, host.sent.length];
}

describe("the next request is sent when the answer has ended", () => {
  const cases: [name: string, request: string, answer: string, ends: boolean][] = [
    ["a length", GET, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabcde", true],
    ["a length, incomplete", GET, "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabcde", false],
    ["no body", GET, "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", true],
    ["no content", GET, "HTTP/1.1 204 No Content\r\n\r\n", true],
    ["chunks", GET, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", true],
    [
      "chunks with extension and trailer",
      GET,
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\nA: b\r\n\r\n",
      true,
    ],
    ["chunks, incomplete", GET, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", false],
    [
      "an interim answer first",
      GET,
      "HTTP/1.1 103 Early Hints\r\nA: b\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
      true,
    ],
    ["an interim answer only", GET, "HTTP/1.1 100 Continue\r\n\r\n", false],
    ["a HEAD request", "HEAD / HTTP/1.1\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n", true],
    ["a body until the connection closes", GET, "HTTP/1.0 200 OK\r\n\r\nabc", false],
  ];
  for (const [name, request, answer, ends] of cases) {
    test(name, () => {
      for (let size = 1; size <= Math.max(request.length, answer.length); size++) {
        expect(play([request, GET], answer, size)).toEqual([1, ends ? 2 : 1]);
      }
    });
  }
});

test("what is sent is what was captured, with any pieces, bodies and pipelining", () => {
  const stream = [
    GET,
    "POST /a HTTP/1.1\r\nContent-Length: 10\r\n\r\n0123456789",
    "POST /b HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\na\r\n0123456789\r\n0\r\n\r\n",
    "\r\nHEAD /c HTTP/1.1\r\n\r\n",
  ].join("");
  for (let size = 1; size <= stream.length; size++) {
    const host = new Host(HTTP);
    host.connect();
    host.request(bytes(stream), true, size);
    expect(Buffer.from(host.stream).toString("latin1")).toBe(stream);
    expect(host.waiting).toBe(0);
  }
});

const UPGRADE = "GET /chat HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";

test("after an accepted Upgrade the session is a stream; frames captured before the answer are sent after it", () => {
  const host = new Host(HTTP);
  host.connect();
  host.request(bytes(UPGRADE));
  host.request(Uint8Array.of(0x81, 0x01, 0x41));
  expect(host.sent.length).toBe(1);
  host.response(bytes("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"));
  expect(host.handedOver).toBe("streaming");
  expect(host.sent.length).toBe(2);
});

test("an Upgrade that only production accepts ends the session", () => {
  const host = new Host(HTTP);
  host.connect();
  host.request(bytes(UPGRADE));
  host.request(Uint8Array.of(0x81, 0x01, 0x41));
  host.response(bytes("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"));
  expect(host.isRefused).toBe(true);
});

test("what is not HTTP/1 is handed over", () => {
  for (const first of ["PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "\x16\x03\x01\x02\x00\x01"]) {
    const host = new Host(HTTP);
    host.connect();
    host.request(bytes(first));
    expect(host.handedOver).toBe("waiting");
  }
});

test("only malformed chunks throw, other bytes never do", () => {
  fc.assert(
    fc.property(
      fc.array(fc.uint8Array({ maxLength: 60 }), { maxLength: 6 }),
      fc.boolean(),
      (pieces, chunked) => {
        const host = new Host(HTTP);
        host.connect();
        host.request(bytes(GET));
        if (chunked) host.response(bytes("HTTP/1.1 200 OK\r\nContent-Length: 30\r\n\r\n"));
        for (const piece of pieces) {
          if (!host.handedOver) host.response(piece);
          if (!host.handedOver) host.request(piece);
        }
      },
    ),
  );
});
