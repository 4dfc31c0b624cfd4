/** Pairs as the modules make them, for the tests of the comparison. */
import { createHash } from "node:crypto";
import fc from "fast-check";
import { Comparison } from "../../src/compare/comparison.ts";
import type { Endpoint, Report } from "../../src/compare/report.ts";
import type { CompareSettings, RunFacts } from "../../src/compare/settings.ts";
import type { Answer, Pair } from "../../src/pairs/pair.ts";

const bytes = (text: string) => new TextEncoder().encode(text);

export const SETTINGS: CompareSettings = {
  version: "0.1.0",
  mode: "direct",
  services: ["80"],
  targets: [{ label: "80-10.0.0.2", isNoise: false }],
  body: true,
  fields: ["content-type", "location", "set-cookie", "etag"],
  endpoints: [],
  ignore: [],
  masks: [],
  bounds: [],
  began: { ms: Date.parse("2026-11-30T12:00:00Z"), us: 0 },
};

export const RUN: RunFacts = { seconds: 10, isRunning: false, lost: 0, account: {} };

/** The settings of a run with a second target, the old version. */
export const WITH_NOISE: Partial<CompareSettings> = {
  targets: [
    { label: "80-10.0.0.2", isNoise: false },
    { label: "80-10.0.0.3", isNoise: true },
  ],
};

export interface Given extends Partial<Omit<Answer, "body" | "head">> {
  /** Fields of the head, "Name: value". */
  lines?: string[];
  /** The content: an object is written as JSON. */
  body?: unknown;
  head?: string;
}

/** An answer of HTTP; its hashes are those of what it has. */
export function answer(given: Given = {}): Answer {
  const { body = "", lines: given_ = [], head, ...rest } = given;
  const content =
    body instanceof Uint8Array ? body : bytes(typeof body === "string" ? body : JSON.stringify(body));
  const status = given.status ?? 200;
  const isJson = typeof body === "object" && !(body instanceof Uint8Array);
  const lines = [...(isJson ? ["Content-Type: application/json"] : []), ...given_];
  return {
    status,
    end: "complete",
    bytes: content.length,
    count: 0,
    firstByte: 900,
    lastByte: 1000,
    head: bytes(head ?? `HTTP/1.1 ${status} X\r\n${lines.map((line) => `${line}\r\n`).join("")}\r\n`),
    isHeadWhole: true,
    fields: Bun.hash.xxHash32(lines.join("\n")),
    digest: createHash("sha256").update(content).digest(),
    body: content,
    ...rest,
  };
}

export function pair(
  name: string,
  production: Given | null,
  target: Given | null,
  rest: Partial<Pair> = {},
): Pair {
  const method = rest.method ?? "GET";
  return {
    protocol: "http",
    outcome: production === null ? "target only" : target === null ? "production only" : "compared",
    service: 0,
    copy: 0,
    path: 0,
    at: 0,
    method,
    name,
    request: bytes(`${method} ${name} HTTP/1.1\r\nHost: shop\r\n\r\n`),
    requestBody: null,
    production: production && answer(production),
    target: target && answer(target),
    ...rest,
  };
}

export function compare(pairs: Iterable<Pair>, settings: Partial<CompareSettings> = {}): Report {
  const comparison = new Comparison({ ...SETTINGS, ...settings });
  for (const each of pairs) comparison.take(each);
  return comparison.report(RUN);
}

/** Differences of an endpoint in short: "body $.price 20/20", with why they do not matter. */
export function differencesOf({ differences }: Endpoint): string[] {
  return differences.map(
    ({ kind, where, count, of, because }) =>
      `${kind} ${where} ${count}/${of}${because === null ? "" : ` ${because}`}`,
  );
}

/** Numbers from 0 to `count` - 1. */
export const times = (count: number) => Array.from({ length: count }, (_, index) => index);

/** A generator of numbers from 0 to 1, the same in each run. */
export function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

/** Any UTF-16 units, half of surrogate pairs and control characters too. */
export function anyText(maxLength: number): fc.Arbitrary<string> {
  const units = fc.oneof(fc.uint16Array({ maxLength }), fc.uint8Array({ maxLength }));
  return units.map((codes) => String.fromCharCode(...codes));
}
