/** Measures how far copies are behind production, by the clock and with think times, and what --late does. usage: bun bench/pace.ts [--quick] */
import { ONLINE, TARGET } from "../src/demo/network.ts";
import { createLab } from "../test/support/lab.ts";
import { startNginx } from "../test/support/nginx.ts";
import { startScript, startService } from "../test/support/scripts.ts";
import { load } from "../test/support/wrk.ts";
import { startCopy } from "../test/support/xcopy.ts";
import { type Figure, median, milliseconds, renderTable } from "./figures.ts";

const quick = process.argv.includes("--quick");
const seconds = quick ? 15 : 60;
const runs = quick ? 1 : 3;
const TRANSFER = `80-${TARGET}:8080`;

interface Slow {
  /** Of the target, ms, and of every answer. */
  delay: number;
  bytes: number;
  connections: number;
  /** Of each connection, per second. */
  rate: number;
}

const lab = createLab({ manyClients: false });

/** Copies `seconds` of this load to a slower target, and returns what xcopy reported every second. */
async function copySlow({ delay, bytes, connections, rate }: Slow, args: string[]) {
  await startService(lab, lab.online, "slow.ts", "80", "0", `${bytes}`);
  const target = await startService(lab, lab.target, "slow.ts", "8080", `${delay}`, `${bytes}`);
  const copy = await startCopy(lab, ["-x", TRANSFER, ...args], { interval: 1 });
  const words = [connections, rate, rate * seconds].map(String);
  const client = startScript(lab, lab.client, "paced.ts", ONLINE, "80", ...words);
  await client.line(/^sent /, (seconds + 60) * 1000);
  const arrived = target.output.length;
  const { report } = await copy.stop();
  await lab.stopAll();
  return { reports: copy.reports(), report, arrived };
}

async function drift(delay: number, bytes: number): Promise<Figure[]> {
  const slow = { delay, bytes, connections: 10, rate: 20 };
  const clock = await copySlow(slow, []);
  const think = await copySlow(slow, ["--pace", "think"]);
  const half = (copied: typeof clock) => copied.reports[Math.floor(seconds / 2)]!.lag_us.p99;
  const name = `${delay} ms slower, answers of ${bytes.toLocaleString("en-US")} bytes`;
  return [
    {
      name: `${name}: lag p99 after ${seconds / 2} s`,
      value: milliseconds(half(clock)),
      without: milliseconds(half(think)),
    },
    {
      name: `  lag p99 after ${seconds} s`,
      value: milliseconds(clock.report.lag_us.p99),
      without: milliseconds(think.report.lag_us.p99),
      aim: "10 ms",
    },
  ];
}

async function fullSpeed(): Promise<Figure[]> {
  await startNginx(lab, lab.online, 80);
  await startNginx(lab, lab.target, 8080);
  const measure = async (args: string[]) => {
    const copy = await startCopy(lab, ["-x", TRANSFER, ...args]);
    const { requests } = await load(lab, {
      url: `http://${ONLINE}`,
      rate: 0,
      count: quick ? 200_000 : 500_000,
    });
    const { report } = await copy.stop();
    return { lag: report.lag_us.p99, lost: requests - report.turns.answered };
  };
  const clock = [];
  const think = [];
  for (let run = 0; run < runs; run++) {
    clock.push(await measure([]));
    think.push(await measure(["--pace", "think"]));
  }
  await lab.stopAll();
  const lag = (all: { lag: number }[]) => milliseconds(median(all.map((one) => one.lag)));
  const lost = (all: { lost: number }[]) => `${all.reduce((sum, one) => sum + one.lost, 0)}`;
  return [
    { name: "as fast as online answers: lag p99", value: lag(clock), without: lag(think), aim: "50 ms" },
    { name: "  requests not answered", value: lost(clock), without: lost(think) },
  ];
}

async function tooSlow(): Promise<Figure[]> {
  const slow = { delay: 500, bytes: 100, connections: 100, rate: 10 };
  const wait = await copySlow(slow, []);
  const drop = await copySlow(slow, ["--late", "drop:2"]);
  const spread = await copySlow(slow, ["--late", "spread"]);
  const behind = ({ reports }: typeof wait) => Math.max(...reports.map((report) => report.behind));
  const offered = slow.connections * slow.rate;
  const name = `500 ms an answer, ${offered.toLocaleString("en-US")}/s offered`;
  return [
    { name: `${name}, --late wait: behind at most`, value: `${behind(wait).toFixed(1)} s` },
    { name: "  at the target", value: `${(wait.arrived / seconds).toFixed(0)}/s` },
    { name: "  with --late drop:2: behind at most", value: `${behind(drop).toFixed(1)} s`, aim: "2.5 s" },
    { name: "  at the target", value: `${(drop.arrived / seconds).toFixed(0)}/s` },
    { name: "  with --late spread: behind at most", value: `${behind(spread).toFixed(1)} s` },
    { name: "  at the target", value: `${(spread.arrived / seconds).toFixed(0)}/s`, aim: "950/s or more" },
  ];
}

const figures: Figure[] = [];
try {
  for (const [delay, bytes] of [
    [5, 12_000],
    [5, 100],
    [30, 12_000],
    [30, 100],
  ] as const) {
    console.error(`measuring a target ${delay} ms slower, answers of ${bytes} bytes`);
    figures.push(...(await drift(delay, bytes)));
  }
  console.error("measuring full speed");
  figures.push(...(await fullSpeed()));
  console.error("measuring a target that is too slow");
  figures.push(...(await tooSlow()));
} finally {
  await lab.stopAll();
  lab.remove();
}
console.log(
  "how far the copy is behind: 10 connections with 20 requests/s each, where nothing else is said\n",
);
console.log(renderTable(figures, ["--pace clock", "--pace think"]));
