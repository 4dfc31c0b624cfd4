/** Requests of HTTP/1.1 paired with both answers: each ends as exactly one pair, and what is compared belongs together. */
import { describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import fc from "fast-check";
import type { Outcome, Pair, PairConfig } from "../../src/pairs/pair.ts";
import { createHttp } from "../../src/protocol/http/http.ts";
import { Requests } from "../../src/protocol/http/requests.ts";
import { Host } from "./host.ts";

const latin1 = (text: string) => Uint8Array.from(Buffer.from(text, "latin1"));
const text = (bytes: Uint8Array | null | undefined) => bytes && Buffer.from(bytes).toString("latin1");

const HEADS: PairConfig = { body: false, fields: ["content-type"], memory: 1 << 24 };
const BODIES: PairConfig = { ...HEADS, body: true };

/** A connection of a client with production, captured, and its copy. */
class Play {
  readonly pairs: Pair[] = [];
  readonly requests: Requests;
  readonly host: Host;
  others = 0;
  /** Number of production's next byte. */
  next = 5000;

  constructor(config: PairConfig = HEADS, receive?: (bytes: Uint8Array) => void) {
    const sink = { take: (pair: Pair) => void this.pairs.push(structuredClone(pair)) };
    this.requests = new Requests(config, sink, () => this.others++);
    this.host = new Host(createHttp(this.requests), receive);
    this.host.ack = this.next;
    this.host.connect();
  }

  /** The client sends; it has received all that production has sent. */
  request(sent: string, size?: number): this {
    this.host.ack = this.next | 0;
    this.host.request(latin1(sent), true, size ?? sent.length);
    return this;
  }

  /** The client sends without having received more. */
  pipeline(sent: string): this {
    this.host.request(latin1(sent), false);
    return this;
  }

  /** Production sends, in segments of `size`, of which the first `captured` bytes are captured. */
  production(sent: string, size = sent.length, captured = size): this {
    const bytes = latin1(sent);
    for (let from = 0; from < bytes.length; from += size) {
      this.capture(bytes.slice(from, from + size), this.next + from, captured);
    }
    this.next += bytes.length;
    return this;
  }

  capture(bytes: Uint8Array, seq: number, captured = bytes.length): void {
    const piece = Uint8Array.of(7, ...bytes.subarray(0, captured), 7);
    const missing = Math.max(0, bytes.length - captured);
    this.host.session.production!(piece, 1, piece.length - 1, missing, seq | 0, 0, this.host.time++);
    piece.fill(0xee);
    this.host.settle();
  }

  target(sent: string, size = sent.length, captured = size): this {
    this.host.response(latin1(sent), size, captured);
    return this;
  }

  both(sent: string, size?: number): this {
    return this.production(sent, size).target(sent, size);
  }

  outcomes(): Outcome[] {
    return this.pairs.map(({ outcome }) => outcome);
  }

  close(): Outcome[] {
    this.host.session.disconnected();
    this.host.session.close();
    return this.outcomes();
  }
}

const GET = "GET /a?b HTTP/1.1\r\nHost: a\r\n\r\n";
const OK = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Type: text/plain\r\n\r\nabcde";
const CHUNKED =
  "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n3;x=y\r\nabc\r\n0a\r\n0123456789\r\n0\r\nA: b\r\n\r\n";

test("a pair has the request and both responses, with their times", () => {
  const play = new Play();
  play.host.time = 1000;
  play.request(GET);
  play.host.time = 3000;
  play.production(OK, 50);
  play.host.time = 8000;
  play.target("HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n");
  const [pair] = play.pairs as [Pair];
  expect(play.pairs.length).toBe(1);
  expect({ ...pair, request: text(pair.request) }).toMatchObject({
    protocol: "http",
    outcome: "compared",
    service: 0,
    copy: 0,
    path: 0,
    at: 1000,
    method: "GET",
    name: "/a?b",
    request: GET,
    requestBody: null,
  });
  expect({ ...pair.production, head: text(pair.production!.head) }).toMatchObject({
    status: 200,
    end: "complete",
    bytes: 5,
    count: 0,
    firstByte: 2000,
    lastByte: 2001,
    head: OK.slice(0, -5),
    isHeadWhole: true,
    digest: null,
    body: null,
  });
  expect(pair.target).toMatchObject({ status: 500, end: "complete", bytes: 0, fields: 0 });
  expect(pair.target!.firstByte).toBe(8000 - 1001);
});

describe("a response ends where its protocol says, in whatever pieces", () => {
  const HEAD = "HEAD / HTTP/1.1\r\n\r\n";
  const cases: [name: string, request: string, answer: string, status: number, bytes: number][] = [
    ["a length", GET, OK, 200, 5],
    ["chunks, extension, trailer", GET, CHUNKED, 200, 13],
    ["HEAD", HEAD, "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n", 200, 0],
    ["204", GET, "HTTP/1.1 204 No Content\r\n\r\n", 204, 0],
    ["304 with a length", GET, "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", 304, 0],
    [
      "interim answers",
      GET,
      `HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nA: b\r\n\r\n${OK}`,
      200,
      5,
    ],
    ["LF", GET, "HTTP/1.1 200 OK\nContent-Length: 2\n\nab", 200, 2],
    [
      "the same length twice",
      GET,
      "HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\nContent-Length: 2\r\n\r\nab",
      200,
      2,
    ],
    ["a folded line", GET, "HTTP/1.1 200 OK\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n", 200, 0],
    ["an empty line before it", GET, `\r\n${OK}`, 200, 5],
  ];
  for (const [name, request, answer, status, bytes] of cases) {
    test(name, () => {
      for (let size = 1; size <= answer.length; size++) {
        const play = new Play(BODIES);
        for (let round = 0; round < 2; round++) play.request(request).both(answer, size);
        expect(play.outcomes()).toEqual(["compared", "compared"]);
        for (const { production, target } of play.pairs) {
          expect(production).toMatchObject({ status, bytes, end: "complete" });
          expect(target).toMatchObject({ status, bytes, end: "complete" });
          expect(production!.digest).toEqual(target!.digest!);
          expect([production!.body, target!.body]).toEqual([null, null]);
        }
        expect(play.requests.count).toBe(0);
      }
    });
  }

  test("until the connection closes, or is reset", () => {
    for (const isReset of [false, true]) {
      const play = new Play(BODIES).request(GET);
      play.both("HTTP/1.0 200 OK\r\n\r\nabc", 7);
      expect(play.pairs).toEqual([]);
      play.host.session.productionEnded!(play.next | 0, false);
      play.host.session.targetEnded!(isReset);
      const [pair] = play.pairs as [Pair];
      expect(pair.production).toMatchObject({ end: "complete", bytes: 3 });
      expect(pair.target).toMatchObject({ end: isReset ? "reset" : "complete", bytes: 3 });
    }
  });

  test("two lengths that contradict each other say nothing: the next request shows where it ended", () => {
    const play = new Play().request(GET);
    play.both("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc");
    play.request(GET).both(OK);
    expect(play.outcomes()).toEqual(["compared", "compared"]);
    expect(
      play.pairs.map(({ production, target }) => [production!.end, target!.end, production!.bytes]),
    ).toEqual([
      ["unseen", "unseen", -1],
      ["complete", "complete", 5],
    ]);
  });
});

describe("how requests end", () => {
  const CUT = "HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nabc";
  const cases: [name: string, play: (play: Play) => unknown, outcomes: Outcome[]][] = [
    ["production's response was not captured", (play) => play.request(GET).target(OK), ["target only"]],
    [
      "nothing of production was captured, and the client goes on",
      (play) => {
        play.request(GET).target(OK);
        play.next += 80;
        play.request(GET).target(OK);
        play.host.time += 1e6;
        play.next += 80;
        play.request(GET).target(OK);
      },
      ["target only", "target only", "target only"],
    ],
    [
      "the target closes instead of answering",
      (play) => {
        play.request(GET).production(OK);
        play.host.session.targetEnded!(false);
      },
      ["production only"],
    ],
    ["the run ends", (play) => play.request(GET).production(OK), ["ended"]],
    [
      "the target is silent for long",
      (play) => {
        play.request(GET).production(OK);
        play.host.time += 10e6;
      },
      ["production only"],
    ],
    [
      "production resets in mid-answer",
      (play) => {
        play.request(GET).production(CUT).target(OK);
        play.host.session.productionEnded!(play.next | 0, true);
      },
      ["compared"],
    ],
    [
      "the target closes in mid-answer",
      (play) => {
        play.request(GET).production(OK).target(CUT);
        play.host.session.targetEnded!(false);
      },
      ["compared"],
    ],
    [
      "the end of production's response was not captured",
      (play) => play.request(GET).production(CUT).target(OK),
      ["ended"],
    ],
    [
      "production sends a response before the request's body, the target after it",
      (play) =>
        play
          .request("POST / HTTP/1.1\r\nContent-Length: 6\r\n\r\nabc")
          .production(OK)
          .request("def")
          .target(OK),
      ["compared"],
    ],
  ];
  test("a request after one that production answered early is not taken for one that did not wait", () => {
    const CHUNKED = `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3e8\r\n${"x".repeat(1000)}\r\n0\r\n\r\n`;
    const play = new Play();
    play.request("POST / HTTP/1.1\r\nContent-Length: 6\r\n\r\nabc").production(OK).request("def").target(OK);
    // The rest of the request has acknowledged the answer already.
    play.pipeline(GET).production(CHUNKED, 2000, 100).target(CHUNKED);
    play.request(GET).both(OK);
    expect(play.close()).toEqual(["compared", "compared", "compared"]);
    // One that is sent with the rest of the body has not waited.
    const hasty = new Play();
    hasty.request("POST / HTTP/1.1\r\nContent-Length: 6\r\nExpect: 100-continue\r\n\r\n");
    hasty.production("HTTP/1.1 100 Continue\r\n\r\n").target("HTTP/1.1 100 Continue\r\n\r\n");
    hasty
      .request("abcdef")
      .pipeline(GET)
      .production(CHUNKED, 2000, 100)
      .target(CHUNKED + OK);
    expect(hasty.close()).toEqual(["compared", "unknownEnd"]);
  });

  for (const [name, run, outcomes] of cases) {
    test(name, () => {
      const play = new Play();
      run(play);
      expect(play.close()).toEqual(outcomes);
      expect(play.requests.count).toBe(0);
    });
  }

  test("dropped by the engine", () => {
    const play = new Play().request(GET).pipeline(GET);
    const begun = play.host.session;
    // The Host has begun both; a third waits.
    play.request(GET);
    expect(play.host.waiting).toBe(1);
    begun.skipped(3 << 5, new Uint8Array(0), 0, 0, false);
    expect(play.outcomes()).toEqual(["notSent"]);
    // Production's answer to it is not taken for that of another.
    play.production(OK + OK + OK.replace("200", "201")).target(OK + OK);
    expect(play.outcomes()).toEqual(["notSent", "compared", "compared"]);
  });

  test("sent again on another connection", () => {
    const play = new Play().request(GET).target("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc");
    play.host.disconnect(true);
    play.host.connect();
    play.production(OK).target(OK);
    // The answer that had begun counts, and the request is not asked about again.
    expect(play.close().length).toBe(1);
    const second = new Play().request(GET);
    second.host.disconnect(true);
    second.host.connect();
    second.both(OK);
    expect(second.outcomes()).toEqual(["compared"]);
  });

  test("more of them than are remembered", () => {
    const play = new Play().request(GET.repeat(1100));
    expect(play.outcomes()).toEqual(Array<Outcome>(76).fill("tooMany"));
    play.both(OK.repeat(1100), 1000);
    play.request(GET).both(OK);
    expect(play.outcomes().filter((outcome) => outcome === "compared").length).toBe(1025);
  });

  test("over the memory", () => {
    const play = new Play({ ...HEADS, memory: 3000 }).request(GET.repeat(4));
    expect(play.outcomes()).toEqual(["tooMany", "tooMany"]);
    play.both(OK.repeat(4));
    expect(play.outcomes().slice(2)).toEqual(["compared", "compared"]);
    // What was held is given back.
    play.request(GET.repeat(2)).both(OK.repeat(2));
    expect(play.outcomes().slice(4)).toEqual(["compared", "compared"]);
  });
});

describe("another protocol", () => {
  const UPGRADE = "GET /chat HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
  const ACCEPTED = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n";

  test("an Upgrade that both accept is compared, what was asked behind it is not", () => {
    const play = new Play().request(UPGRADE).pipeline(GET).both(ACCEPTED);
    expect(play.host.handedOver).toBe("streaming");
    expect(play.close()).toEqual(["compared", "upgraded"]);
    expect(play.pairs[0]).toMatchObject({ production: { status: 101 }, target: { status: 101 } });
  });

  test("production's response may be captured after that of the target", () => {
    const play = new Play().request(UPGRADE).target(ACCEPTED).production(ACCEPTED);
    expect(play.outcomes()).toEqual(["compared"]);
  });

  test("an Upgrade that only production accepts is compared", () => {
    const play = new Play().request(UPGRADE).production(ACCEPTED).request("\x81\x01A");
    play.target("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
    expect(play.host.isRefused).toBe(true);
    expect(play.close()).toEqual(["compared"]);
    expect(play.pairs[0]).toMatchObject({ production: { status: 101 }, target: { status: 400 } });
  });

  test("a session that is no HTTP is handed over at once, whatever its first bytes, and counted once", () => {
    const first = [
      "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
      "\x16\x03\x01\x02\x00\x01",
      "*1\r\n$4\r\nPING\r\n",
      "get key\r\n",
      "GET key\r\n",
      "EHLO a\r\n",
      "PING",
      "HELLO WORLD",
      "GET key",
      "\r\n",
    ];
    for (const bytes of first) {
      const play = new Play().request(bytes);
      expect([bytes, play.host.handedOver]).toEqual([bytes, "waiting"]);
      expect(text(play.host.stream)).toBe(bytes);
      expect([play.others, play.pairs.length]).toEqual([1, 0]);
    }
  });

  test("the first bytes of a request are waited for, however they are cut", () => {
    for (let size = 1; size < GET.length; size++) {
      const play = new Play().request(GET, size).both(OK);
      expect([play.others, play.outcomes()]).toEqual([0, ["compared"]]);
    }
  });
});

describe("where production's response was not captured whole", () => {
  test("of each segment only the beginning: lengths come from TCP", () => {
    const big = `HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n${"x".repeat(5000)}`;
    const play = new Play();
    for (let round = 0; round < 3; round++) play.request(GET).production(big, 1448, 64).target(big, 1448, 64);
    expect(play.outcomes()).toEqual(["compared", "compared", "compared"]);
    expect(play.pairs[2]).toMatchObject({
      production: { bytes: 5000, end: "complete" },
      target: { bytes: 5000, end: "complete" },
    });
  });

  test("chunks, or a head, that are cut: the next request says where it ended", () => {
    const chunked = `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10\r\n${"x".repeat(16)}\r\n400\r\n${"y".repeat(1024)}\r\n0\r\n\r\n`;
    const long = `HTTP/1.1 404 Not Found\r\nContent-Length: 3\r\nA: ${"z".repeat(500)}\r\n\r\nabc`;
    const play = new Play();
    play.request(GET).production(chunked, 700, 64).target(chunked, 700, 64);
    play.request(GET).production(long, 5000, 64).target(long, 5000, 64);
    play.request(GET).both(OK);
    expect(play.outcomes()).toEqual(["compared", "compared", "compared"]);
    for (const side of ["production", "target"] as const) {
      expect(play.pairs.map((pair) => [pair[side]!.status, pair[side]!.end, pair[side]!.bytes])).toEqual([
        [200, "unseen", -1],
        [404, "unseen", 3],
        [200, "complete", 5],
      ]);
      expect(play.pairs.map((pair) => pair[side]!.isHeadWhole)).toEqual([true, false, true]);
    }
  });

  test("with pipelining nobody can say which answer is which", () => {
    const chunked = `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n400\r\n${"y".repeat(1024)}\r\n0\r\n\r\n`;
    const play = new Play().request(GET + GET);
    play.production(chunked + OK, 5000, 64).target(chunked + OK, 5000, 64);
    play.request(GET).both(OK);
    expect(play.close()).toEqual(["compared", "unknownEnd", "unknownEnd"]);
    expect(play.pairs[0]).toMatchObject({ production: { end: "unseen" }, target: { end: "unseen" } });
  });

  for (const lost of [0, 1, 2]) {
    test(`segment ${lost} of a body of known length is lost`, () => {
      const play = new Play(BODIES).request(GET);
      const answer = `HTTP/1.1 200 OK\r\nContent-Length: 90\r\n\r\n${"x".repeat(90)}`;
      const bytes = latin1(answer);
      for (let index = 0; index * 50 < bytes.length; index++) {
        if (index !== lost) play.capture(bytes.slice(index * 50, index * 50 + 50), play.next + index * 50);
      }
      play.next += bytes.length;
      play.target(answer);
      play.request(GET);
      play.host.time += 200_000;
      play.production(OK).target(OK);
      play.host.time += 200_000;
      play.request(GET).both(OK);
      const gone: Outcome = lost === 0 ? "gap" : "compared";
      expect(play.outcomes()).toEqual([gone, "compared", "compared"]);
      if (lost > 0) expect(play.pairs[0]!.production).toMatchObject({ bytes: 90, digest: null });
    });
  }

  test("a session that is older than xcopy, and numbers that wrap around", () => {
    const play = new Play();
    play.next = 0xffffffe0;
    for (let round = 0; round < 3; round++) play.request(GET).both(OK);
    expect(play.outcomes()).toEqual(["compared", "compared", "compared"]);
  });

  test("a response that comes before its request, repeated and in the wrong order", () => {
    const play = new Play();
    play.request(GET).both(OK);
    const second = latin1(OK.replace("200", "201"));
    const at = play.next;
    play.capture(second.slice(30), at + 30);
    play.capture(second.slice(0, 40), at);
    play.capture(second.slice(0, 40), at);
    play.request(GET);
    play.next = at + second.length;
    play.target(OK).request(GET).both(OK);
    expect(play.pairs.map(({ production }) => production?.status)).toEqual([200, 201, 200]);
  });

  test("bytes of the client are lost: the response to what is not known is skipped", () => {
    const play = new Play().request(GET).both(OK);
    play.production(OK.replace("200", "404"));
    play.host.ack = play.next | 0;
    play.host.request(latin1(GET), true, GET.length, true);
    play.both(OK.replace("200", "201"));
    expect(play.pairs.map(({ production }) => production!.status)).toEqual([200, 201]);
  });
});

describe("content", () => {
  const answer = (body: string, status = 200) =>
    `HTTP/1.1 ${status} OK\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
  const POST = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";

  test("is handed over where it differs, without chunks", () => {
    const play = new Play(BODIES).request(POST, 7).production(CHUNKED, 9).target(answer("other"));
    const [{ production, target, requestBody }] = play.pairs as [Pair];
    expect([text(production!.body), text(target!.body), text(requestBody)]).toEqual([
      "abc0123456789",
      "other",
      "abcde",
    ]);
    const sha256 = (body: string) => new Uint8Array(createHash("sha256").update(body).digest());
    expect(production!.digest).toEqual(sha256("abc0123456789"));
    expect(target!.digest).toEqual(sha256("other"));
  });

  test("or where the status does", () => {
    const play = new Play(BODIES).request(GET).production(answer("same")).target(answer("same", 500));
    expect([text(play.pairs[0]!.production!.body), text(play.pairs[0]!.target!.body)]).toEqual([
      "same",
      "same",
    ]);
  });

  test("beyond the memory only its hash is", () => {
    const play = new Play({ ...BODIES, memory: 6000 }).request(GET);
    play.production(answer("x".repeat(9000)), 500).target(answer("y".repeat(9000)), 500);
    const [{ production, target }] = play.pairs as [Pair];
    expect([production!.body, target!.body]).toEqual([null, null]);
    expect([production!.digest!.length, target!.digest!.length]).toEqual([32, 32]);
    play.request(GET).production(answer("abc")).target(answer("abd"));
    expect(text(play.pairs[1]!.target!.body)).toBe("abd");
  });
});

test("what production sends without being asked is kept within the memory, and given back", () => {
  const play = new Play({ ...BODIES, memory: 20_000 });
  for (let at = 0; at < 30; at++) play.capture(new Uint8Array(1000), play.next + at * 1000);
  expect(play.requests.reserve(15_000)).toBe(false);
  play.next += 30_000;
  play.request(GET).both(OK);
  expect([play.outcomes(), play.close()]).toEqual([["compared"], ["compared"]]);
  expect(play.requests.reserve(15_000)).toBe(true);
});

describe("the hash of compared fields", () => {
  const hashOf = (fields: string, config = { ...HEADS, fields: ["content-type", "etag"] }) => {
    const play = new Play(config).request(GET).both(`HTTP/1.1 204 No\r\n${fields}\r\n`);
    return play.pairs[0]!.target!.fields;
  };
  const base = hashOf("Content-Type: a/b\r\nETag: x\r\n");

  test("is the same whatever their order, case and blanks", () => {
    for (const same of [
      "ETag: x\r\nContent-Type: a/b\r\n",
      "content-TYPE:a/b  \r\nDate: now\r\neTag:\t x\r\n",
      "Content-Type:\r\n a/b\r\nETag: x\n",
    ]) {
      expect(base).toBeGreaterThan(0);
      if (same.includes("\r\n a/b")) expect(hashOf(same)).toBeGreaterThan(0);
      else expect(hashOf(same)).toBe(base);
    }
  });

  test("differs with a value, and where a field is missing; none has 0", () => {
    const others = [
      "Content-Type: a/b\r\n",
      "ETag: a/b\r\nContent-Type: x\r\n",
      "Content-Type: a/b\r\nETag: X\r\n",
    ];
    for (const other of others) expect(hashOf(other)).not.toBe(base);
    expect(hashOf("Date: now\r\n")).toBe(0);
    expect(hashOf("ETag: a\r\nETag: b\r\n")).not.toBe(hashOf("ETag: b\r\nETag: a\r\n"));
  });
});

test("a head of 64 KiB is taken, and 8 KiB of it kept", () => {
  const answer = `HTTP/1.1 200 OK\r\nContent-Length: 2\r\nA: ${"x".repeat(60_000)}\r\n\r\nab`;
  const play = new Play().request(GET).both(answer, 1000).request(GET).both(OK);
  expect(play.outcomes()).toEqual(["compared", "compared"]);
  expect(play.pairs[0]!.target).toMatchObject({ isHeadWhole: false, fields: 0, bytes: 2 });
  expect(play.pairs[0]!.target!.head.length).toBe(8192);
});

// Random connections.

interface Made {
  method: string;
  status: number;
  /** The answer to each side: content, and whether it is in chunks. */
  bodies: [production: string, target: string];
  chunked: [boolean, boolean];
  interim: boolean;
}

const made: fc.Arbitrary<Made> = fc.record({
  method: fc.constantFrom("GET", "GET", "HEAD", "POST"),
  status: fc.constantFrom(200, 200, 201, 204, 304, 404, 500),
  bodies: fc.tuple(fc.string({ maxLength: 300 }), fc.string({ maxLength: 300 })),
  chunked: fc.tuple(fc.boolean(), fc.boolean()),
  interim: fc.boolean(),
});

interface Conditions {
  depth: number;
  mss: number;
  prefix: number;
  loss: number;
  duplication: number;
  reordering: number;
  body: boolean;
  /** How often the engine takes an answer for ended that is not. */
  impatience: number;
}

function contentOf({ method, status, bodies }: Made, side: 0 | 1): string {
  return method === "HEAD" || status === 204 || status === 304 ? "" : bodies[side];
}

function answerOf(id: number, one: Made, side: 0 | 1): string {
  const body = bytesOnly(one.bodies[side]);
  const head = `HTTP/1.1 ${one.status} X\r\nX-Id: ${id}\r\n`;
  const interim = one.interim ? "HTTP/1.1 103 Early Hints\r\nX-Id: none\r\n\r\n" : "";
  if (one.status === 204) return `${interim}${head}\r\n`;
  const hasBody = one.method !== "HEAD" && one.status !== 304;
  if (!one.chunked[side])
    return `${interim}${head}Content-Length: ${body.length}\r\n\r\n${hasBody ? body : ""}`;
  const half = body.length >> 1;
  const chunks = [body.slice(0, half), body.slice(half)]
    .filter((chunk) => chunk !== "")
    .map((chunk) => `${chunk.length.toString(16)};e=1\r\n${chunk}\r\n`);
  return `${interim}${head}Transfer-Encoding: chunked\r\n\r\n${hasBody ? `${chunks.join("")}0\r\nT: x\r\n\r\n` : ""}`;
}

/** Characters of one byte. */
function bytesOnly(value: string): string {
  return Buffer.from(value, "latin1").toString("latin1");
}

/** Plays a connection; checks each pair, and returns how they ended. */
function playAll(all: Made[], conditions: Conditions, random: () => number): Outcome[] {
  const { depth, mss, prefix } = conditions;
  const queue: number[] = [];
  let received = "";
  const play = new Play(conditions.body ? BODIES : HEADS, (bytes) => {
    received += text(bytes);
    for (let at = /X-Id: ([0-9]+)\r\n/.exec(received); at; at = /X-Id: ([0-9]+)\r\n/.exec(received)) {
      queue.push(Number(at[1]));
      received = received.slice(at.index + at[0].length);
    }
  });
  play.host.isSilent = () => queue.length === 0 || random() < conditions.impatience;
  const asked: number[] = [];
  let sent = 0;
  let acknowledged = play.next;
  let captures: { at: number; bytes: Uint8Array; seq: number }[] = [];
  const deliver = (now: number) => {
    const due = captures.filter(({ at }) => at <= now).sort((a, b) => a.at - b.at);
    captures = captures.filter(({ at }) => at > now);
    for (const { bytes, seq } of due) play.capture(bytes, seq, prefix);
  };
  while (sent < all.length || asked.length > 0 || queue.length > 0) {
    play.host.time += Math.floor(random() * 30_000);
    deliver(play.host.time);
    const choice = random();
    if (choice < 0.4 && sent < all.length && asked.length < depth) {
      const { method } = all[sent]!;
      const ack =
        asked.length === 0 ? play.next : acknowledged + Math.floor(random() * (play.next - acknowledged + 1));
      const isTurn = sent === 0 || ack !== acknowledged;
      acknowledged = ack;
      play.host.ack = ack | 0;
      const body = method === "POST" ? "Content-Length: 3\r\n" : "";
      const request = `${method} /${sent} HTTP/1.1\r\n${body}X-Id: ${sent}\r\n\r\n${body && "abc"}`;
      asked.push(sent++);
      play.host.request(latin1(request), isTurn);
    } else if (choice < 0.7 && asked.length > 0) {
      const count = 1 + Math.floor(random() * asked.length);
      const answers = asked.splice(0, count).map((id) => answerOf(id, all[id]!, 0));
      const bytes = latin1(answers.join(""));
      // Only to pipelined requests answers share a segment.
      for (let from = 0; from < bytes.length; from += mss) {
        const segment = { bytes: bytes.slice(from, from + mss), seq: play.next + from };
        const late = random() < conditions.reordering ? random() * 50_000 : 0;
        if (random() >= conditions.loss) captures.push({ at: play.host.time + late, ...segment });
        if (random() < conditions.duplication)
          captures.push({ at: play.host.time + random() * 300_000, ...segment });
      }
      play.next += bytes.length;
      deliver(play.host.time);
    } else if (queue.length > 0) {
      const id = queue.shift()!;
      play.host.response(latin1(answerOf(id, all[id]!, 1)), mss, prefix);
    }
  }
  deliver(Number.POSITIVE_INFINITY);
  play.close();
  expect(play.pairs.map(({ name }) => name).sort()).toEqual(all.map((_, id) => `/${id}`).sort());
  expect(play.requests.count).toBe(0);
  for (const { name, outcome, production, target } of play.pairs) {
    const id = Number(name.slice(1));
    for (const [side, answer] of [production, target].entries()) {
      if (!answer) continue;
      const one = all[id]!;
      if (answer.isHeadWhole) expect(text(answer.head)).toContain(`X-Id: ${id}\r\n`);
      expect(answer.status).toBe(one.status);
      const content = bytesOnly(contentOf(one, side as 0 | 1));
      if (answer.bytes >= 0) expect([id, answer.bytes]).toEqual([id, content.length]);
      if (answer.digest)
        expect(text(answer.digest)).toBe(
          createHash("sha256").update(latin1(content)).digest().toString("latin1"),
        );
    }
    if (outcome === "compared") expect([production, target]).not.toContain(null);
  }
  return play.outcomes();
}

/** A generator of random numbers from a seed (mulberry32). */
function randomOf(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

const CLEAN: Conditions = {
  depth: 1,
  mss: 1448,
  prefix: 1e9,
  loss: 0,
  duplication: 0,
  reordering: 0,
  body: false,
  impatience: 0,
};

describe("random requests", () => {
  const runs = { numRuns: 100 };
  const conditions = fc.record({
    depth: fc.integer({ min: 1, max: 6 }),
    mss: fc.integer({ min: 60, max: 2000 }),
    reordering: fc.constantFrom(0, 0.1),
    duplication: fc.constantFrom(0, 0.1),
    body: fc.boolean(),
  });
  const requests = fc.array(made, { minLength: 20, maxLength: 40 });
  const seed = fc.integer();

  test("all are compared where all was captured, pipelined or not", () => {
    fc.assert(
      fc.property(requests, conditions, seed, (all, some, start) => {
        const outcomes = playAll(all, { ...CLEAN, ...some }, randomOf(start));
        expect(new Set(outcomes)).toEqual(new Set(["compared"]));
      }),
      runs,
    );
  });

  test("all are compared where the beginnings of segments were, one at a time", () => {
    fc.assert(
      fc.property(
        requests,
        conditions,
        fc.integer({ min: 150, max: 400 }),
        seed,
        (all, some, prefix, start) => {
          const quiet = { ...CLEAN, ...some, depth: 1, prefix, mss: Math.max(some.mss, prefix) };
          const outcomes = playAll(all, quiet, randomOf(start));
          expect(new Set(outcomes)).toEqual(new Set(["compared"]));
        },
      ),
      runs,
    );
  });

  test("no response is taken for another where some was lost, or cut", () => {
    let compared = 0;
    let count = 0;
    fc.assert(
      fc.property(
        requests,
        conditions,
        fc.integer({ min: 20, max: 2000 }),
        seed,
        (all, some, prefix, start) => {
          const lossy = { ...CLEAN, ...some, prefix, loss: 0.01, impatience: 0.1 };
          const outcomes = playAll(all, lossy, randomOf(start));
          count += outcomes.length;
          compared += outcomes.filter((outcome) => outcome === "compared").length;
        },
      ),
      { numRuns: 200 },
    );
    expect(compared).toBeGreaterThan(count / 4);
  });
});
