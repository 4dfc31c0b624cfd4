/**
 * Whether what was read from a file is a report: a small validator, so that a hostile or damaged file is refused in words and never shown. All
 * fields that a reader uses have the type that src/compare/report.ts says; others are let be.
 */
import { PAIR_PROTOCOLS } from "../pairs/pair.ts";
import { type Report, VERSION } from "./report.ts";

/** In words why a value is none of this kind, with its path; null: it is one. */
type Check = (value: unknown, path: string) => string | null;

const MOST_ENDPOINTS = 20_000;
const MOST_LIST = 20_000;

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

const text: Check = (value, path) => (typeof value === "string" ? null : `${path} is no text`);
const flag: Check = (value, path) => (typeof value === "boolean" ? null : `${path} is not true or false`);
const amount: Check = (value, path) =>
  typeof value === "number" && Number.isFinite(value) ? null : `${path} is no number`;
const record: Check = (value, path) => (isRecord(value) ? null : `${path} is no object`);

function oneOf(values: readonly unknown[]): Check {
  return (value, path) => (values.includes(value) ? null : `${path} is not one of ${values.join(", ")}`);
}

function orNull(check: Check): Check {
  return (value, path) => (value === null ? null : check(value, path));
}

function orNone(check: Check): Check {
  return (value, path) => (value === undefined ? null : check(value, path));
}

function list(check: Check, most = MOST_LIST): Check {
  return (value, path) => {
    if (!Array.isArray(value)) return `${path} is no list`;
    if (value.length > most) return `${path} has more than ${most} elements`;
    for (const [index, element] of value.entries()) {
      const wrong = check(element, `${path}[${index}]`);
      if (wrong !== null) return wrong;
    }
    return null;
  };
}

function object(fields: Record<string, Check>): Check {
  return (value, path) => {
    if (!isRecord(value)) return `${path} is no object`;
    for (const [name, check] of Object.entries(fields)) {
      const wrong = check(Object.hasOwn(value, name) ? value[name] : undefined, `${path}.${name}`);
      if (wrong !== null) return wrong;
    }
    return null;
  };
}

const amounts: Check = (value, path) => {
  if (!isRecord(value)) return `${path} is no object`;
  const wrong = Object.entries(value).find(([, count]) => amount(count, "") !== null);
  return wrong === undefined ? null : `${path}.${wrong[0]} is no number`;
};

const both = (check: Check) => object({ production: check, target: check });
const point: Check = (value, path) =>
  Array.isArray(value) && value.length === 2 && value.every((each) => amount(each, "") === null)
    ? null
    : `${path} is no pair of numbers`;
const distribution = object({
  ...Object.fromEntries(["count", "mean", "p50", "p90", "p99", "p999", "max"].map((name) => [name, amount])),
  curve: list(point, 1000),
});
const status = object({ production: orNull(amount), target: orNull(amount), count: amount });
const share = object({ count: amount, of: amount });
const kind = oneOf(["status", "answer", "end", "length", "field", "body", "count", "latency"]);
const difference = object({
  kind,
  where: text,
  count: amount,
  of: amount,
  noise: orNull(share),
  isNoise: flag,
  because: oneOf(["noise", "learned", null]),
  sample: orNull(both(text)),
});
const message = object({ head: text, body: text, isCut: flag });
const example = object({
  kind,
  where: text,
  at: amount,
  request: message,
  production: orNull(message),
  target: orNull(message),
  latency: both(orNull(amount)),
});
const endpoint = object({
  service: text,
  protocol: oneOf(PAIR_PROTOCOLS),
  method: text,
  name: text,
  count: amount,
  outcomes: amounts,
  statuses: list(status),
  latency: both(distribution),
  firstByte: both(distribution),
  sizes: both(object({ count: amount, mean: amount, max: amount })),
  differences: list(difference),
  examples: list(example),
  errors: amount,
  different: amount,
  worse: amount,
});
const percentiles = object({ p50: amount, p99: amount });
const moment = object({
  ...Object.fromEntries(["at", "sent", "compared", "errors", "different"].map((name) => [name, amount])),
  lag: percentiles,
  production: percentiles,
  target: percentiles,
});
const whole = object({
  xcopy: object({ report: oneOf([VERSION]), version: text }),
  began: amount,
  seconds: amount,
  isRunning: flag,
  mode: text,
  services: list(text),
  targets: list(object({ label: text, isNoise: flag })),
  body: flag,
  notLookedInto: orNone(amount),
  verdict: object({ text, isWorse: flag, broken: list(object({ bound: text, found: text })) }),
  count: amount,
  outcomes: amounts,
  errors: amount,
  different: amount,
  statuses: list(status),
  latency: both(distribution),
  timeline: list(moment),
  endpoints: list(endpoint, MOST_ENDPOINTS),
  account: record,
});

/** A report, or in words why it is none: "$.endpoints[3].count is no number". Takes any value. */
export function checkReport(value: unknown): Report | string {
  if (!isRecord(value) || !isRecord(value.xcopy) || !Object.hasOwn(value.xcopy, "report"))
    return "it is no report of xcopy";
  const { report } = value.xcopy;
  if (report !== VERSION) return `it is of another version (${String(report).slice(0, 20)}, not ${VERSION})`;
  return whole(value, "$") ?? (value as unknown as Report);
}
