/**
 * Measures what xcopy costs where there is little to do: CPU per request and lag at some rates, over 100 connections. The CPU time
 * contains the target's receive path, which a veth runs on the sender's time. usage: bun bench/cheap.ts [--quick]
 */
import { ONLINE, TARGET } from "../src/demo/network.ts";
import { usageOf } from "../src/demo/usage.ts";
import { createLab, type Lab } from "../test/support/lab.ts";
import { startNginx } from "../test/support/nginx.ts";
import { type LoadResult, load } from "../test/support/wrk.ts";
import { startCopy } from "../test/support/xcopy.ts";
import { type Figure, median, microseconds, milliseconds, renderTable, spread } from "./figures.ts";
import { QUIET } from "./load.ts";

const quick = process.argv.includes("--quick");
const runs = quick ? 1 : 3;
const seconds = quick ? 5 : 15;
/** Requests, and their rate per second, after which the code that is used often is compiled. */
const WARM_UP = { rate: 5000, count: 50_000 };

interface Kind {
  name: string;
  /** Requests per second. */
  rate: number;
  close: boolean;
  /** us of CPU per request to stay below. */
  aim: number;
  /** us of lag to stay below. */
  lagAim: { p50?: number; p99?: number };
}

const KINDS: Kind[] = [
  { name: "keep-alive, 200/s", rate: 200, close: false, aim: 150, lagAim: {} },
  { name: "keep-alive, 1,000/s", rate: 1000, close: false, aim: 60, lagAim: { p50: 1000, p99: 3000 } },
  { name: "keep-alive, 5,000/s", rate: 5000, close: false, aim: 20, lagAim: { p99: 3000 } },
  { name: "short connections, 5,000/s", rate: 5000, close: true, aim: 50, lagAim: {} },
];

interface Run {
  /** CPU seconds per request. */
  warm: number;
  /** The same of another process in its first seconds, compilation included, and its lag in us. */
  first: number;
  lag: { p50: number; p99: number };
}

/** CPU seconds per request of a process while a load runs. */
async function costOf(pid: number, produce: () => Promise<LoadResult>): Promise<number> {
  const before = usageOf(pid);
  const { requests } = await produce();
  const after = usageOf(pid);
  return (after.user + after.system - before.user - before.system) / requests;
}

async function measure(lab: Lab, { rate, close }: Kind): Promise<Run> {
  const options = { url: `http://${ONLINE}`, close };
  const produce = () => load(lab, { ...options, rate, count: rate * seconds });
  const start = () => startCopy(lab, ["-x", `80-${TARGET}:8080`], { interval: QUIET });
  const cold = await start();
  const first = await costOf(cold.running.pid, produce);
  const { report } = await cold.stop();
  const copy = await start();
  await load(lab, { ...options, ...WARM_UP });
  const warm = await costOf(copy.running.pid, produce);
  await copy.stop();
  return { warm, first, lag: report.lag_us };
}

function figuresOf({ name, aim, lagAim }: Kind, all: Run[]): Figure[] {
  const figure = (
    label: string,
    values: number[],
    show: (value: number) => string,
    most?: number,
  ): Figure => ({
    name: label,
    value: show(median(values)),
    ...(values.length > 1 && { spread: spread(values, show) }),
    ...(most !== undefined && { aim: show(most) }),
  });
  const lag = (share: "p50" | "p99") =>
    figure(
      `  lag ${share}`,
      all.map((run) => run.lag[share]),
      milliseconds,
      lagAim[share],
    );
  return [
    figure(
      `${name}: CPU per request, warm`,
      all.map(({ warm }) => warm),
      microseconds,
      aim / 1e6,
    ),
    figure(
      `  in the first ${seconds} s`,
      all.map(({ first }) => first),
      microseconds,
    ),
    lag("p50"),
    lag("p99"),
  ];
}

const lab = createLab();
const figures: Figure[] = [];
try {
  for (const kind of KINDS) {
    await startNginx(lab, lab.online, 80);
    await startNginx(lab, lab.target, 8080);
    const all: Run[] = [];
    for (let run = 0; run < runs; run++) {
      console.error(`measuring ${kind.name}, run ${run + 1} of ${runs}`);
      all.push(await measure(lab, kind));
    }
    await lab.stopAll();
    figures.push(...figuresOf(kind, all));
  }
} finally {
  await lab.stopAll();
  lab.remove();
}
console.log(`little to do: CPU time of xcopy with the target's receive path, medians of ${runs} runs\n`);
console.log(renderTable(figures, ["with xcopy", ""]));
