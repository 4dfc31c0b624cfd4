/**
 * Measures reading recordings without sending: a generated file of requests, through the worker and the ring to a consumer
 * that looks at every record. Prints one table: plain, gzip and zstd, and small packets, most of which are not requests.
 * usage: bun bench/trace.ts [--quick]
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startTraceReader } from "../src/capture/trace/start.ts";
import { TraceRing } from "../src/capture/trace/trace-ring.ts";
import { IPPROTO_TCP } from "../src/wire/ip.ts";
import { writeTrace } from "../test/capture/trace/generate.ts";
import { type Figure, median, megabytes, renderTable } from "./figures.ts";

const SERVICE = { address: null, family: 4 as const, port: 80, index: 0 };

interface Reading {
  seconds: number;
  packets: number;
  rss: number;
}

async function read(path: string): Promise<Reading> {
  Bun.gc(true);
  const before = process.memoryUsage.rss();
  let rss = 0;
  const options = {
    paths: [path],
    services: [SERVICE],
    targets: [0],
    protocol: IPPROTO_TCP,
    loops: 1,
    leftOut: 0,
    wake: -1,
  };
  const reader = startTraceReader({ ...options, start: null, end: null }, console.error);
  await reader.ready;
  const began = performance.now();
  const ring = new TraceRing(reader.memory);
  let sum = 0;
  while (!ring.isEnd) {
    if (ring.drain((packet) => (sum += packet.length), 4096) > 0) continue;
    rss = Math.max(rss, process.memoryUsage.rss() - before);
    await Bun.sleep(0);
  }
  const seconds = (performance.now() - began) / 1000;
  const failures = await reader.ended;
  const { packets, requestBytes } = reader.counters();
  if (failures.length > 0 || sum > requestBytes) throw new Error("Cannot measure: the trace was not read");
  return { seconds, packets, rss };
}

async function measure(name: string, path: string, bytes: number, runs: number): Promise<Figure[]> {
  await read(path);
  const readings: Reading[] = [];
  for (let run = 0; run < runs; run++) readings.push(await read(path));
  const seconds = median(readings.map((reading) => reading.seconds));
  const rss = Math.max(...readings.map((reading) => reading.rss));
  const { packets } = readings[0]!;
  return [
    { name, value: `${(bytes / seconds / 1e6).toFixed(0)} MB/s` },
    { name: "  packets per second", value: `${(packets / seconds / 1e6).toFixed(2)} M/s` },
    { name: "  most memory above the start", value: megabytes(rss) },
  ];
}

const quick = process.argv.includes("--quick");
const size = quick ? 100e6 : 1e9;
const runs = quick ? 1 : 5;
const directory = mkdtempSync(join(tmpdir(), "xcopy-trace-"));
try {
  const path = join(directory, "large.pcap");
  const small = join(directory, "small.pcap");
  const bytes = writeTrace(path, { bytes: size, payload: 1448, every: 1 });
  const smallBytes = writeTrace(small, { bytes: size / 4, payload: 100, every: 10 });
  for (const command of [
    ["gzip", "-1k"],
    ["zstd", "-1qk"],
  ]) {
    const { exitCode } = Bun.spawnSync([...command, path]);
    if (exitCode !== 0) throw new Error(`Cannot run ${command[0]}`);
  }
  const figures = [
    ...(await measure("1,500-byte packets, plain", path, bytes, runs)),
    ...(await measure("1,500-byte packets, gzip", `${path}.gz`, bytes, quick ? 1 : 2)),
    ...(await measure("1,500-byte packets, zstd", `${path}.zst`, bytes, quick ? 1 : 2)),
    ...(await measure("small packets, a tenth wanted", small, smallBytes, runs)),
  ];
  console.log(`reading ${megabytes(size)} of trace, medians of ${runs} runs\n\n${renderTable(figures)}`);
} finally {
  rmSync(directory, { recursive: true });
}
