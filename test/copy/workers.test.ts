/** The reports and counts of several workers, merged into one; and the configuration that each gets. */
import { describe, expect, test } from "bun:test";
import { countersOf, histogramOf, totalOf } from "../../src/copy/account/totals.ts";
import type { InterceptState } from "../../src/copy/data-plane/intercepts.ts";
import type { Findings } from "../../src/copy/data-plane/preflight.ts";
import { haveOwnPorts, shareOut, type WholeConfig } from "../../src/copy/data-plane/share-out.ts";
import { createCounters, createShared, INDEX, viewShared } from "../../src/copy/data-plane/shared.ts";
import { InterceptReports, mergeFindings } from "../../src/copy/data-plane/workers.ts";
import { publish } from "../../src/runtime/shared.ts";

const state = (up: boolean, text = ""): InterceptState => ({
  index: 0,
  up,
  text,
  welcome: null,
  isRefused: false,
  covers: [],
});

describe("an intercept, reported by several workers", () => {
  const tell = (workers: number) => {
    const told: string[] = [];
    const reports = new InterceptReports(workers, ({ up, text }) => told.push(up ? "up" : text));
    return { told, reports };
  };

  test("is connected when all are connected to it, lost when one has lost it, each reported once", () => {
    const { told, reports } = tell(3);
    for (const worker of [1, 0, 2]) reports.take(worker, state(true));
    expect(told).toEqual(["up"]);
    for (const worker of [2, 0, 1]) reports.take(worker, state(false, `by ${worker}`));
    expect(told).toEqual(["up", "by 2"]);
    reports.take(2, state(false, "still"));
    reports.take(1, state(false, "hm"));
    for (const worker of [2, 1]) reports.take(worker, state(true));
    expect(told).toEqual(["up", "by 2", "still"]);
    reports.take(0, state(true));
    expect(told).toEqual(["up", "by 2", "still", "up"]);
  });

  test("is not waited for by a worker that died", () => {
    const { told, reports } = tell(2);
    for (const worker of [0, 1]) reports.take(worker, state(true));
    reports.take(0, state(false, "gone"));
    reports.forget(0);
    reports.take(1, state(false, "gone, too"));
    reports.take(1, state(true));
    expect(told).toEqual(["up", "gone", "gone, too", "up"]);
  });
});

test("the worst finding of the workers is reported", () => {
  const findings = (result: Findings["probes"][0]["result"], id: number, registersAll = false): Findings => ({
    probes: [{ path: 0, result, facts: [{ id }] }],
    intercepts: [state(result !== "silent", `${id}`)],
    registersAll,
  });
  const merged = mergeFindings([
    findings("answered", 1),
    findings("silent", 2, true),
    findings("refused", 3),
  ]);
  expect(merged.probes).toEqual([{ path: 0, result: "silent", facts: [{ id: 1 }, { id: 2 }, { id: 3 }] }]);
  expect(merged.intercepts).toEqual([state(false, "2")]);
  expect(merged.registersAll).toBe(true);
  expect(mergeFindings([findings("answered", 1), findings("refused", 2)]).probes[0]!.result).toBe("refused");
});

describe("the counts", () => {
  const view = (counts: Partial<Record<keyof typeof INDEX, number>>, isDead = false) => {
    const shared = viewShared(createShared());
    const counters = createCounters();
    for (const [name, value] of Object.entries(counts)) counters[INDEX[name as keyof typeof INDEX]] = value;
    publish(shared, counters);
    shared.histograms.lag[3] = counts.turnsSent ?? 0;
    return { shared, isDead };
  };

  test("of all workers are added; the longest lag, and losses of an intercept that all see, are not", () => {
    const views = [
      view({ turnsSent: 3, lagMax: 50, interceptsLost: 1, waiting: 5, behind: 10 }),
      view({ turnsSent: 4, lagMax: 20, interceptsLost: 1, waiting: 6, behind: 90 }),
    ];
    const total = totalOf(views.map(countersOf));
    expect([total[INDEX.turnsSent], total[INDEX.lagMax], total[INDEX.interceptsLost]]).toEqual([7, 50, 1]);
    expect([total[INDEX.waiting], total[INDEX.behind]]).toEqual([11, 90]);
    expect(histogramOf(views, "lag")[3]).toBe(7);
  });

  test("of a dead worker: its pending turns count as dropped, its sessions as failed", () => {
    const counts = {
      turnsCaptured: 10,
      turnsSent: 6,
      turnsDropped: 1,
      "dropped.gap": 1,
      turnsPending: 3,
      active: 2,
      memory: 99,
    };
    const counters = countersOf(view(counts, true));
    const of = (name: keyof typeof INDEX) => counters[INDEX[name]];
    expect([of("turnsCaptured"), of("turnsSent"), of("turnsDropped"), of("turnsPending")]).toEqual([
      10, 6, 4, 0,
    ]);
    expect([of("dropped.worker"), of("failed"), of("active"), of("memory")]).toEqual([3, 2, 0, 0]);
  });
});

test("each worker gets its own rings and its part of the memory, and all other settings unchanged", () => {
  const whole = {
    source: { kind: "rings", rings: [10, 11, 12, 13, 14, 15], ringBytes: 4096 },
    responseRings: [20, 21, 22, 23, 24, 25],
    responseSocket: null,
    memory: 900,
    maxSessions: 50,
    pairs: { body: true, fields: ["etag"], memory: 600 },
  } as unknown as WholeConfig;
  const configs = shareOut(whole, [4, null, 4], 1.5);
  expect(configs.map(({ source }) => source?.kind === "rings" && source.rings)).toEqual([
    [10, 13],
    [11, 14],
    [12, 15],
  ]);
  expect(configs[2]!.responseRings).toEqual([22, 25]);
  expect(configs.map(({ memory, maxSessions }) => [memory, maxSessions])).toEqual(Array(3).fill([300, 50]));
  expect(configs.map(({ worker }) => [worker.index, worker.count, worker.cpu, worker.cpuLimit])).toEqual([
    [0, 3, 4, 1.5],
    [1, 3, null, 1.5],
    [2, 3, 4, 1.5],
  ]);
  expect(new Set(configs.map(({ worker }) => worker.words)).size).toBe(1);
  expect(new Set(configs.map(({ shared }) => shared)).size).toBe(3);
  expect(configs.map(({ pairs }) => pairs?.config)).toEqual(
    Array(3).fill({ body: true, fields: ["etag"], memory: 200 }),
  );
  expect(new Set(configs.map(({ pairs }) => pairs?.memory)).size).toBe(3);
});

test("each worker gets its packet socket and counts by itself; answers from a socket are not shared", () => {
  const source = { kind: "packet", sockets: [10, 11], match: { worker: 0 } };
  const whole = { source, responseRings: [], responseSocket: null, memory: 900, pairs: null };
  const configs = shareOut(whole as unknown as WholeConfig, [null, null], 0);
  expect(configs.map((config) => config.source)).toEqual([
    { ...source, sockets: [10], match: { worker: 0 } },
    { ...source, sockets: [11], match: { worker: 1 } },
  ] as never);
  const answered = { ...whole, responseSocket: { socket: 5 } } as unknown as WholeConfig;
  expect(() => shareOut(answered, [null, null], 0)).toThrow("without eBPF one worker reads all responses");
});

test.each([
  [[[20, 20]], 1, true],
  [[[20, 20]], 2, false],
  [[[20, 21]], 2, true],
  [
    [
      [20, 20],
      [22, 22],
      [24, 24],
    ],
    2,
    false,
  ],
  [
    [
      [20, 20],
      [25, 25],
    ],
    2,
    true,
  ],
  [[[1024, 65535]], 64, true],
] as [[number, number][], number, boolean][])("ports %j for %d workers: %p", (ports, workers, enough) => {
  expect(haveOwnPorts(ports, workers)).toBe(enough);
});
