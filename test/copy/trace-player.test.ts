/** When recorded requests are played, and what is told of pauses. */
import { describe, expect, test } from "bun:test";
import { createTraceMemory, SMALLEST_RING, viewTraceMemory } from "../../src/capture/trace/memory.ts";
import { RingWriter } from "../../src/capture/trace/ring-writer.ts";
import { createCounters, INDEX } from "../../src/copy/data-plane/shared.ts";
import { TracePlayer } from "../../src/copy/data-plane/trace-player.ts";
import { renderStep } from "../../src/copy/notes/clocks.ts";
import type { Engine } from "../../src/engine/engine.ts";
import { span } from "../../src/runtime/figures.ts";
import { ACK, PSH } from "../../src/wire/tcp.ts";
import { packet } from "../engine/packets.ts";

const BEGIN = 1.7e15;
const REQUEST = {
  sourcePort: 5,
  destinationPort: 80,
  seq: 1000,
  flags: ACK | PSH,
  payload: new Uint8Array(9),
};
const SECOND = 1e6;
const MINUTE = 60 * SECOND;

/** A player of requests at so many us after the first, in virtual time; `playAt` returns how many it has played by then. */
function play(times: number[], { speed = 1, longestGap = 0 } = {}) {
  const memory = createTraceMemory(SMALLEST_RING);
  const writer = new RingWriter(viewTraceMemory(memory), -1);
  for (const time of times) writer.write(packet({ ...REQUEST, time: BEGIN + time }), 0);
  writer.end();
  const counters = createCounters();
  const engine = { pending: 0, segmentsHeld: 0, endClients() {} } as unknown as Engine;
  const config = { memory, wake: -1, speed, longestGap, rate: 0 };
  const player = new TracePlayer(config, 1e9, SECOND, engine, counters);
  let played = 0;
  const playAt = (now: number): number => {
    player.drain(() => played++, 100, now);
    return played;
  };
  return { playAt, toNext: () => counters[INDEX.nextRequest]! };
}

describe("pauses of over a minute are told while they last", () => {
  const NIGHT = 480 * MINUTE;

  test("by how long they still take", () => {
    const { playAt, toNext } = play([0, SECOND, SECOND + NIGHT]);
    expect([playAt(0), toNext()]).toEqual([1, 0]);
    expect([playAt(SECOND), toNext()]).toEqual([2, NIGHT]);
    expect([playAt(60 * MINUTE), toNext()]).toEqual([2, SECOND + NIGHT - 60 * MINUTE]);
    expect([playAt(NIGHT - 59 * SECOND), toNext()]).toEqual([2, 0]);
    expect([playAt(NIGHT + SECOND), toNext()]).toEqual([3, 0]);
    expect([playAt(NIGHT + MINUTE), toNext()]).toEqual([3, 0]);
  });

  test.each([
    ["at ten times the speed", { speed: 10 }, NIGHT / 10],
    ["with gaps cut to two minutes", { longestGap: 2 * MINUTE }, 2 * MINUTE],
    ["with gaps cut to a second", { longestGap: SECOND }, 0],
    ["as fast as the target answers", { speed: Number.POSITIVE_INFINITY }, 0],
  ])("%s", (_, options, expected) => {
    const { playAt, toNext } = play([0, NIGHT], options);
    playAt(0);
    expect(toNext()).toBe(expected);
  });
});

test.each([
  [500, "500 us"],
  [59.6 * SECOND, "1 min"],
  [192 * MINUTE, "3 h 12 min"],
  [24 * 60 * MINUTE, "1 d"],
  [86_400 * 365.25 * SECOND, "1 year"],
  [86_400 * (20 * 365.25 + 3) * SECOND, "20 years 3 d"],
])("a span of %p us is %p", (us, text) => expect(span(us)).toBe(text));

test("steps of clocks are told with their numbers", () => {
  const from = Date.parse("2026-03-29T10:00:00.5Z") * 1000;
  const step = { path: "a.pcap", from, to: from - 60 * MINUTE };
  expect(renderStep(step)).toBe(
    'the clock of "a.pcap" goes 1 h back (from 2026-03-29T10:00:00Z to 2026-03-29T09:00:00Z): the replay goes on without a pause',
  );
  expect(renderStep({ path: null, from, to: -1e25 })).toMatch(/^the recordings are [\d,]+ years/);
});
