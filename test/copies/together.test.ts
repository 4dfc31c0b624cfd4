/** Several runs of one file: what a service manager hears, what a reader sees, who needs ports of its own. */
import { expect, test } from "bun:test";
import { parsePart, parsePorts } from "../../src/config/ports.ts";
import { parseTransfers } from "../../src/config/transfer.ts";
import { named } from "../../src/copies/lines.ts";
import { worstOf } from "../../src/copies/run.ts";
import { meets, shareOut } from "../../src/copies/shares.ts";
import { together } from "../../src/copies/together.ts";
import { managerOf, textOf } from "../../src/host/manager/manager.ts";

/** What the manager of shop and search hears. */
function pair() {
  const heard: string[] = [];
  const manager = managerOf(
    (message) => heard.push(textOf(message).trim()),
    null,
    () => 0,
  );
  return { runs: together(["shop", "search"], manager), heard: () => heard.splice(0) };
}

const READY = { READY: "1" };
const RELOADING = { RELOADING: "1" };

test("they are ready when all are, once", () => {
  const { runs, heard } = pair();
  runs.heard("shop", READY, 0);
  runs.heard("shop", { STATUS: "copies" }, 0);
  expect([runs.isReady, runs.works("shop"), runs.works("search")]).toEqual([false, true, false]);
  runs.heard("search", READY, 0);
  expect(runs.isReady).toBe(true);
  expect(heard()).toEqual(["STATUS=shop: copies; search: starts", "READY=1"]);
});

test("one whose recording is at its end does not keep the others from being ready", () => {
  const { runs, heard } = pair();
  runs.ended("shop", "has ended");
  runs.heard("search", READY, 0);
  expect(heard()).toEqual(["STATUS=shop: has ended; search: starts", "READY=1"]);
});

test("a reload is one reload, over when all that read anew have", () => {
  const { runs, heard } = pair();
  runs.heard("shop", READY, 0);
  runs.heard("search", READY, 0);
  heard();
  runs.heard("shop", RELOADING, 0);
  runs.heard("search", RELOADING, 0);
  runs.heard("shop", READY, 0);
  expect(heard()).toEqual(["RELOADING=1\nMONOTONIC_USEC=0"]);
  runs.heard("search", READY, 0);
  expect(heard()).toEqual(["READY=1"]);
  // Those that are told together end together, whenever each begins.
  runs.reloads("shop");
  runs.reloads("search");
  for (const message of [RELOADING, READY]) runs.heard("shop", message, 0);
  expect(heard()).toEqual(["RELOADING=1\nMONOTONIC_USEC=0"]);
  for (const message of [RELOADING, READY]) runs.heard("search", message, 0);
  expect(heard()).toEqual(["READY=1"]);
  runs.heard("search", RELOADING, 0);
  runs.ended("search", "ended with exit code 1");
  expect(heard()).toEqual([
    "RELOADING=1\nMONOTONIC_USEC=0",
    "READY=1",
    "STATUS=shop: starts; search: ended with exit code 1",
  ]);
});

test("one that is started again is not ready anew", () => {
  const { runs, heard } = pair();
  runs.heard("shop", READY, 0);
  runs.heard("search", READY, 0);
  runs.ended("shop", "ended");
  heard();
  runs.started("shop", 0);
  runs.heard("shop", READY, 0);
  expect(heard()).toEqual([]);
  expect(runs.works("shop")).toBe(true);
});

test("they are alive while none that works is silent for too long", () => {
  const { runs } = pair();
  runs.started("shop", 0);
  runs.started("search", 0);
  expect(runs.allAlive(10, 1000)).toBe(true);
  runs.heard("shop", READY, 1000);
  runs.heard("search", READY, 1000);
  runs.heard("shop", { WATCHDOG: "1" }, 1010);
  expect([runs.allAlive(10, 1010), runs.allAlive(10, 1011)]).toEqual([true, false]);
  runs.ended("search", "ended");
  expect(runs.allAlive(10, 1020)).toBe(true);
});

test.each([
  ["copying 80-a", "shop: copying 80-a"],
  ["<4>warning: a", "<4>shop: warning: a"],
  ["", "shop: "],
  ['{"mode":"direct"}', '{"name":"shop","mode":"direct"}'],
  ["{}", "shop: {}"],
])("%j is printed as %j", (line, printed) => {
  expect(named("shop", line)).toBe(printed);
});

test.each([
  [[0, 0], 0],
  [[0, 6, 0], 6],
  [[6, 1], 1],
  [[3, 1], 3],
])("%j end with %d", (codes, code) => {
  expect(worstOf(codes)).toBe(code);
});

test("one more comes and one goes while the others work", async () => {
  const { runs, heard } = pair();
  runs.heard("shop", READY, 0);
  runs.heard("search", READY, 0);
  heard();
  runs.started("pay", 0);
  const settled = runs.settled("pay");
  expect([runs.works("pay"), heard()]).toEqual([false, []]);
  runs.heard("pay", READY, 0);
  await settled;
  runs.left("search");
  // Its last words.
  runs.heard("search", { STATUS: "ends" }, 0);
  expect([runs.works("pay"), runs.works("search"), heard()]).toEqual([
    true,
    false,
    ["STATUS=shop: starts; pay: starts"],
  ]);
});

test("a reload does not wait for one that goes", () => {
  const { runs, heard } = pair();
  runs.heard("shop", READY, 0);
  runs.heard("search", READY, 0);
  heard();
  runs.reloads("search");
  runs.left("search");
  expect(heard()).toContain("READY=1");
});

const copies = (texts: Record<string, string>, more = {}) =>
  Object.entries(texts).map(([name, text]) => ({
    name,
    transfers: parseTransfers([text]),
    ports: null,
    part: null,
    ...more,
  }));

test.each([
  [{ a: "80-10.0.0.2", b: "81-10.0.0.3:80" }, {}],
  [
    { a: "80-10.0.0.2", b: "81-10.0.0.2:80" },
    { a: "0/2", b: "1/2" },
  ],
  [{ a: "80-10.0.0.2", b: "udp:80-10.0.0.2" }, {}],
  [
    { a: "80-Test", b: "81-test:80", c: "82-10.0.0.2" },
    { a: "0/2", b: "1/2" },
  ],
  // b has a target in common with a, and another one with c.
  [
    { a: "80-t1", c: "80-t2", b: "80-t1|t2", d: "80-t3" },
    { a: "0/3", c: "1/3", b: "2/3" },
  ],
])("of %j these share ports: %j", (texts, parts) => {
  const expected = Object.entries(parts).map(([name, part]) => [name, ["--shift", part]]);
  expect(Object.fromEntries(shareOut(copies(texts)))).toEqual(Object.fromEntries(expected));
});

test.each([{ ports: parsePorts("2000-3000") }, { part: parsePart("1/2") }])(
  "where one says %j, nobody gets any",
  (own) => {
    const both = [...copies({ a: "80-t1" }), ...copies({ b: "81-t1:80" }, own)];
    expect(shareOut(both).size).toBe(0);
  },
);

test("a new copy meets one that has its target, unless it says its ports", () => {
  const [shop] = copies({ shop: "80-t1|t2" });
  const [pay] = copies({ pay: "82-T2:80" });
  expect(meets(pay!, [shop!])).toBe("shop");
  expect(meets(pay!, copies({ other: "80-t3" }))).toBeNull();
  expect(meets({ ...pay!, part: parsePart("1/2") }, [shop!])).toBeNull();
});
