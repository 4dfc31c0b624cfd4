/**
 * A long run at the highest rate without a loss: keep-alive requests and short connections at once, in slices of time; all
 * connections end after each slice. Prints a small table; exits with 1 unless every request arrived exactly once, memory
 * stayed flat and no session was left.
 * usage: bun bench/soak.ts [SECONDS]
 */
import { createReadStream } from "node:fs";
import { cpus, release } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Account } from "../src/copy/account/account.ts";
import { ONLINE, TARGET } from "../src/demo/network.ts";
import { createLab, type Lab } from "../test/support/lab.ts";
import { startNginx } from "../test/support/nginx.ts";
import { load } from "../test/support/wrk.ts";
import { type Copy, faultsOf, startCopy } from "../test/support/xcopy.ts";
import { type Figure, median, megabytes, milliseconds, renderTable } from "./figures.ts";

const TRANSFER = `80-${TARGET}:8080`;
const URL_ONLINE = `http://${ONLINE}`;
/** Seconds of a slice, and of the trial of a rate. */
const SLICE = 15;
const TRY = 5;
/** If requests are lost at a rate, this share of it is tried next. */
const SLOWER = 0.85;
/** How much the memory of the second half may be above that of the second quarter: a share and bytes. */
const GROWTH = 1.05;
const SLACK = 4e6;

interface Rates {
  /** Requests per second on connections that stay, and on connections of one request. */
  kept: number;
  short: number;
}

interface Load extends Rates {
  /** Whether the load is limited to these rates; else they only set how many requests a slice has. */
  paced: boolean;
}

interface Slice extends Rates {
  errors: number;
}

/** Both kinds of load at once, for about `seconds`. */
async function runSlice(lab: Lab, { kept, short, paced }: Load, seconds: number): Promise<Slice> {
  const start = (rate: number, close: boolean) =>
    load(lab, {
      url: URL_ONLINE,
      rate: paced ? Math.floor(rate) : 0,
      count: Math.ceil(rate * seconds),
      connections: 50,
      close,
    });
  const [keptResult, shortResult] = await Promise.all([start(kept, false), start(short, true)]);
  return {
    kept: keptResult.requests / keptResult.seconds,
    short: shortResult.requests / shortResult.seconds,
    errors: keptResult.errors + shortResult.errors,
  };
}

function lost({ capture, turns }: Account): number {
  return capture.lost + capture.inert + turns.dropped;
}

/** The highest load at which nothing is lost: unlimited, or else at a share of the rates that online reached without limit. */
async function findLoad(lab: Lab): Promise<Load> {
  let next: Load = { kept: 5000, short: 2500, paced: false };
  for (let tries = 0; tries < 10; tries++) {
    const copy = await startCopy(lab, ["-x", TRANSFER, "--drain", "30"], { interval: 600 });
    const { kept, short } = await runSlice(lab, next, TRY);
    const { report } = await copy.stop();
    const pace = next.paced ? "paced" : "as fast as online answers";
    console.error(
      `${pace}: ${Math.round(kept)} keep-alive requests and ${Math.round(short)} short connections per second, ${lost(report)} lost`,
    );
    if (lost(report) === 0) return { kept, short, paced: next.paced };
    next = { kept: kept * SLOWER, short: short * SLOWER, paced: true };
  }
  throw new Error("Cannot soak: requests are lost at every rate");
}

/** How often each request is in a log of paths "/process-run-number". */
async function countPaths(log: string): Promise<{ total: number; runs: Map<string, Uint8Array> }> {
  const runs = new Map<string, Uint8Array>();
  let total = 0;
  for await (const line of createInterface({ input: createReadStream(log) })) {
    const end = line.lastIndexOf("-");
    const [run, number] = [line.slice(0, end), Number(line.slice(end + 1))];
    let counts = runs.get(run) ?? new Uint8Array(1 << 16);
    if (number >= counts.length) {
      const larger = new Uint8Array(2 ** Math.ceil(Math.log2(number + 1)));
      larger.set(counts);
      counts = larger;
    }
    runs.set(run, counts);
    counts[number]!++;
    total++;
  }
  return { total, runs };
}

/** How many requests are at the target less often, and how many more often, than at online. */
function compareCounts(
  online: Map<string, Uint8Array>,
  target: Map<string, Uint8Array>,
): { missing: number; excess: number } {
  let missing = 0;
  let excess = 0;
  for (const run of new Set([...online.keys(), ...target.keys()])) {
    const [one, other] = [online.get(run) ?? [], target.get(run) ?? []];
    for (let number = 0; number < Math.max(one.length, other.length); number++) {
      const difference = (one[number] ?? 0) - (other[number] ?? 0);
      if (difference > 0) missing += difference;
      else excess -= difference;
    }
  }
  return { missing, excess };
}

/** Resident memory in the second quarter and in the second half of the run. */
function memoryOf(reports: Account[]): { early: number; late: number; most: number } {
  const bytes = reports.map(({ rss_mb }) => rss_mb * 1e6);
  const quarter = Math.floor(bytes.length / 4);
  return {
    early: median(bytes.slice(quarter, 2 * quarter)),
    late: median(bytes.slice(2 * quarter)),
    most: Math.max(...bytes),
  };
}

async function startServices(lab: Lab): Promise<{ online: string; target: string }> {
  const start = async (namespace: string, port: number, name: string) => {
    const log = join(lab.directory, `${name}.log`);
    const server = `access_log ${log} path buffer=64k flush=1s;`;
    const nginx = await startNginx(lab, namespace, port, { server });
    return { log, nginx };
  };
  const [online, target] = [await start(lab.online, 80, "online"), await start(lab.target, 8080, "target")];
  return { online: online.log, target: target.log };
}

interface Soak {
  slices: Slice[];
  copy: Copy;
  report: Account;
  code: number;
  /** Sessions that were still there a minute after the last connection had ended. */
  stuck: number;
}

async function soak(lab: Lab, highest: Load, seconds: number): Promise<Soak> {
  const copy = await startCopy(lab, ["-x", TRANSFER, "--drain", "30"], { interval: 1 });
  const slices: Slice[] = [];
  const began = performance.now();
  const left = () => seconds - (performance.now() - began) / 1000;
  while (left() > 1) {
    slices.push(await runSlice(lab, highest, Math.min(SLICE, left())));
    const { turns, rss_mb, lag_us } = copy.reports().at(-1)!;
    console.error(
      `${Math.max(0, Math.round(left()))} s left: ${turns.captured} captured, ${turns.answered} answered, ` +
        `${turns.dropped} dropped, ${rss_mb} MB, lag p99 ${milliseconds(lag_us.p99)}`,
    );
  }
  const end = copy.reports().length;
  const stuck = await copy
    .report(
      "the end of all sessions",
      (report) => copy.reports().indexOf(report) >= end && report.sessions.active === 0,
      60_000,
    )
    .then(
      () => 0,
      () => copy.reports().at(-1)!.sessions.active,
    );
  const { code, report } = await copy.stop();
  return { slices, copy, report, code, stuck };
}

async function main(seconds: number): Promise<boolean> {
  const lab = createLab();
  try {
    const trial = await startServices(lab);
    const highest = await findLoad(lab);
    await lab.stopAll();
    for (const log of [trial.online, trial.target]) await Bun.file(log).delete();
    const logs = await startServices(lab);
    const { slices, copy, report, code, stuck } = await soak(lab, highest, seconds);
    // The servers write the rest of their logs when they end.
    await lab.stopAll();
    const [online, target] = [await countPaths(logs.online), await countPaths(logs.target)];
    const { missing, excess } = compareCounts(online.runs, target.runs);
    const { turns, sessions, capture, cpu, lag_us } = report;
    const faults = faultsOf(copy.reports());
    const errors = slices.reduce((sum, slice) => sum + slice.errors, 0);
    const memory = memoryOf(copy.reports());
    const isFlat = memory.late <= memory.early * GROWTH + SLACK;
    const rate = (kind: keyof Rates) => `${Math.round(median(slices.map((slice) => slice[kind])))}/s`;
    const number = (value: number) => value.toLocaleString("en-US");
    const figures: Figure[] = [
      { name: "keep-alive requests", value: rate("kept") },
      { name: "short connections", value: rate("short") },
      { name: "errors seen by clients", value: number(errors), aim: "0" },
      { name: "requests served by online", value: number(online.total) },
      { name: "  captured", value: number(turns.captured), aim: number(online.total) },
      { name: "  answered by the target", value: number(turns.answered), aim: number(online.total) },
      { name: "  missing at the target", value: number(missing), aim: "0" },
      { name: "  there more often than at online", value: number(excess), aim: "0" },
      { name: "packets without room in the rings", value: number(capture.lost), aim: "0" },
      { name: "faults in the account", value: number(faults.length), aim: "0" },
      { name: "sessions", value: number(sessions.opened + sessions.midstream) },
      { name: "  stuck at the end", value: number(stuck), aim: "0" },
      { name: "resident memory, second quarter", value: megabytes(memory.early) },
      { name: "  second half", value: megabytes(memory.late), aim: megabytes(memory.early * GROWTH + SLACK) },
      { name: "  at most", value: megabytes(memory.most) },
      { name: "lag p99", value: milliseconds(lag_us.p99) },
      {
        name: "CPU per request",
        value: `${(((cpu.user + cpu.system) / turns.captured) * 1e6).toFixed(1)} us`,
      },
    ];
    const pace = highest.paced ? "paced" : "as fast as online answers";
    console.log(`Linux ${release()}, ${cpus().length} cores, ${report.seconds} s, ${pace}\n`);
    console.log(renderTable(figures, ["", ""]));
    const problems = [
      [online.total === 0, "nothing was served"],
      [errors > 0, "clients saw errors"],
      [missing > 0 || excess > 0, "not every request arrived exactly once"],
      [
        turns.captured !== online.total || turns.answered !== online.total,
        "the account is not what was served",
      ],
      [lost(report) > 0, "something was lost"],
      [faults.length > 0, `the account does not add up: ${faults[0]}`],
      [stuck > 0, "sessions were left"],
      [!isFlat, "memory grew"],
      [code !== 0, `xcopy ended with ${code}`],
    ].filter(([is]) => is);
    for (const [, text] of problems) console.log(`\nnot as it should be: ${text}`);
    return problems.length === 0;
  } finally {
    await lab.stopAll();
    lab.remove();
  }
}

const [seconds = "600"] = process.argv.slice(2);
if (!/^[1-9][0-9]*$/.test(seconds)) {
  console.error(
    `Cannot soak for "${seconds}": not a number of seconds\nGive a whole number, for example 600.`,
  );
  process.exit(2);
}
process.exit((await main(Number(seconds))) ? 0 : 1);
