/** The pages of reference name all that there is: fields of accounts, reasons, metrics, exit codes, variables, findings of doctor. */
import { expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { TRACE_COUNTERS, type TraceCounter } from "../../src/capture/trace/counters.ts";
import { type CaptureCounts, takeAccount } from "../../src/copy/account/account.ts";
import { createDatagramShared, viewDatagramShared } from "../../src/copy/data-plane/datagram-shared.ts";
import { createCounters, createShared, INDEX, viewShared } from "../../src/copy/data-plane/shared.ts";
import { DROP_REASONS } from "../../src/engine/sessions/counters.ts";
import { createInterceptShared, viewInterceptShared } from "../../src/intercept/data-plane/shared.ts";
import { type CatchCounts, takeInterceptAccount } from "../../src/intercept/summary.ts";
import { EXIT_CODES } from "../../src/native/failure.ts";
import { publish } from "../../src/runtime/shared.ts";
import { DEVELOPERS } from "./exceptions.ts";
import { ROOT, readPages } from "./pages.ts";

const page = (path: string) => readFileSync(join(ROOT, "docs", path), "utf8");
const USE = { user: 0, system: 0, rss: 0 };

/** What stands between backticks in a text: names, and those of a path one by one. */
function namesIn(text: string): Set<string> {
  const prose = text.replaceAll(/^```[\s\S]*?^```/gm, "");
  return new Set([...prose.matchAll(/`([^`]+)`/g)].flatMap(([, code]) => [code!, ...code!.split(/[. ]+/)]));
}

/** The names of all fields of an object, of those within it too, but where names are data. */
function fieldsOf(value: unknown, isData: (name: string) => boolean): string[] {
  if (Array.isArray(value)) return value.flatMap((item) => fieldsOf(item, isData));
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([name, inner]) => [
    name,
    ...(isData(name) ? [] : fieldsOf(inner, isData)),
  ]);
}

/** Of spreads, which the page explains once. */
const SPREAD = ["p50", "p99", "max"];

function missingIn(
  text: string,
  account: unknown,
  isData: (name: string) => boolean = () => false,
): string[] {
  const known = namesIn(text);
  return [...new Set(fieldsOf(account, isData))].filter((name) => !known.has(name) && !SPREAD.includes(name));
}

const [ofCopy = "", ofIntercept = ""] = page("reference/account.md").split(/^## (?:intercept|record)$/m);

test("every field of a copy's account is explained", () => {
  const worker = () => {
    const shared = viewShared(createShared());
    const counters = createCounters();
    for (const name of Object.keys(INDEX)) counters[INDEX[name as keyof typeof INDEX]] = 1;
    publish(shared, counters);
    return { shared, isDead: false };
  };
  const capture: CaptureCounts = {
    source: "tcx",
    packets: 1,
    bytes: 1,
    lost: 1,
    lostByCpu: [1],
    responsesLost: 0,
    answers: { packets: 1, bytes: 1, lost: 0 },
    pureAcks: 0,
    duplicates: 0,
    fragments: 0,
    oversize: 0,
    inert: 0,
    unsampled: 0,
    trace: Object.fromEntries(TRACE_COUNTERS.map((name) => [name, 1])) as Record<TraceCounter, number>,
  };
  const path = {
    mode: "target",
    intercepts: [{ address: "10.0.0.2", mode: "target", up: true }],
    key: "key",
  };
  const datagrams = [viewDatagramShared(createDatagramShared())];
  const ways = { gone: 1, held_s: 1, moved: 1 };
  const account = takeAccount(1, [worker(), worker()], capture, USE, 2, path, datagrams, ways);
  const isKind = (name: string) => ["left_out", "workers"].includes(name);
  const kinds = new Set(fieldsOf([account.mysql?.sent, account.mysql?.answered], () => false));
  const missing = missingIn(ofCopy, account, isKind).filter((name) => !kinds.has(name));
  expect(missing).toEqual([]);
  expect(Object.keys(DROP_REASONS).filter((reason) => !ofCopy.includes(`| \`${reason}\` |`))).toEqual([]);
});

test("every field of an intercept's account is explained", () => {
  const caught = { source: "tcx" } as CatchCounts;
  const copies = [{ slot: 0, name: "10.0.0.1:4000" }];
  const account = takeInterceptAccount(
    "target",
    1,
    viewInterceptShared(createInterceptShared()),
    caught,
    copies,
    USE,
  );
  expect(missingIn(ofIntercept, account)).toEqual([]);
});

test("fields of accounts that pages name are there", () => {
  const known = namesIn(page("reference/account.md"));
  const pages = readPages().filter(({ path }) => !DEVELOPERS.includes(path));
  const named = pages.flatMap(({ path, text }) =>
    [...namesIn(text)]
      .filter((name) =>
        /^(capture|sessions|turns|sent|responses|dropped|trace|ways|mptcp|udp|mysql|flows|connections|written)(\.[a-z_]+)+$/.test(
          name,
        ),
      )
      .map((name) => ({ path, name })),
  );
  expect(named.length).toBeGreaterThan(20);
  expect(named.filter(({ name }) => name.split(".").some((part) => !known.has(part)))).toEqual([]);
});

test("every metric is explained", () => {
  const metrics = readFileSync(join(ROOT, "src/web/metrics.ts"), "utf8").match(/xcopy_\w+/g) ?? [];
  expect(metrics.length).toBeGreaterThan(30);
  const known = namesIn(page("reference/metrics.md"));
  expect([...new Set(metrics)].filter((name) => !known.has(name))).toEqual([]);
});

test("every exit code is explained", () => {
  const rows = [...page("reference/process.md").matchAll(/^\| (\d) \| /gm)].map(([, code]) => Number(code));
  expect(rows).toEqual(Object.keys(EXIT_CODES).map(Number));
});

/** Ids of findings in a file of src/doctor: written whole, or as the last part behind the name of its folder. */
function idsIn(path: string, text: string): string[] {
  const whole = [...text.matchAll(/"((?:doctor|host|arrival|way|intercept)\.[a-z_-]+)"/g)].map(
    ([, id]) => id!,
  );
  const [prefix = ""] = path.split("/");
  if (!["arrival", "way", "intercept"].includes(prefix)) return whole;
  const parts = [...text.matchAll(/\b(?:finding|about|say)\(\s*"(?!(?:ok|warning|failed)")([a-z_-]+)"/g)].map(
    ([, id]) => `${prefix}.${id}`,
  );
  const [kinds = ""] = /^function kindOf\([\s\S]*?^}/m.exec(text) ?? [];
  const told = [...kinds.matchAll(/(?:return|[?:]) "([a-z]+)"/g)].map(([, id]) => `${prefix}.${id}`);
  return [...whole, ...parts, ...told];
}

test("every finding of doctor is in the tree", () => {
  const room = join(ROOT, "src/doctor");
  const files = readdirSync(room, { recursive: true, encoding: "utf8" }).filter((path) =>
    path.endsWith(".ts"),
  );
  const ids = new Set(files.flatMap((file) => idsIn(file, readFileSync(join(room, file), "utf8"))));
  expect(ids.size).toBeGreaterThan(20);
  const known = namesIn(page("troubleshooting.md"));
  expect([...ids].filter((id) => !known.has(id)).sort()).toEqual([]);
  const named = [...known].filter((name) => /^(doctor|host|arrival|way|intercept)\.[a-z_-]+$/.test(name));
  expect(named.filter((id) => !ids.has(id)).sort()).toEqual([]);
});
