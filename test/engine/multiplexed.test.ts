/** HTTP/2: answers that overlap, and a target that is slower with them than production. */
import { expect, test } from "bun:test";
import { faultOfBooks } from "./books.ts";
import { client, Simulation, texts } from "./simulation.ts";

/** The model server answers each line; the preface's have no answer. */
const PREFACE = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const isPreface = (line: string) => /^(PRI.*|SM)?\r$/.test(line);

/** A client whose turns are these, each sent when production had answered with 100 bytes for each line of the one before. */
function simulate(
  turns: string[],
  lines: {
    answer?: (line: string) => number;
    time?: (line: string) => number;
    preface?: string;
    /** Bytes of production's answer to each turn. */
    production?: number;
    sessionTimeout?: number;
  },
): { net: Simulation; sent: (text: string) => number } {
  const { answer = () => 100, time = () => 200, preface = PREFACE, production = 200 } = lines;
  const net = new Simulation({ seed: 1, config: { pace: "fast" } });
  net.answer = (line) => (isPreface(line) ? 0 : answer(line));
  net.timeOf = (line) => time(line);
  client(net, { port: 40_000, requests: [preface + turns[0], ...turns.slice(1)], answer: production });
  return {
    net,
    /** us from the begin of the run to the turn with this text. */
    sent: (text) => {
      const found = net.sent.find(({ segment }) => new TextDecoder().decode(segment.payload).includes(text));
      return found ? found.at - 1_000_000_000 : Number.NaN;
    },
  };
}

/** Lines a to z, two of them a turn. */
const PAIRS = ["a\nb\n", "c\nd\n", "e\nf\n", "g\nh\n", "i\nj\n"];

function expectDelivered(net: Simulation, text: string): void {
  expect(texts(net)).toEqual([text]);
  expect(net.received[0]!.end).toBe("fin");
  expect(net.count("turnsDropped") + net.count("turnsPending")).toBe(0);
  expect(faultOfBooks(net.counters)).toBe("");
}

test("a turn waits for all bytes that production had sent before it, also if the target pauses", () => {
  const { net, sent } = simulate(PAIRS, { time: (line) => (line === "b" ? 400_000 : 200) });
  net.run(10_000_000);
  expect(sent("c\n")).toBeGreaterThan(400_000);
  expect(sent("i\n")).toBeLessThan(450_000);
  expectDelivered(net, PREFACE + PAIRS.join(""));
});

test("without multiplexing, a pause ends a shorter answer", () => {
  const { net, sent } = simulate(PAIRS, { preface: "", time: (line) => (line === "b" ? 400_000 : 200) });
  net.run(10_000_000);
  expect(sent("c\n")).toBeLessThan(50_000);
  expectDelivered(net, PAIRS.join(""));
});

test("bytes of an earlier answer do not count for a later one", () => {
  // Production had answered to a and b by the time of c, and to c by the time of d; b's answer comes after c's.
  const turns = ["a\nb\n", "c\n", "d\n"];
  const { net, sent } = simulate(turns, {
    production: 100,
    time: (line) => (line === "b" ? 300_000 : line === "c" ? 500_000 : 200),
  });
  net.run(10_000_000);
  expect(sent("c\n")).toBeLessThan(50_000);
  // After b's answer as many bytes have come as production had sent.
  expect(sent("d\n")).toBeGreaterThan(300_000);
  expect(sent("d\n")).toBeLessThan(400_000);
  expectDelivered(net, PREFACE + turns.join(""));
});

test("a target whose responses are shorter is waited for once", () => {
  const turns = Array.from({ length: 50 }, (_, i) => `${i}x\n${i}y\n`);
  const { net, sent } = simulate(turns, { answer: () => 90 });
  net.run(10_000_000);
  expect(sent("1x\n")).toBeGreaterThan(500_000);
  expect(sent("49x\n") - sent("1x\n")).toBeLessThan(49 * 5000);
  expectDelivered(net, PREFACE + turns.join(""));
});

test("a turn does not wait for a response that the target sent earlier than production", () => {
  // Production had said something before each turn, the target says it all at once at first.
  const turns = ["a\n", "b\n", "c\n", "d\n", "e\n"];
  const { net, sent } = simulate(turns, { production: 100, answer: (line) => (line === "a" ? 500 : 0) });
  net.run(10_000_000);
  expect(sent("e\n")).toBeLessThan(100_000);
  expect(net.count("turnsOverdue")).toBe(0);
  expectDelivered(net, PREFACE + turns.join(""));
});

test("a target with long pauses is waited for longer", () => {
  const time = (line: string) => (line === "b" || line === "d" ? 450_000 : line === "f" ? 1_200_000 : 200);
  const { net, sent } = simulate(PAIRS, { time });
  net.run(10_000_000);
  expect(sent("g\n") - sent("e\n")).toBeGreaterThan(1_200_000);
  expectDelivered(net, PREFACE + PAIRS.join(""));
});

test("a target that answers nothing is waited for until the turn timeout", () => {
  const { net, sent } = simulate(PAIRS, { answer: () => 0 });
  net.run(60_000_000);
  expect(sent("c\n")).toBeGreaterThan(5_000_000);
  expect(net.count("turnsOverdue")).toBeGreaterThan(0);
  expectDelivered(net, PREFACE + PAIRS.join(""));
});

test("the connection is closed when the target has sent as many bytes as production", () => {
  const { net } = simulate(["a\nb\n"], { time: (line) => (line === "b" ? 450_000 : 200) });
  net.run(10_000_000);
  const fin = net.sent.find(({ segment }) => segment.flags & 1)!;
  expect(fin.at - 1_000_000_000).toBeGreaterThan(450_000);
  expectDelivered(net, `${PREFACE}a\nb\n`);
});
