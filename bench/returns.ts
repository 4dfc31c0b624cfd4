/** Measures the cost of each return path, direct and by an intercept. usage: bun bench/returns.ts [--quick] */
import { join } from "node:path";
import { ip, ONLINE, TARGET } from "../src/demo/network.ts";
import { usageOf } from "../src/demo/usage.ts";
import { type Intercept, startIntercept } from "../test/support/intercept.ts";
import { createLab, type Lab } from "../test/support/lab.ts";
import { startNginx } from "../test/support/nginx.ts";
import { createThird, THIRD } from "../test/support/third.ts";
import { load } from "../test/support/wrk.ts";
import { startCopy } from "../test/support/xcopy.ts";
import { type Figure, median, megabytes, microseconds, renderTable } from "./figures.ts";
import { QUIET } from "./load.ts";

const quick = process.argv.includes("--quick");
const runs = quick ? 1 : 3;
const seconds = quick ? 3 : 6;

interface Mode {
  name: string;
  /** Where the intercept runs. */
  isThird?: boolean;
  /** Options of the intercept; null: there is none. */
  args: string[] | null;
}

const MODES: Mode[] = [
  { name: "direct", args: null },
  { name: "target", args: ["-o", ":8080"] },
  { name: "nfqueue", args: ["--mode", "nfqueue", "-o", ":8080"] },
  { name: "assistant, tcx", isThird: true, args: ["-o", `${TARGET}:8080`] },
  { name: "assistant, xdp", isThird: true, args: ["-o", `${TARGET}:8080`, "--hook", "xdp"] },
];
const KINDS = [
  { name: "keep-alive, 5,000/s", rate: 5000, close: false },
  { name: "short connections, 3,000/s", rate: 3000, close: true },
];

/** A lab for an intercept on the target, or on a host of its own. */
function createLabFor(isThird: boolean): { lab: Lab; host: string; at: string } {
  const lab = createLab();
  return isThird ? { lab, host: createThird(lab), at: THIRD } : { lab, host: lab.target, at: TARGET };
}

/** us of CPU per request of copy and of intercept, and requests that were not answered. */
async function measureRun(isThird: boolean, args: string[] | null, kind: (typeof KINDS)[number]) {
  const { lab, host, at } = createLabFor(isThird);
  try {
    await startNginx(lab, lab.online, 80);
    await startNginx(lab, lab.target, 8080);
    const intercept = args && (await startIntercept(lab, host, args, { interval: QUIET }));
    const way = intercept ? ["-s", at] : [];
    const copy = await startCopy(lab, ["-x", `80-${TARGET}:8080`, ...way], { interval: QUIET });
    const before = [copy, intercept].map((one) => (one ? total(usageOf(one.running.pid)) : 0));
    const count = kind.rate * seconds;
    const { requests } = await load(lab, { url: `http://${ONLINE}`, count, ...kind });
    const { report } = await copy.stop();
    const caught = await intercept?.stop();
    return {
      copy: (total(report.cpu) - before[0]!) / requests,
      intercept: caught ? (total(caught.account.cpu) - before[1]!) / requests : null,
      lost: requests - report.turns.answered,
    };
  } finally {
    await lab.stopAll();
    lab.remove();
  }
}

const total = ({ user, system }: { user: number; system: number }) => user + system;

async function measureRequests(): Promise<Figure[]> {
  const figures: Figure[] = [];
  for (const { name, isThird = false, args } of MODES) {
    for (const kind of KINDS) {
      console.error(`measuring ${name}, ${kind.name}`);
      const samples = [];
      for (let run = 0; run < runs; run++) samples.push(await measureRun(isThird, args, kind));
      figures.push({
        name: `${name}: ${kind.name}`,
        value: microseconds(median(samples.map(({ copy }) => copy))),
        ...(args ? { without: microseconds(median(samples.map(({ intercept }) => intercept ?? 0))) } : {}),
        ...(samples.some(({ lost }) => lost > 0)
          ? { aim: `${samples.reduce((sum, { lost }) => sum + lost, 0)} lost` }
          : {}),
      });
    }
  }
  return figures;
}

const script = (name: string) => [process.execPath, join(import.meta.dir, name)];

/** An intercept on a third host, with a copy that only listens, for `flows` flows. */
async function withListener(
  flows: number,
  measure: (lab: Lab, intercept: Intercept, end: () => Promise<number>) => Promise<Figure[]>,
): Promise<Figure[]> {
  const { lab, host } = createLabFor(true);
  try {
    ip("-n", lab.target, "route", "add", "10.1.0.0/16", "via", "10.3.0.2");
    const intercept = await startIntercept(lab, host, ["-o", `${TARGET}:8080`]);
    const listener = lab.start(lab.online, [...script("listener.ts"), THIRD, `${flows}`]);
    await listener.line(/^registered/, 30_000);
    return await measure(lab, intercept, async () => {
      await listener.stop();
      return Number(listener.output.at(-1));
    });
  } finally {
    await lab.stopAll();
    lab.remove();
  }
}

/** Sends answers made by hand (answers.ts); resolves with how many. */
async function answer(lab: Lab, rate: number, flows: number, kind: string): Promise<number> {
  const sender = lab.start(lab.target, [...script("answers.ts"), `${rate}`, `${seconds}`, `${flows}`, kind]);
  if ((await sender.exited) !== 0) throw new Error(sender.errors.join("\n"));
  return Number(sender.output.at(-1));
}

const CARRIED_FLOWS = 1000;
const MANY_FLOWS = 100_000;
const UNKNOWN_RATE = 10_000;

/** What one intercept carries over one connection, while others use the CPUs too. */
async function measureCarried(rate: number): Promise<Figure[]> {
  return withListener(CARRIED_FLOWS, async (lab, intercept, end) => {
    const before = total(usageOf(intercept.running.pid));
    const sent = await answer(lab, rate, CARRIED_FLOWS, "data");
    const cpu = total(usageOf(intercept.running.pid)) - before;
    const got = await end();
    const { account } = await intercept.stop();
    const offered = `${Math.round(sent / seconds).toLocaleString("en-US")}/s sent`;
    return [
      {
        name: `responses by one intercept and one channel, ${offered}`,
        value: `${Math.round(got / seconds).toLocaleString("en-US")}/s`,
        without: microseconds(cpu / account.responses.packets),
      },
    ];
  });
}

async function measureMemory(): Promise<Figure[]> {
  const figures: Figure[] = [];
  await withListener(1, async (_lab, intercept) => {
    const { resident } = usageOf(intercept.running.pid);
    figures.push({
      name: "memory of an intercept, assistant, idle",
      value: "",
      without: megabytes(resident),
    });
    return [];
  });
  await withListener(MANY_FLOWS, async (lab, intercept) => {
    const { resident } = usageOf(intercept.running.pid);
    figures.push({ name: "  with 100,000 registered flows", value: "", without: megabytes(resident) });
    const before = total(usageOf(intercept.running.pid));
    await answer(lab, UNKNOWN_RATE, 10 * MANY_FLOWS, "syn-ack");
    const after = usageOf(intercept.running.pid);
    const load = ((total(after) - before) / seconds) * 100;
    figures.push({
      name: `  and 10,000 unknown SYN-ACKs a second (${load.toFixed(0)} % of a core)`,
      value: "",
      without: megabytes(after.resident),
    });
    return [];
  });
  return figures;
}

const figures = await measureRequests();
console.error("measuring what one intercept carries");
figures.push(...(await measureCarried(50_000)), ...(await measureCarried(0)));
console.error("measuring memory");
figures.push(...(await measureMemory()));
console.log(`the return paths, CPU per request or response, medians of ${runs}\n`);
console.log(renderTable(figures, ["copy", "intercept"]));
process.exit(0);
