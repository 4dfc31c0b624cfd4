/**
 * Measures what --compare costs: CPU of xcopy per request and production's p99 at the same load without it, with heads and with bodies, in
 * turn; and the memory of a comparison with many endpoints. usage: bun bench/compare.ts [--quick]
 */
import { Comparison } from "../src/compare/comparison.ts";
import { ONLINE, TARGET } from "../src/demo/network.ts";
import { usageOf } from "../src/demo/usage.ts";
import type { Answer, Pair } from "../src/pairs/pair.ts";
import { createLab, type Lab } from "../test/support/lab.ts";
import { startNginx } from "../test/support/nginx.ts";
import { type LoadResult, load } from "../test/support/wrk.ts";
import { startCopy } from "../test/support/xcopy.ts";
import { type Figure, median, microseconds, milliseconds, renderTable, spread } from "./figures.ts";
import { QUIET, receiveElsewhere } from "./load.ts";

const quick = process.argv.includes("--quick");
const runs = quick ? 1 : 5;
const seconds = quick ? 2 : 6;
const RATE = 5000;
const ENDPOINTS = 1000;
const PAIRS = 300_000;

const KINDS: Record<string, string[]> = {
  "without --compare": [],
  "--protocol http": ["--protocol", "http"],
  "--compare": ["--compare"],
  "--compare body": ["--compare", "body"],
};

interface Measured {
  /** us of CPU of xcopy per request, of the thread that compares too. */
  cpu: number;
  result: LoadResult;
  /** Requests that were not compared, where they should be. */
  missing: number;
}

async function measure(lab: Lab, words: string[]): Promise<Measured> {
  const copy = await startCopy(lab, ["-x", `80-${TARGET}:8080`, ...words], { interval: QUIET });
  const options = { url: `http://${ONLINE}`, rate: RATE, count: RATE * seconds, close: false };
  const { pid } = copy.running;
  // Bun compiles what is used often: half a second of CPU, once.
  const warm = await load(lab, options);
  receiveElsewhere(lab, pid, true);
  const before = usageOf(pid);
  const result = await load(lab, options);
  const after = usageOf(pid);
  receiveElsewhere(lab, pid, false);
  const { report } = await copy.stop();
  const used = after.user - before.user + after.system - before.system;
  const all = warm.requests + result.requests;
  const missing = words.includes("--compare") ? all - (report.comparison?.outcomes.compared ?? 0) : 0;
  return { cpu: used / result.requests, result, missing };
}

function answerOf(index: number): Answer {
  const time = 500 + ((index * 7919) % 20_000);
  return {
    status: index % 50 === 0 ? 500 : 200,
    end: "complete",
    bytes: 300 + (index % 40),
    count: 0,
    firstByte: time,
    lastByte: time + 100,
    head: new TextEncoder().encode("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n"),
    isHeadWhole: true,
    fields: 1,
    digest: null,
    body: null,
  };
}

/** Bytes that a comparison of so many endpoints has in the heap, and us that a pair takes. */
function measureMemory(): { bytes: number; us: number } {
  const used = () => {
    Bun.gc(true);
    const { heapUsed, arrayBuffers } = process.memoryUsage();
    return heapUsed + arrayBuffers;
  };
  const before = used();
  const comparison = new Comparison({
    version: "",
    mode: "direct",
    services: ["80"],
    targets: [{ label: TARGET, isNoise: false }],
    body: false,
    fields: [],
    endpoints: [],
    ignore: [],
    masks: [],
    bounds: [],
    began: { ms: 0, us: 0 },
  });
  const request = new TextEncoder().encode("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  const begun = performance.now();
  for (let index = 0; index < PAIRS; index++) {
    const pair: Pair = {
      protocol: "http",
      outcome: "compared",
      service: 0,
      copy: 0,
      path: 0,
      at: index * 100,
      method: "GET",
      name: `/of/e${"abcdefghij"[index % 10]}-${"klmnopqrst"[Math.floor(index / 10) % 10]}-${"uvwxyzabcd"[Math.floor(index / 100) % 10]}/list`,
      request,
      requestBody: null,
      production: answerOf(index),
      target: answerOf(index + 1),
    };
    comparison.take(pair);
  }
  const us = ((performance.now() - begun) * 1000) / PAIRS;
  const { endpoints } = comparison.account();
  if (endpoints !== ENDPOINTS) throw new Error(`there are ${endpoints} endpoints`);
  return { bytes: used() - before, us };
}

const lab = createLab({ manyClients: false });
try {
  await startNginx(lab, lab.online, 80);
  await startNginx(lab, lab.target, 8080);
  const found = new Map(Object.keys(KINDS).map((name) => [name, [] as Measured[]]));
  for (let run = 0; run < runs; run++) {
    for (const [name, words] of Object.entries(KINDS)) {
      console.error(`measuring ${name}, run ${run + 1} of ${runs}`);
      found.get(name)!.push(await measure(lab, words));
    }
  }
  const cpuOf = (name: string) => median(found.get(name)!.map(({ cpu }) => cpu));
  const tailOf = (name: string) => median(found.get(name)!.map(({ result }) => result.p99));
  const first = Object.keys(KINDS)[0]!;
  const figures: Figure[] = Object.keys(KINDS).flatMap((name) => {
    const all = found.get(name)!;
    const missing = all.reduce((sum, each) => sum + each.missing, 0);
    return [
      {
        name: `${name}: CPU per request`,
        value: microseconds(cpuOf(name)),
        spread: spread(
          all.map(({ cpu }) => cpu),
          microseconds,
        ),
        ratio: cpuOf(name) / cpuOf(first),
        aim: name === "--compare" ? "1.25" : "",
      },
      {
        name: "  p99 seen by production's client",
        value: milliseconds(tailOf(name)),
        ratio: tailOf(name) / tailOf(first),
      },
      ...(name.startsWith("--compare")
        ? [{ name: "  requests not compared", value: `${missing}`, aim: "0" }]
        : []),
    ];
  });
  console.log(`keep-alive, ${RATE.toLocaleString("en")}/s, medians of ${runs} runs\n`);
  console.log(renderTable(figures));
  const { bytes, us } = measureMemory();
  console.log(
    `\n${ENDPOINTS.toLocaleString("en")} endpoints, ${PAIRS.toLocaleString("en")} pairs: ${(bytes / 1e6).toFixed(1)} MB, ${us.toFixed(1)} us a pair`,
  );
} finally {
  await lab.stopAll();
  lab.remove();
}
