/** Sessions with a protocol module: what it writes, inserts, replaces, holds and leaves out, on networks that lose. */
import { describe, expect, test } from "bun:test";
import { INTERCEPT_AWAY } from "../../src/engine/sessions/hold.ts";
import {
  DROP,
  GO,
  type Outlet,
  type ProtocolModule,
  type ProtocolSession,
} from "../../src/protocol/module.ts";
import { type Conditions, client, Simulation, texts } from "./simulation.ts";

const ANSWER = 100;
const KEPT = 0;
const REPLACED = 1;
const DROPPED = 2;
const WRAPPED = 3;
const ENLARGED = 4;
/** More than a segment of the queue holds. */
const HUGE = "h".repeat(150_000);

/**
 * Requests are lines, answers have 100 bytes. Each connection begins with a line "hello"; a line with "long" becomes longer
 * on its way in, one with "swap" another when it begins, one with "huge" much longer, one with "wrap" gets brackets around each of its
 * segments as it goes, one with "drop" or "skip" is not sent, one with "throw" fails. One with "rest" is followed by another line, which
 * waits for the answer to it; one with "never" too, and it may not be sent then either. One with "login" is the module's own affair.
 */
class Lines implements ProtocolSession {
  private line = "";
  private answered = 0;
  private sent = 0;
  private isGreeted = false;
  private hasBegun = false;
  private wraps = false;
  private hasRest = false;
  private allows = true;

  constructor(private readonly outlet: Outlet) {}

  request(bytes: Uint8Array, from: number, to: number, isFresh: boolean): void {
    if (isFresh) this.line = "";
    for (let at = from; at < to; at++) {
      this.line += String.fromCharCode(bytes[at]!);
      if (bytes[at] !== 10) continue;
      this.take(this.line.includes("long") ? this.line.replace("long", "l".repeat(5000)) : this.line);
      this.line = "";
    }
  }

  private take(line: string): void {
    if (line.includes("throw")) throw new Error("as asked for");
    if (line.includes("login")) return;
    if (line.includes("skip")) {
      this.outlet.leaveOut();
      return;
    }
    const kinds = { swap: REPLACED, drop: DROPPED, wrap: WRAPPED, huge: ENLARGED };
    const kind = Object.entries(kinds).find(([word]) => line.includes(word));
    const isRest = this.hasRest;
    this.hasRest = line.includes("rest") || line.includes("never");
    if (isRest) this.outlet.pause();
    else this.outlet.begin(kind?.[1] ?? KEPT);
    if (this.hasRest) this.allows = line.includes("rest");
    const written = new TextEncoder().encode(line);
    // In two pieces: the second may become a segment of its own.
    this.outlet.write(written, 0, 3);
    this.outlet.write(written, 3, written.length);
  }

  response(_bytes: Uint8Array, from: number, to: number): void {
    this.answered += to - from;
    if (!this.isGreeted && this.answered >= ANSWER) this.isGreeted = true;
    this.outlet.wake();
  }

  mayBegin(): boolean {
    return this.isGreeted && this.isAnswered();
  }

  mayGoOn(): boolean {
    return this.allows && this.isAnswered();
  }

  begin(tag: number, bytes: Uint8Array, from: number, to: number, again: boolean): typeof GO | typeof DROP {
    if (tag === DROPPED) return DROP;
    this.wraps = tag === WRAPPED;
    if (!again) this.more(bytes, from, to);
    if (tag === ENLARGED) this.outlet.replace(new TextEncoder().encode(HUGE));
    if (tag === REPLACED) this.outlet.replace(new TextEncoder().encode("longer than "));
    this.sent++;
    return GO;
  }

  more(bytes: Uint8Array, from: number, to: number): void {
    if (!this.wraps) return;
    this.outlet.replace(Uint8Array.of(0x28, ...bytes.subarray(from, to), 0x29));
  }

  skipped(): void {}

  isAnswered(): boolean {
    return this.hasBegun ? this.answered >= this.sent * ANSWER : true;
  }

  connected(): void {
    this.hasBegun = true;
    this.sent = 1;
    this.answered = 0;
    this.isGreeted = false;
    this.outlet.insert(new TextEncoder().encode("hello\n"));
  }

  disconnected(): void {
    this.hasBegun = false;
    this.isGreeted = false;
  }

  close(): void {}
}

const LINES: ProtocolModule = {
  name: "lines",
  waitsForever: true,
  keptFor: 600e6,
  open: (outlet) => new Lines(outlet),
};

function simulation(conditions: Conditions): Simulation {
  const net = new Simulation({ ...conditions, config: { ...conditions.config, modules: [LINES] } });
  net.answer = () => ANSWER;
  return net;
}

function expectBooksToBalance(net: Simulation): void {
  const count = net.count.bind(net);
  expect(count("turnsCaptured")).toBe(count("turnsSent") + count("turnsDropped") + count("turnsPending"));
  expect(count("opened") + count("midstream")).toBe(
    count("active") + count("closed") + count("resetSessions") + count("failed") + count("shed"),
  );
  expect(count("turnsPending")).toBe(0);
}

const textOf = ({ payload }: { payload: Uint8Array }) => new TextDecoder().decode(payload);
const lines = (n: number) => Array.from({ length: n }, (_, i) => `request ${i}\n`);

describe("on a network that loses nothing", () => {
  test("the module's own bytes are sent first, then the requests as it writes them", () => {
    const net = simulation({ seed: 1 });
    client(net, {
      port: 40000,
      requests: ["aaa\n", "bb long\n", "cc swap\n", "dd drop\n", "ee skip\n", "ff\n"],
    });
    net.run(5_000_000);
    expect(texts(net)).toEqual([`hello\naaa\nbb ${"l".repeat(5000)}\nlonger than swap\nff\n`]);
    expect(net.count("dropped.protocol")).toBe(2);
    expect(net.count("memory")).toBe(0);
    expectBooksToBalance(net);
  });

  test("later segments of a request may be changed when they are sent, and become longer than a segment", () => {
    const net = simulation({ seed: 6 });
    client(net, { port: 40000, requests: ["aa wrap\n", "bb huge\n", "cc wrap\n", "dd\n"] });
    net.run(20_000_000);
    expect(texts(net)).toEqual([`hello\n(aa )(wrap\n)${HUGE}huge\n(cc )(wrap\n)dd\n`]);
    expect(net.count("memory")).toBe(0);
    expectBooksToBalance(net);
  });

  test("a request goes on after a pause when the module allows it, and without that after a second", () => {
    const net = simulation({ seed: 7, delay: 5000, serviceTime: 20_000 });
    client(net, { port: 40000, requests: ["aa rest\n", "bb\n"] });
    client(net, { port: 40001, requests: ["cc never\n", "dd\n"] });
    net.run(5_000_000);
    expect(texts(net)).toEqual(["hello\naa rest\nbb\n", "hello\ncc never\ndd\n"]);
    const sent = (text: string) => net.sent.find(({ segment }) => textOf(segment).includes(text))!.at;
    const waits = [sent("bb\n") - sent("aa"), sent("dd\n") - sent("cc")];
    expect(waits[0]).toBeGreaterThan(20_000);
    expect(waits[0]).toBeLessThan(100_000);
    expect(waits[1]).toBeGreaterThan(1_000_000);
    expect(waits[1]).toBeLessThan(1_100_000);
    expect(net.count("memory")).toBe(0);
    expectBooksToBalance(net);
  });

  test("a module that throws ends the copying of its session only", () => {
    const net = simulation({ seed: 2 });
    client(net, { port: 40000, requests: ["one\n", "throw\n", "two\n"] });
    client(net, { port: 40001, requests: lines(3) });
    net.run(5_000_000);
    expect(net.received.map(({ end }) => end)).toEqual(["rst", "fin"]);
    expect(texts(net)).toEqual(["hello\none\n", `hello\n${lines(3).join("")}`]);
    expect(net.count("protocolFailures")).toBe(1);
    expect(net.count("memory")).toBe(0);
    expectBooksToBalance(net);
  });

  test("a session older than xcopy begins with the module's own bytes", () => {
    const net = simulation({ seed: 3 });
    client(net, { port: 40000, requests: lines(4), syn: false });
    net.run(5_000_000);
    expect(texts(net)).toEqual([`hello\n${lines(4).slice(1).join("")}`]);
    expectBooksToBalance(net);
  });

  test("no request is lost if the path was held during the login", () => {
    const net = simulation({ seed: 6, delay: 2000 });
    net.engine.hold(0, INTERCEPT_AWAY, net.now);
    client(net, { port: 40000, requests: ["login with a long name\n", "aaa\n", "bb\n"], pace: 1000 });
    // The SYN goes behind the login; the requests come before its answer.
    net.at(net.now + 1500, () => net.engine.resume(0, INTERCEPT_AWAY, net.now));
    net.run(5_000_000);
    expect(texts(net)).toEqual(["hello\naaa\nbb\n"]);
    expectBooksToBalance(net);
  });

  test("a session is kept for as long as its module says", () => {
    const net = simulation({ seed: 5 });
    client(net, { port: 40000, requests: lines(3), pace: 300_000_000 });
    net.run(2_000_000_000);
    expect(texts(net)).toEqual([`hello\n${lines(3).join("")}`]);
    expect(net.count("midstream")).toBe(0);
  });

  test("each new connection begins with the module's own bytes, and every request arrives once", () => {
    const net = simulation({ seed: 4 });
    net.closeAfter = 3;
    client(net, { port: 40000, requests: lines(10), pace: 50_000 });
    net.run(20_000_000);
    const got = texts(net).filter((text) => text !== "");
    expect(got.length).toBeGreaterThan(3);
    expect(got.every((text) => text.startsWith("hello\n"))).toBe(true);
    expect(got.map((text) => text.slice(6)).join("")).toBe(lines(10).join(""));
    expectBooksToBalance(net);
  });
});

describe("on networks that lose, repeat and reorder", () => {
  for (let seed = 1; seed <= 40; seed++) {
    test(`seed ${seed}`, () => {
      const net = simulation({
        seed,
        loss: 0.1,
        duplication: 0.05,
        reordering: 0.1,
        delay: 2000,
        window: seed % 2 ? 65535 : 3000,
      });
      const kinds = ["", " long", " drop", " skip", " swap", " wrap"];
      const requests = Array.from(
        { length: 12 },
        (_, i) => `r${i}${kinds[Math.floor(net.random() * kinds.length)]}\n`,
      );
      client(net, { port: 40000, requests });
      client(net, { port: 40001, requests, end: "rst" });
      net.run(200_000_000);
      const expected = requests.filter((line) => !/drop|skip/.test(line)).join("");
      for (const text of texts(net)) {
        const written = expected
          .replaceAll("long", "l".repeat(5000))
          .replaceAll(/^...(?=.*swap$)/gm, "longer than ")
          .replaceAll(/^(...)(.*wrap\n)/gm, "($1)($2)");
        expect(text).toBe(`hello\n${written}`);
      }
      expect(net.received.length).toBe(2);
      expect(net.count("memory")).toBe(0);
      expectBooksToBalance(net);
    });
  }
});
