/** Reports as a run would make them, of any size, the same each time. */
import type {
  Difference,
  DifferenceKind,
  Distribution,
  Endpoint,
  Example,
  Moment,
  Report,
  StatusCount,
} from "../../src/compare/report.ts";

/** Numbers from 0 to 1 that look random. */
function chance(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

const PERCENTILES = [
  ...Array.from({ length: 20 }, (_, index) => index * 5),
  ...Array.from({ length: 40 }, (_, index) => 100 - 5 * 0.78 ** index),
];

export function distribution(count: number, median: number, tail: number): Distribution {
  const at = (percentile: number) =>
    Math.round(median * (0.6 + 0.4 * (percentile / 50)) * (1 - percentile / 100 + 1e-4) ** -tail);
  if (count === 0) return { count, mean: 0, p50: 0, p90: 0, p99: 0, p999: 0, max: 0, curve: [] };
  return {
    count,
    mean: Math.round(at(60)),
    p50: at(50),
    p90: at(90),
    p99: at(99),
    p999: at(99.9),
    max: at(100),
    curve: PERCENTILES.map((percentile) => [Number(percentile.toFixed(4)), at(percentile)]),
  };
}

const PATHS = [
  "/users/{id}",
  "/users/{id}/orders",
  "/orders/{id}",
  "/search",
  "/cart",
  "/cart/items/{id}",
  "/login",
  "/products",
  "/products/{id}",
  "/products/{id}/reviews",
  "/static/{hash}.js",
  "/health",
];

function difference(
  kind: DifferenceKind,
  where: string,
  count: number,
  of: number,
  noise: number,
): Difference {
  const isNoise = noise >= count;
  return {
    kind,
    where,
    count,
    of,
    noise: { count: noise, of },
    isNoise,
    because: isNoise ? "noise" : null,
    sample: { production: '"2026-11-30T20:00:01Z"', target: '"2026-11-30T20:00:07Z"' },
  };
}

function example(kind: DifferenceKind, where: string, path: string, isBroken: boolean): Example {
  const user = {
    id: 1234,
    name: "Ada Lovelace",
    email: "ada@example.com",
    roles: ["admin", "reader"],
    score: 41,
  };
  return {
    kind,
    where,
    at: Date.UTC(2026, 10, 30, 20, 1, 12, 345),
    request: {
      head: `GET ${path.replace("{id}", "1234")}?page=2 HTTP/1.1\r\nHost: shop.example.com\r\nAccept: application/json\r\nAuthorization: (masked)\r\n`,
      body: "",
      isCut: false,
    },
    production: {
      head: "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 113\r\nCache-Control: max-age=60\r\n",
      body: JSON.stringify(user),
      isCut: false,
    },
    target: isBroken
      ? {
          head: "HTTP/1.1 500 Internal Server Error\r\nContent-Type: text/plain\r\nContent-Length: 44\r\n",
          body: "Traceback: KeyError: 'score' at line 42 in x",
          isCut: true,
        }
      : {
          head: "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 121\r\nCache-Control: no-store\r\n",
          body: JSON.stringify({ ...user, name: "ada lovelace", score: "41", version: 2 }),
          isCut: false,
        },
    latency: { production: 12_345, target: 18_400 },
  };
}

export function endpoint(index: number): Endpoint {
  const next = chance(index + 7);
  const count = Math.round(40_000 / (index + 1) ** 0.9 + 3);
  const path = PATHS[index % PATHS.length]!;
  const name = index < PATHS.length ? path : `/v${Math.floor(index / PATHS.length) + 1}${path}`;
  const isBad = index % 9 === 0;
  const isSlow = index % 7 === 2;
  const errors = isBad ? Math.round(count * 0.02 * (1 + next())) : 0;
  const different = errors + (index % 4 === 0 ? Math.round(count * next() * 0.2) : 0);
  const median = 2000 + next() * 30_000;
  const statuses: StatusCount[] = [
    { production: 200, target: 200, count: count - errors - Math.round(count / 50) },
    { production: 404, target: 404, count: Math.round(count / 50) },
    ...(errors > 0 ? [{ production: 200, target: 500, count: errors }] : []),
  ];
  const differences: Difference[] = [
    ...(errors > 0 ? [difference("status", "200 -> 500", errors, count, 0)] : []),
    ...(different > errors ? [difference("body", "$.user.name", different - errors, count, 2)] : []),
    ...(isSlow ? [difference("latency", "", count, count, 0)] : []),
    ...(index % 2 === 0
      ? [
          difference("body", "$.meta.time", count, count, count),
          difference("field", "x-request-id", count, count, count),
        ]
      : []),
  ];
  const slower = isSlow ? 1.4 : 0.97 + next() * 0.06;
  return {
    service: "80",
    protocol: "http",
    method: index % 5 === 3 ? "POST" : "GET",
    name,
    count,
    outcomes: { compared: count - 5, "production only": 2, gap: 3 },
    statuses,
    latency: {
      production: distribution(count, median, 0.3),
      target: distribution(count, median * slower, 0.31),
    },
    firstByte: {
      production: distribution(count, median * 0.8, 0.3),
      target: distribution(count, median * slower * 0.8, 0.31),
    },
    sizes: {
      production: { count, mean: Math.round(400 + next() * 4000), max: 18_000 },
      target: { count, mean: Math.round(420 + next() * 4000), max: 18_000 },
    },
    differences,
    examples: [
      ...(errors > 0 ? [example("status", "200 -> 500", path, true)] : []),
      ...(different > errors ? [example("body", "$.user.name", path, false)] : []),
    ],
    errors,
    different,
    worse: errors > 0 || isSlow ? Math.round((errors / count) * 1000 + (isSlow ? 40 : 0)) / 10 : 0,
  };
}

export function moment(at: number): Moment {
  const wave = Math.sin(at / 23) + Math.sin(at / 5) / 4;
  return {
    at,
    sent: Math.round(900 + 200 * wave),
    compared: Math.round(880 + 200 * wave),
    errors: at % 17 === 0 ? 4 : 0,
    different: at % 5,
    lag: { p50: Math.round(300 + 50 * wave), p99: Math.round(1900 + 900 * Math.abs(wave)) },
    production: { p50: Math.round(9000 + 400 * wave), p99: Math.round(41_000 + 4000 * wave) },
    target: { p50: Math.round(9200 + 500 * wave), p99: Math.round(55_000 + 9000 * wave) },
  };
}

/** A report of this many endpoints, sorted as reports are, and of this many moments. */
export function madeReport(endpoints = 50, moments = 300): Report {
  const all = Array.from({ length: endpoints }, (_, index) => endpoint(index)).sort(
    (one, other) => other.worse - one.worse || other.count - one.count,
  );
  const sum = (of: (endpoint: Endpoint) => number) => all.reduce((total, one) => total + of(one), 0);
  const cells = new Map<string, StatusCount>();
  for (const { production, target, count } of all.flatMap(({ statuses }) => statuses)) {
    const cell = cells.get(`${production} ${target}`) ?? { production, target, count: 0 };
    cells.set(`${production} ${target}`, { ...cell, count: cell.count + count });
  }
  const count = sum((one) => one.count);
  return {
    xcopy: { report: 1, version: "0.1.0" },
    began: Date.UTC(2026, 10, 30, 20, 0, 0),
    seconds: moments,
    isRunning: false,
    mode: "direct",
    services: ["80"],
    targets: [
      { label: "10.0.0.2:8080", isNoise: false },
      { label: "10.0.0.3:8080", isNoise: true },
    ],
    body: true,
    verdict: {
      text: "GET /users/{id} answers 500 where production answered 200, GET /orders/{id} is 40 % slower at p99.",
      isWorse: true,
      broken: [{ bound: "errors>0.1%", found: "0.6 % of 188,000 requests" }],
    },
    count,
    outcomes: { compared: count - 5 * endpoints, "production only": 2 * endpoints, gap: 3 * endpoints },
    errors: sum((one) => one.errors),
    different: sum((one) => one.different),
    statuses: [...cells.values()],
    latency: { production: distribution(count, 9000, 0.32), target: distribution(count, 9300, 0.36) },
    timeline: Array.from({ length: moments }, (_, at) => moment(at)),
    endpoints: all,
    account: {
      mode: "direct",
      lag_us: { p50: 310, p99: 2200, max: 9100 },
      turns: { captured: count, sent: count, answered: count, dropped: 0, pending: 0 },
    },
  };
}

/** A report of a run in which nothing happened. */
export function emptyReport(): Report {
  return {
    ...madeReport(0, 0),
    verdict: { text: "Nothing was compared.", isWorse: false, broken: [] },
    outcomes: {},
    latency: { production: distribution(0, 0, 0), target: distribution(0, 0, 0) },
  };
}
