/**
 * Measures what production notices: the same load alone, with xcopy, and with tcpdump in its place, in turn; and the highest
 * rate at which nothing is lost. usage: bun bench/online.ts [--quick]
 */
import { ONLINE, TARGET } from "../src/demo/network.ts";
import { createLab, type Lab } from "../test/support/lab.ts";
import { startNginx } from "../test/support/nginx.ts";
import { type LoadResult, load } from "../test/support/wrk.ts";
import { startCopy } from "../test/support/xcopy.ts";
import { type Figure, median, milliseconds, renderTable, spread } from "./figures.ts";
import { QUIET } from "./load.ts";

const quick = process.argv.includes("--quick");
const runs = quick ? 1 : 5;
const seconds = quick ? 2 : 6;
const URL = `http://${ONLINE}`;
const COPY = ["-x", `80-${TARGET}:8080`];

const KINDS = [
  { name: "keep-alive, 5,000/s", rate: 5000, count: 5000 * seconds, close: false },
  { name: "short connections, 5,000/s", rate: 5000, count: 5000 * seconds, close: true },
  { name: "keep-alive, no limit", rate: 0, count: 40_000 * seconds, close: false },
];

/** Runs `work` beside something, and returns what the load saw. */
const BESIDE: Record<string, (lab: Lab, work: () => Promise<LoadResult>) => Promise<LoadResult>> = {
  "without xcopy": (_, work) => work(),
  "with xcopy": async (lab, work) => {
    const copy = await startCopy(lab, COPY, { interval: QUIET });
    // Bun compiles what is used often: half a second of CPU, once.
    await work();
    const result = await work();
    await copy.stop();
    return result;
  },
  "from the start of xcopy on": async (lab, work) => {
    const copy = await startCopy(lab, COPY, { interval: QUIET });
    const result = await work();
    await copy.stop();
    return result;
  },
  "with tcpdump -w /dev/null": async (lab, work) => {
    const filter = "tcp dst port 80";
    const tcpdump = lab.start(lab.online, ["tcpdump", "-i", "any", "-w", "/dev/null", filter]);
    await tcpdump.line(/listening on/);
    const result = await work();
    await tcpdump.stop("SIGINT");
    return result;
  },
};

async function measureEffect(lab: Lab, kind: (typeof KINDS)[number]): Promise<Figure[]> {
  const options = { url: URL, rate: kind.rate, count: kind.count, close: kind.close };
  const names = Object.keys(BESIDE);
  const results = new Map(names.map((name) => [name, [] as LoadResult[]]));
  for (let run = 0; run < runs; run++) {
    for (const name of names) {
      console.error(`measuring ${kind.name}, ${name}, run ${run + 1} of ${runs}`);
      results.get(name)!.push(await BESIDE[name]!(lab, () => load(lab, options)));
    }
  }
  const alone = median(results.get(names[0]!)!.map(({ p99 }) => p99));
  return names.map((name) => {
    const tails = results.get(name)!.map(({ p99 }) => p99);
    const rate = median(results.get(name)!.map((result) => result.requests / result.seconds));
    return {
      name: `${kind.name}, ${name}`,
      value: milliseconds(median(tails)),
      spread: spread(tails, milliseconds),
      without: `${Math.round(rate).toLocaleString("en")}/s`,
      ratio: median(tails) / alone,
      aim: name === "with xcopy" && kind.rate > 0 && !kind.close ? "1.03" : "",
    };
  });
}

/** The highest rate of a few at which nothing is lost: requests per second that the client reached. */
async function measureLimit(lab: Lab, close: boolean, workers: number): Promise<string> {
  for (const rate of [0, ...[8, 6, 4, 3, 2, 1].map((step) => step * (close ? 2000 : 8000))]) {
    const copy = await startCopy(lab, [...COPY, "--workers", `${workers}`], { interval: QUIET });
    const count = (close ? 10_000 : 50_000) * seconds;
    const result = await load(lab, { url: URL, rate, count, close });
    const { report } = await copy.stop();
    if (report.turns.answered === result.requests) {
      const reached = Math.round(result.requests / result.seconds).toLocaleString("en");
      return rate === 0 ? `${reached}/s, all that online answered` : `${reached}/s`;
    }
  }
  return "none";
}

const lab = createLab({ manyClients: false });
try {
  await startNginx(lab, lab.online, 80);
  await startNginx(lab, lab.target, 8080);
  const effects: Figure[] = [];
  for (const kind of KINDS) effects.push(...(await measureEffect(lab, kind)));
  console.log(`what production notices: p99 and rate of its client, medians of ${runs} runs\n`);
  console.log(renderTable(effects, ["p99", "rate"]));
  const limits: Figure[] = [];
  for (const close of [false, true]) {
    for (const workers of [1, 2]) {
      const name = `${close ? "short connections" : "keep-alive"}, ${workers} worker${workers > 1 ? "s" : ""}`;
      console.error(`measuring the limit, ${name}`);
      limits.push({ name, value: await measureLimit(lab, close, workers) });
    }
  }
  console.log(`\nhighest rate without a loss\n\n${renderTable(limits)}`);
} finally {
  await lab.stopAll();
  lab.remove();
}
