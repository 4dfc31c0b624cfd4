/** PROXY protocol headers that clients send: they open every connection to the target, as they came or as one of ours. */
import { describe, expect, test } from "bun:test";
import type { ProtocolModule } from "../../src/protocol/module.ts";
import { GO } from "../../src/protocol/module.ts";
import { faultOfBooks } from "./books.ts";
import { client, Simulation } from "./simulation.ts";

const V1 = "PROXY TCP4 198.51.100.7 10.71.1.2 5000 3306\r\n";
const UNKNOWN = "PROXY UNKNOWN\r\n";
const SIGNATURE = "\r\n\r\n\0\r\nQUIT\n";
/** 198.51.100.7:5000 to 10.71.1.2:3306. */
const V2 = `${SIGNATURE}\x21\x11\0\x0c\xc6\x33\x64\x07\x0a\x47\x01\x02\x13\x88\x0c\xea`;
const LOCAL = `${SIGNATURE}\x20\0\0\0`;
/** With a TLV of 3,000 bytes: more than a segment holds. */
const LONG = `${SIGNATURE}\x21\x11\x0b\xc7${V2.slice(16)}\xea\x0b\xb8${"t".repeat(3000)}`;
const HEADERS = { V1, UNKNOWN, V2, LOCAL, LONG };
const OURS = "PROXY TCP4 10.0.0.9 10.0.0.1 40000 80\r\n";

const bytesOf = (text: string) => Uint8Array.from(text, (char) => char.charCodeAt(0));
const texts = (net: Simulation) => net.received.map(({ bytes }) => Buffer.from(bytes).toString("latin1"));

/** Whatever a module would be given is a request of its own: it sees no header. */
const PLAIN: ProtocolModule = {
  name: "plain",
  waitsForever: false,
  keptFor: 0,
  open(outlet) {
    return {
      request(bytes, from, to, _isFresh, isTurn) {
        if (isTurn) outlet.begin(0);
        outlet.write(bytes, from, to);
      },
      response: () => {},
      mayBegin: () => true,
      begin: () => GO,
      skipped: () => {},
      isAnswered: () => true,
      connected: () => {},
      disconnected: () => {},
      close: () => {},
    };
  },
};

interface Case {
  /** -1: none, 0: as it came. */
  option?: -1 | 0 | 1 | 2;
  requests?: string[];
  /** Bytes of a segment of the header; 0: it comes with the first request. */
  split?: number;
  module?: boolean;
  greeting?: number;
  closeAfter?: number;
}

/** What the target got, on each connection. */
function play(
  header: string,
  { option = 0, requests = ["one\n", "two\n"], split = 0, ...of }: Case,
): Simulation {
  const net = new Simulation({
    seed: 1,
    config: { proxyProtocol: option, ...(of.module ? { modules: [PLAIN] } : {}) },
  });
  // Of what ends with a newline the header is no request.
  net.answer = (request) => (/one|two/.test(request) ? 100 : 0);
  net.greeting = of.greeting ?? 0;
  net.closeAfter = of.closeAfter ?? 0;
  const first = split === 0 ? [`${header}${requests[0]}`] : [header, requests[0]!];
  client(net, {
    port: 40_000,
    requests: [...first, ...requests.slice(1)],
    encode: bytesOf,
    unanswered: split === 0 ? 0 : 1,
    segment: split || 1460,
    ...(of.greeting ? { greeting: of.greeting } : {}),
    pace: 20_000,
  });
  net.run(5_000_000);
  expect(net.count("memory")).toBe(0);
  expect(faultOfBooks(net.counters)).toBe("");
  expect(net.count("turnsCaptured")).toBe(requests.length);
  expect(net.count("turnsAnswered")).toBe(requests.length);
  return net;
}

for (const [name, header] of Object.entries(HEADERS)) {
  describe(name, () => {
    for (const split of name === "LONG" ? [0, 1460] : [0, 1, 2, 7, 1460]) {
      const cut = split === 0 ? "with the first request" : `in segments of ${split} bytes`;
      test(`${cut}, goes as it came, and is no request`, () => {
        expect(texts(play(header, { split }))).toEqual([`${header}one\ntwo\n`]);
        expect(texts(play(header, { split, module: true }))).toEqual([`${header}one\ntwo\n`]);
      });
    }

    test("opens every connection of the session", () => {
      const expected = [`${header}one\n`, `${header}two\n`];
      expect(texts(play(header, { closeAfter: 1 })).filter((text) => text !== header)).toEqual(expected);
    });

    test("is replaced by --proxy-protocol, and left out by none", () => {
      const named = /UNKNOWN|LOCAL/.test(name) ? OURS : V1;
      for (const split of [0, 1460]) {
        expect(texts(play(header, { option: 1, split }))).toEqual([`${named}one\ntwo\n`]);
        expect(texts(play(header, { option: -1, split }))).toEqual(["one\ntwo\n"]);
      }
    });

    test("before a server that speaks first", () => {
      for (const split of [0, 1460]) {
        expect(texts(play(header, { split, greeting: 50 }))).toEqual([`${header}one\ntwo\n`]);
      }
    });
  });
}

test("version 2 instead of what the client sends", () => {
  expect(texts(play(V1, { option: 2 }))).toEqual([`${V2}one\ntwo\n`]);
});

test("what only begins like a header is sent as it is", () => {
  const others = ["PROXY TCP4 1.2.3.4\n", "PRO", "P", "\r\n", `${SIGNATURE}\x31\x11\0\0`, "PROXYONE "];
  for (const other of others) {
    for (const module of [false, true]) {
      const net = play("", { requests: [`${other}one\n`, "two\n"], module });
      expect(texts(net)).toEqual([`${other}one\ntwo\n`]);
    }
  }
});

test("a request that may be the beginning of a header goes after a moment, and at once when the client has a response", () => {
  for (const [pace, most] of [
    [1_000_000, 101_000],
    [30_000, 31_000],
  ] as const) {
    const net = new Simulation({ seed: 1 });
    net.answer = () => 0;
    client(net, { port: 40_000, requests: ["PRO", "two\n"], pace });
    net.run(20_000_000);
    expect(texts(net)).toEqual(["PROtwo\n"]);
    const at = net.sent.find(({ segment }) => segment.payload.length === 3)!.at - 1_000_000_000 - pace;
    expect(at).toBeLessThanOrEqual(most);
    expect(net.count("turnsCaptured")).toBe(2);
    expect(faultOfBooks(net.counters)).toBe("");
  }
});
