/** A comparison says exactly what was planted, its counts add up, and no bytes make it throw. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { checkReport } from "../../src/compare/check.ts";
import { Comparison } from "../../src/compare/comparison.ts";
import { parseIgnore } from "../../src/compare/content/ignore.ts";
import { parseMask } from "../../src/compare/mask/pattern.ts";
import { ENDS, OUTCOMES, PAIR_PROTOCOLS, type Pair } from "../../src/pairs/pair.ts";
import {
  anyText,
  compare,
  differencesOf,
  type Given,
  pair,
  RUN,
  random,
  SETTINGS,
  times,
  WITH_NOISE,
} from "./pairs.ts";

const endpointsOf = (pairs: Pair[], settings = {}) =>
  compare(pairs, settings).endpoints.map((endpoint) => [
    `${endpoint.method} ${endpoint.name}`,
    endpoint.count,
    ...differencesOf(endpoint),
  ]);

test("without a pair there is a report, and it says so", () => {
  const report = compare([]);
  expect(report.verdict).toEqual({
    text: "nothing was compared: no request was paired with its responses",
    isWorse: false,
    broken: [],
  });
  expect(checkReport(JSON.parse(JSON.stringify(report)))).toEqual(report);
});

test("what is equal is the same", () => {
  const report = compare(times(200).map((index) => pair(`/users/${index}`, { body: "x" }, { body: "x" })));
  expect(report.verdict.text).toBe(
    "the same: 200 requests of 1 endpoint compared, no difference that matters",
  );
  expect(report.endpoints).toHaveLength(1);
  expect(report.endpoints[0]).toMatchObject({
    method: "GET",
    name: "/users/{id}",
    count: 200,
    differences: [],
    worse: 0,
  });
});

test.each<
  [what: string, production: Given | null, target: Given | null, differences: string[], errors: number]
>([
  ["another status", { status: 200 }, { status: 404 }, ["status 200 -> 404 1/1"], 0],
  ["a failure", { status: 200, body: "x" }, { status: 500, body: "y" }, ["status 200 -> 500 1/1"], 1],
  ["a failure less", { status: 503 }, { status: 200 }, ["status 503 -> 200 1/1"], 0],
  ["failures of both", { status: 500 }, { status: 502 }, ["status 500 -> 502 1/1"], 0],
  ["no response", { status: 200 }, null, ["answer  1/1"], 1],
  ["no response to what failed", { status: 500 }, null, ["answer  1/1"], 0],
  ["no response of production", null, { status: 200 }, [], 0],
  ["cut short", {}, { end: "reset" }, ["end complete -> reset 1/1"], 1],
  ["both cut short", { end: "closed" }, { end: "reset", body: "y" }, [], 0],
  ["not seen to its end", {}, { end: "unseen", body: "y" }, [], 0],
  ["a field", { lines: ["Location: /a"] }, { lines: ["Location: /b"] }, ["field location 1/1"], 0],
  ["a field that is missing", { lines: ["Location: /a"] }, {}, ["field location (missing) 1/1"], 0],
  ["a field that is new", {}, { lines: ["ETag: x"] }, ["field etag (added) 1/1"], 0],
  ["a field that is not compared", { lines: ["X-A: 1"] }, { lines: ["X-A: 2"] }, [], 0],
  ["heads that were cut", { lines: ["ETag: a"], isHeadWhole: false }, { lines: ["ETag: b"] }, [], 0],
  ["text", { body: "hello world" }, { body: "hello there" }, ["body  1/1"], 0],
  ["another order of fields", { body: '{"a":1,"b":[2]}' }, { body: ' {"b":[2], "a":1}' }, [], 0],
  ["a value", { body: { price: 10 } }, { body: { price: 12 } }, ["body $.price 1/1"], 0],
  [
    "lengths, without content",
    { body: "ab", digest: null },
    { body: "abc", digest: null },
    ["length  1/1"],
    0,
  ],
  ["lengths that are not known", { bytes: -1, digest: null }, { bytes: 7, digest: null }, [], 0],
])("%s", (_, production, target, differences, errors) => {
  const report = compare([pair("/", production, target)]);
  expect(differencesOf(report.endpoints[0]!)).toEqual(differences);
  expect([report.errors, report.different]).toEqual([errors, differences.length > 0 ? 1 : 0]);
});

test("content that was not kept is said to be so", () => {
  const given = pair("/", { body: "a" }, { body: "b" });
  given.target!.body = null;
  const report = compare([given]);
  expect(differencesOf(report.endpoints[0]!)).toEqual(["body (not looked into) 1/1"]);
  expect(report.notLookedInto).toBe(1);
});

test("MySQL and DNS have words of their own", () => {
  const mysql = (status: number, count: number, name = "SELECT * FROM t WHERE a = ?") =>
    pair(
      name,
      { status: 0, count: 3, digest: null },
      { status, count, digest: null },
      { protocol: "mysql", method: "query" },
    );
  const dns = (status: number, count: number) =>
    pair("www.example.com", { status: 0, count: 1 }, { status, count }, { protocol: "dns", method: "AAAA" });
  const pairs = [mysql(1064, 0), mysql(0, 2), mysql(0, 3), dns(2, 0), dns(0, 2), dns(0, 1)];
  for (const each of pairs)
    for (const side of [each.production!, each.target!]) if (each.protocol === "dns") side.digest = null;
  expect(endpointsOf(pairs)).toEqual([
    ["query SELECT * FROM t WHERE a = ?", 3, "status OK -> error 1064 1/3", "count  1/3"],
    ["AAAA www.example.com", 3, "status NOERROR -> SERVFAIL 1/3", "count  1/3"],
  ]);
});

describe("what differs always", () => {
  const hex = (index: number, side: number) => Bun.hash(`${index} ${side}`).toString(16).padStart(16, "0");
  const random36 = (value: number) => value.toString(36).slice(2, 13);
  const rolled = random(7);
  const rolls = times(400).map(() => [rolled(), rolled()] as const);
  const price = (index: number) => 5 + ((index * 37) % 400) / 4;
  /** The values of both sides of the request with this number. */
  type Values = (index: number) => [production: unknown, target: unknown];
  const noise: Record<string, Values> = {
    "random hexadecimal ids": (index) => [hex(index, 0), hex(index, 1)],
    UUIDs: (index) =>
      [0, 1].map((side) =>
        hex(index, side)
          .replace(/^(.{8})(.{4})(.{4})$/, "$1-$2-4$3-a000-0123456789ab".replace("4$3", "4abc"))
          .replace(
            /^(.{8}-.{4}).*$/,
            (_, a) => `${a}-4abc-a${hex(index, side).slice(0, 3)}-${hex(index, side).slice(4)}`,
          ),
      ) as [string, string],
    "ids of Math.random": (index) => [random36(rolls[index]![0]), random36(rolls[index]![1])],
    "a JSON Web Token": (index) =>
      [0, 1].map((side) => `eyJhbGciOiJIUzI1NiJ9.${hex(index, side)}.x`) as [string, string],
    "a text with an id in it": (index) =>
      [0, 1].map((side) => `/orders/${hex(index, side)}/items`) as [string, string],
    times: (index) => [
      `2026-11-30T12:00:${String(index % 60).padStart(2, "0")}.100Z`,
      `2026-11-30T12:00:${String(index % 60).padStart(2, "0")}.140Z`,
    ],
    "times in ms": (index) => [SETTINGS.began.ms + 10 * index, SETTINGS.began.ms + 10 * index + 4],
    "times of another day, as recorded": (index) => [
      1_600_000_000_000 + 1000 * index,
      1_764_504_000_123 + 700 * index,
    ],
    "numbers that are random and long": (index) => [rolls[index]![0], rolls[index]![1]],
  };
  const real: Record<string, Values> = {
    "a price that is higher": (index) => [price(index), price(index) * 1.1],
    "a price that is rounded": (index) => [price(index) + 0.004, Math.round(price(index))],
    "a price with 1 more": (index) => [price(index), price(index) + 1],
    "a price in cents": (index) => [price(index), price(index) * 100],
    "a price that is random": (index) => [price(index), Math.round(1000 * rolls[index]![0]) / 10],
    "amounts that grow with the request's number": (index) => [100 * index, 100 * index + 1],
    "a number as text": (index) => [index, String(index)],
    "an id that is null": (index) => [hex(index, 0), null],
    "an id of which the target has one": (index) => [hex(index, 0), hex(0, 1)],
    "an id of which production has few": (index) => [hex(index % 3, 0), hex(index, 1)],
    names: (index) => [`name ${price(index)}`, `mean ${price(index)}`],
    "prices as text": (index) => [`${price(index)} EUR`, `${price(index) * 2} EUR`],
    "times in another zone": (index) => [
      `2026-11-${10 + (index % 20)}T0${index % 10}:00:${String(index % 60).padStart(2, "0")}Z`,
      `2026-11-${10 + (index % 20)}T0${index % 10}:30:${String(index % 60).padStart(2, "0")}Z`,
    ],
    "an expiry that is later": (index) => [
      new Date(SETTINGS.began.ms + 100 * index + 60_000).toISOString(),
      new Date(SETTINGS.began.ms + 100 * index + 3_600_007).toISOString(),
    ],
    "an id of another form": (index) => [hex(index, 0).repeat(2), hex(index, 1).toUpperCase().repeat(2)],
    "a flag": (index) => [index % 2 === 0, index % 2 !== 0],
  };
  const pairsOf = (values: Values, name: (index: number) => string) =>
    times(200).map((index) => {
      const [production, target] = values(index);
      return pair(
        name(index),
        { body: { a: 1, value: production } },
        { body: { a: 1, value: target } },
        { at: 1e5 * index },
      );
    });

  test.each(Object.entries(noise))("%s are learned", (_, values) => {
    const report = compare(pairsOf(values, (index) => `/x/${index}`));
    expect(differencesOf(report.endpoints[0]!)).toEqual(["body $.value 200/200 learned"]);
    expect(report.different).toBe(0);
    expect(report.verdict.text).toStartWith("the same:");
  });

  test.each(Object.entries(real))("%s is real", (what, values) => {
    const report = compare(pairsOf(values, (index) => `/x/${index}`));
    const differences = report.endpoints[0]!.differences;
    expect(differences.filter(({ isNoise }) => isNoise)).toEqual([]);
    expect(report.different, what).toBeGreaterThan(190);
    expect(report.verdict.isWorse).toBe(true);
  });

  test("an id that production repeats for the same request is real", () => {
    const pairs = pairsOf(
      (index) => [hex(index % 100, 0), hex(index, 1)],
      (index) => `/x/${index % 100}`,
    );
    expect(compare(pairs).different).toBe(200);
  });

  test("an id that the request has is real", () => {
    const pairs = pairsOf(
      (index) => [hex(index, 0), hex(index, 1)],
      (index) => `/x/${hex(index, 0)}`,
    );
    expect(compare(pairs).different).toBe(200);
  });

  test("an id in one of ten answers is real, and in all responses of one status it is not", () => {
    const some = times(200).map((index) => {
      const value = (side: number) => (index % 10 === 0 ? hex(index, side) : "a");
      return pair("/x", { body: { id: value(0) } }, { body: { id: value(1) } });
    });
    expect(compare(some).different).toBe(20);
    const created = times(200).map((index) => {
      const given = (side: number) =>
        index % 10 === 0 ? { status: 201, body: { id: hex(index, side) } } : { body: "no" };
      return pair("/x", given(0), given(1));
    });
    expect(compare(created).different).toBe(0);
  });

  test("a failure among ids is found", () => {
    const pairs = pairsOf(
      (index) => [hex(index, 0), index === 77 ? "ERROR" : hex(index, 1)],
      (index) => `/x/${index}`,
    );
    const report = compare(pairs);
    expect(differencesOf(report.endpoints[0]!)).toEqual([
      "body $.value 1/200",
      "body $.value 199/200 learned",
    ]);
    expect(report.different).toBe(1);
  });

  test("what is learned at many endpoints is believed of one with few requests", () => {
    const pairs = times(40).map((index) =>
      pair(
        `/page${index % 10}x`,
        { body: { meta: { request: hex(index, 0) } } },
        { body: { meta: { request: hex(index, 1) } } },
      ),
    );
    expect(compare(pairs).different).toBe(0);
    expect(compare(pairs.slice(0, 2)).different).toBe(2);
  });

  test("a time of now is known from the first request on", () => {
    const report = compare([
      pair("/", { body: { now: "2026-11-30T12:00:00Z" } }, { body: { now: "2026-11-30T12:00:01Z" } }),
    ]);
    expect(report.different).toBe(0);
  });

  test("lengths that go up and down are learned, and lengths that only grow are not", () => {
    const rest = { digest: null };
    const lengths = (target: (index: number) => number) =>
      times(100).map((index) =>
        pair(
          `/x/${index}`,
          { bytes: 1000 + Math.round(40 * rolls[index]![0]), ...rest },
          { bytes: target(index), ...rest },
        ),
      );
    expect(
      compare(
        lengths((index) => 1000 + Math.round(40 * rolls[index]![1])),
        { body: false },
      ).different,
    ).toBe(0);
    expect(
      compare(
        lengths((index) => 1012 + Math.round(40 * rolls[index]![0])),
        { body: false },
      ).different,
    ).toBe(100);
  });

  test("lengths that are mostly equal, as of a number with fewer digits now and then, are learned; those that a request decides are not", () => {
    const rest = { digest: null };
    const ofDigits = (index: number, side: 0 | 1) => 120 - (rolls[index]![side] < 0.2 ? 1 : 0);
    const free = times(200).map((index) =>
      pair(
        "/x",
        { bytes: ofDigits(index % 100, 0), ...rest },
        { bytes: ofDigits((index * 7) % 100, 1), ...rest },
      ),
    );
    expect(compare(free, { body: false }).different).toBe(0);
    // Most requests come once; of those that come again some have the same length by chance.
    const once = times(100).map((index) =>
      pair(
        `/x/${index < 3 ? 0 : index}`,
        { bytes: index < 3 ? 120 : ofDigits(index, 0), ...rest },
        { bytes: index < 3 ? 119 + 2 * (index % 2) : ofDigits((index * 7) % 100, 1), ...rest },
      ),
    );
    expect(compare(once, { body: false }).different).toBe(0);
    const decided = times(200).map((index) =>
      pair(`/x/${index % 20}`, { bytes: 120, ...rest }, { bytes: index % 2 === 0 ? 121 : 119, ...rest }),
    );
    expect(compare(decided, { body: false }).different).toBe(200);
  });
});

describe("with a target that runs the old version", () => {
  const word = (index: number, side: number) =>
    ["red", "green", "blue", "grey"][Bun.hash.xxHash32(`${index} ${side}`) % 4];
  const both = (index: number, target: object, old: object) => {
    const production = { body: { colour: word(index, 0), price: index } };
    return [
      pair(`/x/${index}`, production, { body: { colour: word(index, 1), price: index, ...target } }),
      pair(
        `/x/${index}`,
        production,
        { body: { colour: word(index, 2), price: index, ...old } },
        { copy: 1 },
      ),
    ];
  };

  test("only the planted fault remains, and both numbers are there", () => {
    const report = compare(
      times(200).flatMap((index) => both(index, index % 5 === 0 ? { price: -1 } : {}, {})),
      WITH_NOISE,
    );
    const [endpoint] = report.endpoints;
    expect(endpoint!.count).toBe(200);
    const [first, second] = endpoint!.differences;
    expect(first).toMatchObject({
      where: "$.price",
      count: 40,
      of: 200,
      noise: { count: 0, of: 200 },
      isNoise: false,
    });
    expect(second).toMatchObject({ where: "$.colour", isNoise: true, because: "noise", of: 200 });
    expect(second!.noise!.count).toBeGreaterThan(100);
    expect(report.different).toBe(40);
  });

  test("its errors, latencies and statuses are not those of the target", () => {
    const pairs = [
      pair("/", {}, { lastByte: 2000 }),
      pair("/", {}, { status: 500, lastByte: 900_000 }, { copy: 1 }),
      pair("/", {}, null, { copy: 1 }),
    ];
    const report = compare(pairs, WITH_NOISE);
    expect(report).toMatchObject({
      count: 1,
      errors: 0,
      different: 0,
      statuses: [{ production: 200, target: 200, count: 1 }],
    });
    expect(report.latency.target).toMatchObject({ count: 1, max: 2000 });
  });

  test("what fails as much with the old version is no error", () => {
    const fails = (index: number, copy: number) =>
      pair("/", {}, { status: index % 10 === copy ? 500 : 200 }, { copy });
    const report = compare(
      times(300).flatMap((index) => [fails(index, 0), fails(index, 1)]),
      WITH_NOISE,
    );
    expect(report.errors).toBe(0);
    expect(report.endpoints[0]!.differences[0]).toMatchObject({
      count: 30,
      noise: { count: 30, of: 300 },
      because: "noise",
    });
  });
});

test("ignored paths are not there at all", () => {
  const body = (index: number) => ({
    body: { meta: { a: index, b: { c: index } }, items: [{ id: index, name: "x" }] },
  });
  const ignore = ["$.meta.*", "$.items[*].id"].map(parseIgnore);
  expect(endpointsOf([pair("/", body(1), body(2))], { ignore })).toEqual([["GET /", 1]]);
});

test("the most frequent endpoints have rows, and all rows add up", () => {
  const comparison = new Comparison(SETTINGS);
  const word = (index: number) => index.toString(26).replace(/\d/g, (digit) => "qrstuvwxyz"[Number(digit)]!);
  let taken = 0;
  const take = (name: string) => {
    comparison.take(pair(name, { body: "a" }, { body: taken % 3 === 0 ? "b" : "a" }));
    taken++;
  };
  for (const index of times(3000)) take(`/rare/${word(index)}`);
  for (const index of times(6000)) take(`/often/${word(index % 50)}`);
  const report = comparison.report(RUN);
  const sum = (of: "count" | "different") =>
    report.endpoints.reduce((total, endpoint) => total + endpoint[of], 0);
  expect(report.endpoints).toHaveLength(1001);
  expect(report.endpoints.filter(({ name }) => name.startsWith("/often/"))).toHaveLength(50);
  expect([report.count, sum("count"), sum("different")]).toEqual([taken, taken, taken / 3]);
});

test("endpoints whose names are masked alike are one", () => {
  const masks = [parseMask("acme-[a-z]+")];
  const pairs = ["/of/acme-one/x", "/of/acme-two/x", "/of/acme-one/x?a=acme-b", "/of/other/x"].map((name) =>
    pair(name, {}, {}),
  );
  const rows = compare(pairs, { masks }).endpoints.map(({ name, count }) => [name, count]);
  expect(rows).toEqual([
    ["/of/***/x", 3],
    ["/of/other/x", 1],
  ]);
});

test("what got lost on the way counts", () => {
  const comparison = new Comparison(SETTINGS);
  comparison.take(pair("/", {}, {}));
  const report = comparison.report({ ...RUN, lost: 9 });
  expect([report.count, report.outcomes]).toEqual([10, { compared: 1, behind: 9 }]);
  expect(report.verdict.text).toBe(
    "the same: 1 request of 1 endpoint compared, no difference that matters; 90 % of requests were not compared (mostly: the comparison did not keep up); only 1 request compared: too few to be sure",
  );
  expect(comparison.account(9)).toMatchObject({ requests: 10, outcomes: report.outcomes, endpoints: 1 });
  expect(comparison.times([999, 1000])).toMatchObject([
    { name: "/", target: { atMost: [0, 1], count: 1, sum: 1000 } },
  ]);
});

// Bytes that strangers choose.
const bytes = fc.uint8Array({ maxLength: 80 });
const someAnswer = fc.option(
  fc.record({
    status: fc.integer({ min: 0, max: 70_000 }),
    end: fc.constantFrom(...ENDS),
    bytes: fc.integer({ min: -1, max: 1e9 }),
    count: fc.integer({ min: -1, max: 1000 }),
    firstByte: fc.integer({ min: -5, max: 2 ** 33 }),
    lastByte: fc.integer({ min: -5, max: 2 ** 33 }),
    head: fc.oneof(
      bytes,
      fc.constantFrom(
        ...["HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n", "\n: \n\t\n", "x"].map((text) =>
          new TextEncoder().encode(text),
        ),
      ),
    ),
    isHeadWhole: fc.boolean(),
    fields: fc.integer({ min: 0, max: 3 }),
    digest: fc.option(fc.uint8Array({ minLength: 32, maxLength: 32 })),
    body: fc.option(
      fc.oneof(
        bytes,
        fc.json().map((text) => new TextEncoder().encode(text)),
      ),
    ),
  }),
);
const somePair: fc.Arbitrary<Pair> = fc.record({
  protocol: fc.constantFrom(...PAIR_PROTOCOLS),
  outcome: fc.constantFrom(...OUTCOMES),
  service: fc.integer({ min: 0, max: 2 }),
  copy: fc.integer({ min: 0, max: 2 }),
  path: fc.constant(0),
  at: fc.integer({ min: 0, max: 1e9 }),
  method: fc.oneof(fc.constantFrom("GET", "POST"), anyText(5)),
  name: fc.oneof(fc.constantFrom("/a", "/a/1", "*", "http://u:p@h/%"), anyText(40)),
  request: bytes,
  requestBody: fc.option(bytes),
  production: someAnswer,
  target: someAnswer,
});

test("whatever the pairs are, nothing is thrown, and counts add up to what was taken", () => {
  fc.assert(
    fc.property(fc.array(somePair, { maxLength: 30 }), (pairs) => {
      const report = compare(pairs, WITH_NOISE);
      const judged = pairs.filter(({ copy }) => copy !== 1).length;
      const sum = (counts: number[]) => counts.reduce((total, count) => total + count, 0);
      expect(report.count).toBe(judged);
      expect(sum(report.endpoints.map(({ count }) => count))).toBe(judged);
      expect(sum(Object.values(report.outcomes))).toBe(judged);
      for (const endpoint of report.endpoints) {
        expect(sum(Object.values(endpoint.outcomes))).toBe(endpoint.count);
        expect(endpoint.errors).toBeLessThanOrEqual(endpoint.different);
        expect(endpoint.different).toBeLessThanOrEqual(endpoint.count);
        for (const { count, of } of endpoint.differences) expect(count).toBeLessThanOrEqual(of);
      }
      expect(sum(report.endpoints.map(({ errors }) => errors))).toBe(report.errors);
      const text = JSON.stringify(report);
      expect(checkReport(JSON.parse(text))).toEqual(JSON.parse(text));
    }),
  );
});

test("the order of pairs does not change what is counted", () => {
  const counts = (pairs: Pair[]) => {
    const { count, outcomes, statuses, latency, endpoints } = compare(pairs);
    const order = (one: unknown, other: unknown) => (JSON.stringify(one) < JSON.stringify(other) ? -1 : 1);
    const rows = endpoints.map((endpoint) => [
      endpoint.service,
      endpoint.protocol,
      endpoint.method,
      endpoint.name,
      endpoint.count,
      Object.entries(endpoint.outcomes).sort(),
      endpoint.differences.map(({ kind, where, count: of }) => [kind, where, of]).sort(order),
    ]);
    return { count, outcomes, statuses: statuses.toSorted(order), latency, rows: rows.sort(order) };
  };
  const shuffled = fc
    .array(somePair, { maxLength: 20 })
    .chain((pairs) => fc.tuple(fc.constant(pairs), fc.shuffledSubarray(pairs, { minLength: pairs.length })));
  fc.assert(fc.property(shuffled, ([pairs, other]) => expect(counts(other)).toEqual(counts(pairs))));
});
