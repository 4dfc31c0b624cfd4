/** What differs in content: by path in JSON, through content codings, and bounded. */
import { expect, test } from "bun:test";
import {
  brotliCompressSync,
  constants,
  deflateRawSync,
  deflateSync,
  gzipSync,
  zstdCompressSync,
} from "node:zlib";
import fc from "fast-check";
import { differencesOfContent } from "../../src/compare/content/content.ts";
import { decodeContent, MOST_DECODED } from "../../src/compare/content/decode.ts";
import { fieldsOf } from "../../src/compare/content/head.ts";
import { parseIgnore } from "../../src/compare/content/ignore.ts";
import { contrastOf } from "../../src/compare/looks/nature.ts";
import { timeOf } from "../../src/compare/looks/times.ts";

const bytes = (text: string) => new TextEncoder().encode(text);
const content = (body: unknown, coding = "") => ({
  bytes: body instanceof Uint8Array ? body : bytes(typeof body === "string" ? body : JSON.stringify(body)),
  isCut: false,
  coding,
  type: "",
});

function paths(production: unknown, target: unknown, ignore: string[] = []): string[] {
  const rules = ignore.map(parseIgnore);
  return differencesOfContent(content(production), content(target), rules).map(
    ({ where, nature }) => `${where} ${nature}`,
  );
}

test.each<[production: unknown, target: unknown, found: string[]]>([
  ['{"a":1,"b":2}', '{ "b": 2, "a": 1 }', []],
  ["[1,2]", " [ 1 , 2 ]", []],
  [{ a: 1 }, { a: 2 }, ["$.a number"]],
  [{ a: "x" }, { a: "y" }, ["$.a text"]],
  [{ a: true }, { a: false }, ["$.a text"]],
  [{ a: 1 }, { a: "1" }, ["$.a (type) shape"]],
  [{ a: {} }, { a: null }, ["$.a (type) shape"]],
  [{ a: [] }, { a: {} }, ["$.a (type) shape"]],
  [{ a: 1, b: 1 }, { a: 1 }, ["$.b (missing) shape"]],
  [{ a: 1 }, { a: 1, b: 1 }, ["$.b (added) shape"]],
  [{ "a b": { "c.d": 1 } }, { "a b": { "c.d": 2 } }, ['$["a b"]["c.d"] number']],
  [
    {
      items: [
        { id: 1, p: 2 },
        { id: 2, p: 3 },
      ],
    },
    {
      items: [
        { id: 1, p: 4 },
        { id: 2, p: 5 },
      ],
    },
    ["$.items[*].p number"],
  ],
  [{ items: [1, 2, 3] }, { items: [1, 3] }, ["$.items (length) shape"]],
  [{ items: [1, 2, 3] }, { items: [3, 1, 2] }, ["$.items (order) shape"]],
  [{ items: [{ a: 1 }] }, { items: [{ a: 2 }, { a: 3 }] }, ["$.items (length) shape", "$.items[*].a number"]],
  [{ items: ["a", 1] }, { items: ["b", 2] }, ["$.items[*] text"]],
  [{ "123": { n: 1 } }, { "123": { n: 2 } }, ["$.{id}.n number"]],
  [{ "3f2a9c1b": 1 }, { "4f2a9c1c": 1 }, ["$.{id} (name) id"]],
  ['{"a":12345678901234567891}', '{"a":12345678901234567892}', ["$.a number"]],
  ['{"__proto__":1}', '{"__proto__":2}', ["$.__proto__ number"]],
  ['{"a":1,"a":2}', '{"a":1,"a":3}', ["$.a number"]],
  ["5", "6", [" number"]],
  ["[1", "[2", [" text"]],
  ["hello", "hallo", [" text"]],
  ["", "x", [" text"]],
  [new Uint8Array([0, 1]), new Uint8Array([0, 2]), [" text"]],
])("%j and %j", (production, target, found) => {
  expect(paths(production, target)).toEqual(found);
});

test("a text shows where it begins to differ", () => {
  const [found] = differencesOfContent(content(`${"x".repeat(99)}one`), content(`${"x".repeat(99)}two`), []);
  expect([found!.production, found!.target]).toEqual([`...${"x".repeat(30)}one`, `...${"x".repeat(30)}two`]);
});

test.each<[rule: string, left: string[]]>([
  ["$.meta", ["$.items[*].id number", "$.items[*].deep.token text"]],
  ["$.meta.*", ["$.items[*].id number", "$.items[*].deep.token text"]],
  ["$.meta.time", ["$.meta.b number", "$.items[*].id number", "$.items[*].deep.token text"]],
  ["$..token", ["$.meta.time number", "$.meta.b number", "$.items[*].id number"]],
  ["$.items[*].id", ["$.meta.time number", "$.meta.b number", "$.items[*].deep.token text"]],
  ["$.items[0].id", ["$.meta.time number", "$.meta.b number", "$.items[*].deep.token text"]],
  ["$['items'][*]", ["$.meta.time number", "$.meta.b number"]],
  ['$["items"]', ["$.meta.time number", "$.meta.b number"]],
  ["$..deep.*", ["$.meta.time number", "$.meta.b number", "$.items[*].id number"]],
  ["$..*", []],
  ["$.gone", ["$.meta.time number", "$.meta.b number", "$.items[*].id number", "$.items[*].deep.token text"]],
])("--ignore %s", (rule, left) => {
  const body = (value: number) => ({
    meta: { time: value, b: value },
    items: [{ id: value, deep: { token: `x${value}` } }],
  });
  expect(paths(body(1), body(2), [rule])).toEqual(left);
});

test("what is ignored may be missing, and have any length", () => {
  expect(paths({ a: 1, list: [1] }, { list: [1, 2], b: 1 }, ["$.a", "$.b", "$.list[*]"])).toEqual([]);
});

test.each([
  ["meta", "a path begins with $"],
  ["$", "it would leave out everything"],
  ["$.a.", '"." is no step of a path'],
  ["$.a[?(@.b)]", '"[?(@.b)]" is no step of a path'],
  ["$.a[1:2]", '"[1:2]" is no step of a path'],
  ["$.a*", '"*" is no step of a path'],
  ['$["\\x"]', '"\\x" is no string of JSON'],
  [`$${".a".repeat(31)}`, "it has more than 30 steps"],
])("--ignore %p is refused", (text, cause) => {
  expect(() => parseIgnore(text)).toThrow(
    expect.objectContaining({
      message: `Cannot use --ignore "${text}": ${cause}`,
      exitCode: 2,
      fix: expect.stringContaining("$..token"),
    }),
  );
});

const QUICK = { params: { [constants.BROTLI_PARAM_QUALITY]: 1 } };

test.each([
  ["gzip", gzipSync],
  ["deflate", deflateSync],
  ["deflate", deflateRawSync],
  ["br", (content: Uint8Array) => brotliCompressSync(content, QUICK)],
  ["zstd", zstdCompressSync],
] as const)("%s is undone, and what becomes too large is not", (coding, encode) => {
  const encoded = encode(bytes('{"a":1}'));
  expect(decodeContent(encoded, coding)).toEqual(Buffer.from('{"a":1}'));
  expect(differencesOfContent(content(encoded, coding), content(' {"a":1}'), [])).toEqual([]);
  const bomb = encode(new Uint8Array(10 * MOST_DECODED));
  expect(decodeContent(bomb, coding)).toBeNull();
  expect(decodeContent(encode(bomb), `${coding}, ${coding}`)).toBeNull();
  expect(differencesOfContent(content(bomb, coding), content(encoded, coding), [])).toMatchObject([
    { nature: "unknown" },
  ]);
});

test("unknown codings, too many of them, and what is none are not decoded", () => {
  for (const coding of ["compress", "gzip", "gzip, gzip, gzip", "__proto__", "br"])
    expect(decodeContent(bytes("hello"), coding)).toBeNull();
  expect(decodeContent(bytes("hello"), " Identity ,")).toEqual(bytes("hello"));
});

test("documents that are deep, wide or long take a bounded number of steps", () => {
  const list = (count: number, of: (index: number) => string) =>
    Array.from({ length: count }, (_, index) => of(index)).join(",");
  const documents = [
    (end: string) => `${"[".repeat(100_000)}${end}${"]".repeat(100_000)}`,
    (end: string) => `{${list(30_000, (index) => `"k${index}":${end}`)}}`,
    (end: string) => `{${list(9000, (index) => `"${index}${end}":1`)}}`,
    (end: string) => `${"[".repeat(60)}${list(15_000, () => "1")},${end}${"]".repeat(60)}`,
    (end: string) => `${"-".repeat(250_000)}${end}`,
    (end: string) => `aB3/`.repeat(60_000) + end,
    (end: string) => `2026-11-30T12:00:0${end}Z `.repeat(12_000),
    (end: string) => "1".repeat(250_000) + end,
  ];
  for (const document of documents) {
    const found = differencesOfContent(content(document("1")), content(document("2")), []);
    expect(found.length).toBeGreaterThan(0);
    expect(found.length).toBeLessThanOrEqual(51);
    for (const { where } of found) expect(where.length).toBeLessThan(200);
  }
});

test("two documents are alike if and only if they are, whatever is in them", () => {
  fc.assert(
    fc.property(fc.jsonValue(), fc.jsonValue(), (one, other) => {
      expect(paths(JSON.stringify(one, null, 2), JSON.stringify(one))).toEqual([]);
      const isSame = Bun.deepEquals(JSON.parse(JSON.stringify(one)), JSON.parse(JSON.stringify(other)));
      if (!isSame && typeof one === "object" && typeof other === "object")
        expect(paths(one, other).length).toBeGreaterThan(0);
    }),
  );
});

test.each([
  ["2026-11-30T12:00:00.5Z", "2026-11-30T12:00:00.500Z"],
  ["2026-11-30T12:00:00+0200", "2026-11-30T10:00:00.000Z"],
  ["2026-11-30 12:00:00", "2026-11-30T12:00:00.000Z"],
  ["Sun, 06 Nov 1994 08:49:37 GMT", "1994-11-06T08:49:37.000Z"],
  ["Sunday, 06-Nov-94 08:49:37 GMT", "1994-11-06T08:49:37.000Z"],
  ["Sun Nov  6 08:49:37 1994", null],
  ["1796040000", "2026-11-30T12:00:00.000Z"],
  ["1796040000123", "2026-11-30T12:00:00.123Z"],
  ["2026-11-30", null],
  ["179604", null],
])("time %s", (text, expected) => {
  const ms = timeOf(text);
  if (expected === null) expect(ms === null || text.startsWith("Sun Nov")).toBe(true);
  else expect(new Date(ms!).toISOString()).toBe(expected);
});

test.each([
  ["sid=3f2a9c1b77; Path=/", "sid=9a2a9c1b00; Path=/", "id"],
  ["/users/550e8400-e29b-41d4-a716-446655440000/x", "/users/650e8400-e29b-41d4-a716-446655440000/x", "id"],
  ["at 2026-11-30T10:00:00Z ok", "at 2026-11-30T10:00:01Z ok", "time"],
  [
    "session=eyJ1c2VyIjoxfQ.ZfG0dA.kS8sXw2pQ0a; HttpOnly",
    "session=eyJ1c2VyIjoxfQ.ZfG0dB.pQ0akS8sXw2; HttpOnly",
    "id",
  ],
  [
    "connect.sid=s%3AQ2x9z8aB7c.mN5oP6qR7s%2Fx; Path=/",
    "connect.sid=s%3AW3y8a7bC6d.kL4mN5oP6q%2Fy; Path=/",
    "id",
  ],
  ["550e8400-e29b-41d4-a716-446655440000", "650e8400e29b41d4a716446655440000", "text"],
  ["3f2a9c1b77aa3f2a9c1b77aa", "9A2A9C1B00FF9A2A9C1B00FF", "text"],
  ["3f2a9c1b77aa3f2a9c1b77aa", "3f2a9c1b77", "text"],
  ["9.99", "12.5", "number"],
  ["9.99 EUR", "19.99 EUR", "text"],
  ["order-12345", "order-12346", "text"],
  ["sid=3f2a9c1b77", "id=9a2a9c1b00", "text"],
  ["3f2a9c1b77", "ERROR", "text"],
  ["2026-11-30T10:00:00Z", "never", "text"],
  ["Bob Smith", "Alice Jones", "text"],
])("%s and %s: %s", (one, other, nature) => {
  expect(contrastOf(one, other).nature as string).toBe(nature);
});

test("fields are read whatever stands around them", () => {
  const head = "HTTP/1.1 200 OK\r\nA: 1\r\na:2\r\n folded\r\nB : x\r\nno colon\r\nC: \r\n\r\nA: not here";
  expect([...fieldsOf(bytes(head), new Set(["a", "c"]))]).toEqual([
    ["a", "1, 2 folded"],
    ["c", ""],
  ]);
});
