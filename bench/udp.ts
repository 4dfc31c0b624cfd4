/**
 * Measures what copying UDP costs: dnsperf against unbound, alternately without and with xcopy, which copies to a second unbound.
 * CPU per copied datagram, what the client notices, and the highest rate at which nothing is lost.
 * usage: bun bench/udp.ts [--quick]
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { ONLINE, TARGET } from "../src/demo/network.ts";
import { createLab, type Lab } from "../test/support/lab.ts";
import { startUnbound } from "../test/support/unbound.ts";
import { startCopy } from "../test/support/xcopy.ts";
import { type Figure, median, microseconds, milliseconds, renderTable, spread } from "./figures.ts";

const quick = process.argv.includes("--quick");
const seconds = quick ? 2 : 10;
const pairs = quick ? 1 : 3;
const RATE = 20_000;
/** Rates that are tried, until one is too high. */
const RATES = [10_000, 20_000, 30_000, 40_000, 50_000, 60_000, 80_000, 100_000];

interface Load {
  asked: number;
  completed: number;
  /** us, as the client sees it. */
  latency: number;
}

/** Runs dnsperf at a rate for `seconds`. */
async function ask(lab: Lab, rate: number): Promise<Load> {
  const options = ["-s", ONLINE, "-d", join(lab.directory, "questions"), "-l", `${seconds}`, "-Q", `${rate}`];
  const dnsperf = lab.start(lab.client, ["dnsperf", ...options, "-c", "50", "-T", "2", "-q", "1000"]);
  if ((await dnsperf.exited) !== 0) throw new Error(`Cannot ask: ${dnsperf.errors.join("\n")}`);
  const text = dnsperf.output.join("\n");
  const figure = (name: string) => Number(new RegExp(`${name}:?\\s+([0-9.]+)`).exec(text)![1]);
  return {
    asked: figure("Queries sent"),
    completed: figure("Queries completed"),
    latency: figure("Average Latency \\(s\\)") * 1e6,
  };
}

async function copied(lab: Lab, rate: number) {
  const copy = await startCopy(lab, ["-x", `udp:53-${TARGET}:5353`], { interval: 5 });
  const load = await ask(lab, rate);
  const { report } = await copy.stop();
  const { captured, sent, answered } = report.udp!.datagrams;
  const cpu = (report.cpu.user + report.cpu.system) / Math.max(1, sent);
  const isWhole = captured === load.asked && sent === captured && answered === sent;
  return { ...load, cpu, isWhole, lag: report.udp!.lag_us, answered };
}

const lab = createLab({ manyClients: false });
const figures: Figure[] = [];
try {
  const questions = Array.from({ length: 1000 }, (_, index) => `host${index % 50}.example A\n`);
  writeFileSync(join(lab.directory, "questions"), questions.join(""));
  await startUnbound(lab, lab.online, 53, { logs: false });
  await startUnbound(lab, lab.target, 5353, { logs: false });
  const runs: { without: Load; copy: Awaited<ReturnType<typeof copied>> }[] = [];
  for (let pair = 0; pair < pairs; pair++) {
    runs.push({ without: await ask(lab, RATE), copy: await copied(lab, RATE) });
  }
  const of = (pick: (run: (typeof runs)[number]) => number) => runs.map(pick);
  const cpu = of(({ copy }) => copy.cpu);
  const [latency, before] = [of(({ copy }) => copy.latency), of(({ without }) => without.latency)];
  figures.push(
    {
      name: `${RATE.toLocaleString("en-US")} questions/s: CPU per copied datagram`,
      value: microseconds(median(cpu)),
      spread: spread(cpu, microseconds),
    },
    {
      name: "  average latency of the client",
      value: milliseconds(median(latency)),
      spread: spread(latency, milliseconds),
      without: milliseconds(median(before)),
      ratio: median(latency) / median(before),
    },
    { name: "  lag, p99", value: milliseconds(median(of(({ copy }) => copy.lag.p99))) },
    {
      name: "  runs in which everything was copied and answered",
      value: `${runs.filter(({ copy }) => copy.isWhole).length} of ${runs.length}`,
    },
  );
  let best = 0;
  for (const rate of RATES) {
    const { isWhole, asked } = await copied(lab, rate);
    // Servers and client share the cores with xcopy: they may reach their limit first.
    if (!isWhole || asked < rate * seconds * 0.95) break;
    best = rate;
  }
  figures.push({ name: "highest rate without a loss", value: `${best.toLocaleString("en-US")}/s` });
} finally {
  await lab.stopAll();
  lab.remove();
}
console.log(
  `UDP: dnsperf and two unbounds, ${pairs} pairs of runs of ${seconds} s\n\n${renderTable(figures)}`,
);
