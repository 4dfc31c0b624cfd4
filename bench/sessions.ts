/**
 * Measures what a request costs with few and with many open sessions, with 5,000 requests per second spread over all of them.
 * usage: bun bench/sessions.ts [--quick]
 */
import { join } from "node:path";
import { addAddress, TARGET } from "../src/demo/network.ts";
import { usageOf } from "../src/demo/usage.ts";
import { createLab, type Lab } from "../test/support/lab.ts";
import { startNginx } from "../test/support/nginx.ts";
import { type Copy, startCopy } from "../test/support/xcopy.ts";
import { type Figure, median, megabytes, microseconds, renderTable, spread } from "./figures.ts";

const quick = process.argv.includes("--quick");
const STEPS = quick ? [10, 1000] : [10, 1000, 10_000, 50_000];
const RUNS = quick ? 1 : 3;
const SECONDS = quick ? 3 : 8;
const WARM_UP = quick ? 2 : 10;
const RATE = 5000;
/** Connections per process: below the limit of open files. */
const CONNECTIONS_PER_CLIENT = 10_000;
/** One address has not enough ports for all connections to one port of the target. */
const TARGETS = [8080, 8081];
const TRANSFER = `80-${TARGETS.map((port) => `${TARGET}:${port}`).join("|")}`;
const AIM = 1.15;

/** The search for a free port is slow if many are taken: each client process connects to its own address of online. */
function onlineAddress(client: number): string {
  return `10.1.0.${client === 0 ? 1 : 100 + client}`;
}

interface Measured {
  cost: number;
  resident: number;
}

/** Opens the sessions, lets them send requests at the rate, and ends them. */
async function measure(lab: Lab, copy: Copy, sessions: number): Promise<Measured> {
  const script = join(import.meta.dir, "../test/support/connections.ts");
  const clients = Math.ceil(sessions / CONNECTIONS_PER_CLIENT);
  const words = ["80", `${sessions / clients}`, `${RATE / clients}`];
  const running = [];
  for (let client = 0; client < clients; client++) {
    const one = lab.start(lab.client, [process.execPath, script, onlineAddress(client), ...words]);
    await one.line(/^open$/, 60_000);
    running.push(one);
  }
  await copy.report(`${sessions} sessions`, (report) => report.sessions.active >= sessions, 30_000);
  await Bun.sleep(WARM_UP * 1000);
  const { pid } = copy.running;
  const look = () => ({ usage: usageOf(pid), captured: copy.reports().at(-1)!.turns.captured });
  const before = look();
  await Bun.sleep(SECONDS * 1000);
  const after = look();
  for (const one of running) await one.stop();
  await copy.report("no session", () => copy.reports().at(-1)!.sessions.active === 0, 60_000);
  const spent = after.usage.user + after.usage.system - before.usage.user - before.usage.system;
  return { cost: spent / (after.captured - before.captured), resident: after.usage.resident };
}

const lab = createLab({ manyClients: false });
try {
  for (const client of [1, 2, 3, 4]) addAddress(lab.online, "front", `${onlineAddress(client)}/24`);
  await startNginx(lab, lab.online, 80, { workers: 4, server: "access_log off;" });
  for (const port of TARGETS)
    await startNginx(lab, lab.target, port, { workers: 4, server: "access_log off;" });
  const measured = STEPS.map(() => [] as Measured[]);
  let lost = 0;
  for (let times = 0; times < RUNS; times++) {
    const copy = await startCopy(lab, ["-x", TRANSFER], { interval: 0.5 });
    for (const [index, sessions] of STEPS.entries()) {
      console.error(`measuring ${sessions} sessions, run ${times + 1} of ${RUNS}`);
      measured[index]!.push(await measure(lab, copy, sessions));
    }
    const { report } = await copy.stop();
    lost += report.turns.captured - report.turns.answered;
  }
  const costs = measured.map((all) => median(all.map(({ cost }) => cost)));
  const figures: Figure[] = STEPS.map((sessions, index) => ({
    name: `${sessions.toLocaleString("en")} sessions`,
    value: microseconds(costs[index]!),
    spread: spread(
      measured[index]!.map(({ cost }) => cost),
      microseconds,
    ),
    without: megabytes(median(measured[index]!.map(({ resident }) => resident))),
    ratio: costs[index]! / costs[0]!,
    aim: index > 0 ? `${AIM}` : "",
  }));
  console.log(`keep-alive requests of many sessions, ${RATE.toLocaleString("en")}/s\n`);
  console.log(renderTable(figures, ["CPU per request", "memory"]));
  console.log(`\nrequests that were not answered: ${lost}`);
} finally {
  await lab.stopAll();
  lab.remove();
}
