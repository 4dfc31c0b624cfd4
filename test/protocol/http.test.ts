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

describe("the next request is sent when the response has ended", () => {
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

describe("a body behind Expect: 100-continue", () => {
  const HEAD = "POST /a HTTP/1.1\r\nExpect: 100-Continue\r\nContent-Length: 10\r\n\r\n";
  const CHUNKED = "PUT /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\nEXPECT:100-continue\r\n\r\n";
  const CONTINUE = "HTTP/1.1 100 Continue\r\n\r\n";
  const OK = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
  const sent = (host: Host) => Buffer.from(host.stream).toString("latin1");

  /** A session whose client has sent a head, and after an answer of its server a body. */
  function opened(head = HEAD, body = "0123456789", size = 1): Host {
    const host = new Host(HTTP);
    host.connect();
    host.request(bytes(head), true, size);
    expect(sent(host)).toBe(head);
    host.request(bytes(body), true, size);
    return host;
  }

  const permits: [name: string, answer: string, goes: boolean][] = [
    ["100", CONTINUE, true],
    ["102, which is no permission", "HTTP/1.1 102 Processing\r\n\r\n", false],
    ["103, then 100", `HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n${CONTINUE}`, true],
    ["a final answer, as the target reads the body all the same", OK, true],
    [
      "417 with a body that has not ended",
      "HTTP/1.1 417 Expectation Failed\r\nContent-Length: 5\r\n\r\na",
      true,
    ],
  ];
  for (const [name, answer, goes] of permits) {
    test(`goes after ${name}`, () => {
      for (const [head, body] of [
        [HEAD, "0123456789"],
        [CHUNKED, "a\r\n0123456789\r\n0\r\n\r\n"],
      ] as const) {
        for (let size = 1; size <= answer.length; size++) {
          const host = opened(head, body, size);
          expect(sent(host)).toBe(head);
          host.response(bytes(answer), size);
          expect(sent(host)).toBe(goes ? head + body : head);
        }
      }
    });
  }

  test("the request after it waits for the response, the one that was pipelined behind it does not", () => {
    const host = opened(HEAD, `0123456789${GET}`, 1000);
    host.request(bytes(GET));
    host.response(bytes(CONTINUE));
    expect(sent(host)).toBe(`${HEAD}0123456789${GET}`);
    host.response(bytes(OK + OK));
    expect(sent(host)).toBe(`${HEAD}0123456789${GET}${GET}`);
  });

  test("waits for its own 100, not for that of a request that was pipelined before it", () => {
    const host = new Host(HTTP);
    host.connect();
    host.request(bytes(GET + HEAD));
    host.request(bytes("0123456789"));
    host.response(bytes(CONTINUE));
    expect(sent(host)).toBe(GET + HEAD);
    host.response(bytes(OK));
    expect(sent(host)).toBe(GET + HEAD);
    host.response(bytes(CONTINUE));
    expect(sent(host)).toBe(`${GET + HEAD}0123456789`);
  });

  test("goes at once where the client did not wait either", () => {
    const host = new Host(HTTP);
    host.connect();
    host.request(bytes(HEAD));
    host.request(bytes("01234"), false);
    host.request(bytes("56789"), true);
    expect(sent(host)).toBe(`${HEAD}0123456789`);
  });

  test("is not taken for one where the server refused it and another request follows", () => {
    const host = opened(HEAD, GET, 1000);
    host.response(bytes("HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n"));
    expect(sent(host)).toBe(HEAD + GET);
    expect(host.waiting).toBe(0);
  });

  test("a request without a body expects nothing", () => {
    const host = opened("GET / HTTP/1.1\r\nExpect: 100-continue\r\n\r\n", GET, 1000);
    expect(host.waiting).toBe(1);
    host.response(bytes(OK));
    expect(host.waiting).toBe(0);
  });
});

const UPGRADE = "GET /chat HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";

test("after an accepted Upgrade the session is a stream; frames captured before the response are sent after it", () => {
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
