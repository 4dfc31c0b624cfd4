/** Measures the cost of copying MySQL: CPU per query, what production notices, memory of prepared statements. */
import { join } from "node:path";
import { ONLINE, TARGET } from "../src/demo/network.ts";
import { usageOf } from "../src/demo/usage.ts";
import type { Lab } from "../test/support/lab.ts";
import { type MariaDb, startMariaDb } from "../test/support/mariadb.ts";
import { run } from "../test/support/process.ts";
import { startCopy } from "../test/support/xcopy.ts";
import { type Figure, median, microseconds } from "./figures.ts";
import { QUIET } from "./load.ts";

const SESSIONS = 150;
const STATEMENTS = 100;
const RATE = 5000;
const COPY = ["-x", `3306-${TARGET}:3306`, "-u", "shop@target"];
const SYSBENCH = [
  "sysbench",
  "oltp_point_select",
  "--db-driver=mysql",
  `--mysql-host=${ONLINE}`,
  "--mysql-user=shop",
  "--mysql-password=online",
  "--mysql-db=shop",
  "--mysql-ssl=off",
  "--tables=1",
  "--table-size=10000",
  "--threads=16",
];

function setUp(password: string): string[] {
  return [
    "CREATE DATABASE shop",
    `CREATE USER shop@'%' IDENTIFIED BY '${password}'`,
    "GRANT ALL ON shop.* TO shop@'%'",
  ];
}

/** Queries per second, as sysbench says. */
function load(lab: Lab, rate: number, seconds: number, mode: string): number {
  const output = run(
    lab.client,
    ...SYSBENCH,
    `--db-ps-mode=${mode}`,
    `--rate=${rate}`,
    `--time=${seconds}`,
    "run",
  );
  return Number(/queries:\s+\d+\s+\(([\d.]+) per sec/.exec(output)![1]);
}

/** Both servers, with the table of sysbench. */
async function startServers(lab: Lab): Promise<{ online: MariaDb; target: MariaDb }> {
  const [online, target] = await Promise.all([
    startMariaDb(lab, lab.online, { setUp: setUp("online") }),
    startMariaDb(lab, lab.target, { setUp: setUp("target") }),
  ]);
  run(lab.client, ...SYSBENCH, "prepare");
  const there = SYSBENCH.map((word) => word.replace(ONLINE, TARGET).replace("=online", "=target"));
  run(lab.online, ...there, "prepare");
  return { online, target };
}

export async function measureMysql(lab: Lab, seconds: number, pairs: number): Promise<Figure[]> {
  await startServers(lab);
  const figures: Figure[] = [];
  for (const mode of ["disable", "auto"]) {
    const name = mode === "auto" ? "prepared point selects" : "point selects";
    const costs: { user: number; system: number; lost: number }[] = [];
    for (let pair = 0; pair < pairs; pair++) costs.push(await measureCost(lab, seconds, mode));
    const user = median(costs.map((cost) => cost.user));
    const system = median(costs.map((cost) => cost.system));
    figures.push(
      {
        name: `${name}, ${RATE.toLocaleString("en-US")}/s: CPU of xcopy per query`,
        value: microseconds(user + system),
      },
      { name: "  of it in user space", value: microseconds(user) },
      { name: "  queries not copied", value: `${costs.reduce((sum, { lost }) => sum + lost, 0)}` },
    );
    const alone: number[] = [];
    const copied: number[] = [];
    for (let pair = 0; pair < pairs; pair++) {
      alone.push(load(lab, 0, seconds, mode));
      const copy = await startCopy(lab, COPY, { interval: QUIET });
      copied.push(load(lab, 0, seconds, mode));
      await copy.stop();
    }
    figures.push({
      name: `${name}, as fast as online answers`,
      value: `${median(copied).toFixed(0)}/s`,
      without: `${median(alone).toFixed(0)}/s`,
      ratio: median(copied) / median(alone),
    });
  }
  figures.push(await measureStatements(lab));
  await lab.stopAll();
  return figures;
}

/** Seconds of load before the measurement, in which Bun compiles what is used often. */
const WARM_UP = 5;

async function measureCost(lab: Lab, seconds: number, mode: string) {
  const copy = await startCopy(lab, COPY, { interval: QUIET });
  load(lab, RATE, WARM_UP, mode);
  const before = usageOf(copy.running.pid);
  const rate = load(lab, RATE, seconds, mode);
  const after = usageOf(copy.running.pid);
  const { report } = await copy.stop();
  return {
    user: (after.user - before.user) / (rate * seconds),
    system: (after.system - before.system) / (rate * seconds),
    lost: report.turns.dropped + report.turns.pending,
  };
}

/** Memory of a session with STATEMENTS open statements, the same ones in all sessions. */
async function measureStatements(lab: Lab): Promise<Figure> {
  const copy = await startCopy(lab, COPY);
  const script = join(import.meta.dir, "../test/support/mysql-statements.ts");
  const words = [ONLINE, "shop", "online", "shop", `${SESSIONS}`];
  const held = async (statements: number, sessions: number): Promise<number> => {
    const client = lab.start(lab.client, [process.execPath, script, ...words, `${statements}`]);
    await client.line(/^open$/, 60_000);
    await copy.report("the sessions", (report) => {
      const { sent } = report.mysql ?? {};
      const prepared = sent?.prepare ?? 0;
      return report.sessions.active >= sessions && prepared >= SESSIONS * statements;
    });
    return usageOf(copy.running.pid).resident;
  };
  const without = await held(0, SESSIONS);
  const all = await held(STATEMENTS, 2 * SESSIONS);
  await copy.stop();
  return {
    name: `memory of a session with ${STATEMENTS} prepared statements`,
    value: `${((all - without) / SESSIONS / 1000).toFixed(0)} kB`,
  };
}
