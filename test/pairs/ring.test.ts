/** The ring of pairs: what goes in comes out, what does not fit is counted. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import {
  type Answer,
  ENDS,
  MOST_BODY,
  MOST_HEAD,
  MOST_NAME,
  OUTCOMES,
  PAIR_PROTOCOLS,
  type Pair,
} from "../../src/pairs/pair.ts";
import { createPairMemory, PairReader, PairWriter } from "../../src/pairs/ring.ts";

const bytes = (most: number) => fc.uint8Array({ maxLength: most }).map((array) => new Uint8Array(array));
const count = fc.oneof(fc.constant(-1), fc.maxSafeNat());
const time = fc.double({ min: 0, max: 1e12, noNaN: true, noDefaultInfinity: true });
const isKnown = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: null });

const answer: fc.Arbitrary<Answer> = fc.record({
  status: fc.nat(65535),
  end: fc.constantFrom(...ENDS),
  bytes: count,
  count,
  firstByte: time,
  lastByte: time,
  head: bytes(300),
  isHeadWhole: fc.boolean(),
  fields: fc.nat(0xffffffff),
  digest: isKnown(fc.uint8Array({ minLength: 32, maxLength: 32 }).map((array) => new Uint8Array(array))),
  body: isKnown(bytes(500)),
});

const pair: fc.Arbitrary<Pair> = fc.record({
  protocol: fc.constantFrom(...PAIR_PROTOCOLS),
  outcome: fc.constantFrom(...OUTCOMES),
  service: fc.nat(1000),
  copy: fc.nat(1000),
  path: fc.integer({ min: -1, max: 1000 }),
  at: time,
  method: fc.constantFrom("GET", "POST", "query", "AAAA", "Größe"),
  name: fc.oneof(fc.webPath(), fc.string({ unit: "grapheme", maxLength: 60 })),
  request: bytes(200),
  requestBody: isKnown(bytes(200)),
  production: isKnown(answer),
  target: isKnown(answer),
});

test("pairs come out as they went in, in order, around the end of the ring, or are counted as lost", () => {
  fc.assert(
    fc.property(
      fc.array(fc.record({ pairs: fc.array(pair, { maxLength: 12 }), most: fc.nat(12) }), { maxLength: 12 }),
      fc.integer({ min: 4096, max: 9000 }),
      (rounds, size) => {
        const memory = createPairMemory(size);
        const writer = new PairWriter(memory);
        const reader = new PairReader(memory);
        const written: Pair[] = [];
        const read: Pair[] = [];
        let lost = 0;
        const take = (most: number) => {
          const before = read.length;
          expect(reader.drain((one) => read.push(structuredClone(one)), most)).toBe(read.length - before);
        };
        for (const { pairs, most } of rounds) {
          for (const one of pairs) {
            const before = reader.lost;
            writer.take(one);
            if (reader.lost === before) written.push(one);
            else lost++;
          }
          take(most);
        }
        take(1e9);
        expect(read).toEqual(written);
        expect(reader.lost).toBe(lost);
      },
    ),
    { numRuns: 300 },
  );
});

const one = (change: Partial<Pair> = {}): Pair => ({
  protocol: "http",
  outcome: "compared",
  service: 0,
  copy: 0,
  path: 0,
  at: 1,
  method: "GET",
  name: "/",
  request: new Uint8Array(100),
  requestBody: null,
  production: null,
  target: null,
  ...change,
});

test("a pair that does not fit is counted, and the next that does is taken", () => {
  const memory = createPairMemory(4096);
  const writer = new PairWriter(memory);
  const reader = new PairReader(memory);
  writer.take(one({ request: new Uint8Array(MOST_HEAD) }));
  expect(reader.lost).toBe(1);
  const pairs: Pair[] = [];
  for (let round = 0; round < 10_000; round++) {
    writer.take(one({ at: round }));
    if (round % 20 === 19) reader.drain((pair) => pairs.push(pair), 1000);
  }
  expect(reader.lost).toBe(1);
  expect(pairs.map(({ at }) => at)).toEqual(Array.from({ length: 10_000 }, (_, index) => index));
});

test("production's times are those of its own clock, at whatever speed a recording is played", () => {
  const answer: Answer = {
    status: 200,
    end: "complete",
    bytes: 1,
    count: 0,
    firstByte: 100,
    lastByte: 200,
    head: new Uint8Array(0),
    isHeadWhole: false,
    fields: 0,
    digest: null,
    body: null,
  };
  const timesAt = (speed?: number) => {
    const memory = createPairMemory(1 << 14);
    new PairWriter(memory, speed).take(one({ production: answer, target: answer }));
    const times: number[] = [];
    new PairReader(memory).drain(({ production, target }) => {
      for (const { firstByte, lastByte } of [production!, target!]) times.push(firstByte, lastByte);
    }, 1);
    return times;
  };
  expect(timesAt()).toEqual([100, 200, 100, 200]);
  expect(timesAt(4)).toEqual([400, 800, 100, 200]);
  expect(timesAt(Number.POSITIVE_INFINITY)).toEqual([-1, -1, 100, 200]);
});

test("what is longer than a pair may be is cut", () => {
  const memory = createPairMemory(1 << 20);
  const long = new Uint8Array(1 << 19).fill(7);
  const answer: Answer = {
    status: 200,
    end: "complete",
    bytes: 1,
    count: 0,
    firstByte: 1,
    lastByte: 2,
    head: long,
    isHeadWhole: false,
    fields: 0,
    digest: null,
    body: long,
  };
  new PairWriter(memory).take(one({ name: "ä".repeat(5000), request: long, target: answer }));
  const pairs: Pair[] = [];
  new PairReader(memory).drain((pair) => pairs.push(structuredClone(pair)), 10);
  const { name, request, target } = pairs[0]!;
  expect([name.length, request.length]).toEqual([MOST_NAME, MOST_HEAD]);
  expect([target!.head.length, target!.body!.length]).toEqual([MOST_HEAD, MOST_BODY]);
});

test("a worker's pairs reach another thread while it writes", async () => {
  const memory = createPairMemory(1 << 14);
  const reader = new PairReader(memory);
  const worker = new Worker(new URL("writer.ts", import.meta.url).href);
  const total = 50_000;
  const seen: number[] = [];
  const done = new Promise<void>((resolve) => worker.addEventListener("message", () => resolve()));
  worker.postMessage({ memory, total });
  let isDone = false;
  void done.then(() => {
    isDone = true;
  });
  const take = () => reader.drain(({ at, name }) => void (name === `/${at}` && seen.push(at)), 1000);
  while (!isDone) if (take() === 0) await new Promise((resolve) => setImmediate(resolve));
  take();
  worker.terminate();
  expect(seen.length + reader.lost).toBe(total);
  expect(seen.length).toBeGreaterThan(0);
  expect(seen.every((at, index) => index === 0 || at > seen[index - 1]!)).toBe(true);
});
