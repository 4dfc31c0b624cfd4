/** MariaDB to MariaDB, with passwords of their own: the same commands and the same rows arrive. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync } from "node:fs";
import { ONLINE, TARGET } from "../../src/demo/network.ts";
import { createLab, type Lab } from "../support/lab.ts";
import { type MariaDb, startMariaDb } from "../support/mariadb.ts";
import { startPool } from "../support/pool.ts";
import { run } from "../support/process.ts";
import { until } from "../support/until.ts";
import { type Copy, faultsOf, startCopy } from "../support/xcopy.ts";

setDefaultTimeout(60_000);

let lab: Lab;
let online: MariaDb;
let target: MariaDb;

const TABLES = [
  "CREATE DATABASE shop",
  "CREATE TABLE shop.pool (id INT PRIMARY KEY, text VARCHAR(50), number INT)",
  "CREATE TABLE shop.a (x INT PRIMARY KEY)",
];
const users = (native: string, ed25519: string): string[] => [
  ...TABLES,
  `CREATE USER shop@'%' IDENTIFIED BY '${native}'`,
  `CREATE USER strong@'%' IDENTIFIED VIA ed25519 USING PASSWORD('${ed25519}')`,
  "CREATE USER open@'%'",
  ...["shop", "strong", "open"].map((user) => `GRANT ALL ON shop.* TO ${user}@'%'`),
];

beforeAll(async () => {
  lab = createLab({ manyClients: false });
  [online, target] = await Promise.all([
    startMariaDb(lab, lab.online, { setUp: users("online-1", "online-2") }),
    startMariaDb(lab, lab.target, { setUp: users("target-1", "target-2") }),
  ]);
});
afterAll(async () => {
  await lab.stopAll();
  lab.remove();
});

const TRANSFER = ["-x", `3306-${TARGET}:3306`, "--protocol", "mysql"];
const USERS = ["-u", "shop@target-1,strong@target-2"];

/** Runs SQL as a client of the service. */
function client(user: string, password: string, sql: string, ...more: string[]): string {
  const login = [`-u${user}`, `-p${password}`, `-h${ONLINE}`, "--skip-ssl", "--local-infile=1"];
  return run(lab.client, "mariadb", "--no-defaults", ...login, ...more, "shop", "-N", "-B", "-e", sql).trim();
}

/** Waits until all that was captured is sent and answered. */
async function settled(copy: Copy): Promise<void> {
  await copy.report("all commands answered", ({ turns, mysql, sessions }) => {
    return turns.captured > 0 && turns.pending === 0 && mysql !== undefined && sessions.active >= 0;
  });
}

/** Differences of what a statement did on both sides. */
const COUNTERS = [
  "select",
  "insert",
  "update",
  "delete",
  "stmt_prepare",
  "stmt_execute",
  "set_option",
  "commit",
  "begin",
];
const counters = (server: MariaDb) =>
  Object.fromEntries(COUNTERS.map((name) => [name, server.status(`Com_${name}`)]));
const since = (before: Record<string, number>, after: Record<string, number>) =>
  Object.fromEntries(Object.keys(before).map((name) => [name, after[name]! - before[name]!]));

test("logs in with the target's passwords, whatever the plugin, and hides them", async () => {
  const copy = await startCopy(lab, [...TRANSFER, ...USERS]);
  const commandLine = readFileSync(`/proc/${copy.running.pid}/cmdline`, "latin1");
  client("shop", "online-1", "INSERT INTO a VALUES (1), (2)");
  client("strong", "online-2", "INSERT INTO a VALUES (3)");
  client("open", "", "INSERT INTO a VALUES (4)");
  await copy.report("three logins", ({ mysql, turns }) => mysql?.logins === 3 && turns.pending === 0);
  const { code, report } = await copy.stop();
  expect(target.sql("SELECT GROUP_CONCAT(x ORDER BY x) FROM shop.a")).toBe("1,2,3,4");
  expect(target.sql("CHECKSUM TABLE shop.a")).toBe(online.sql("CHECKSUM TABLE shop.a"));
  expect(faultsOf(copy.reports())).toEqual([]);
  expect(report.turns).toMatchObject({ dropped: 0, pending: 0 });
  expect(report.mysql).toMatchObject({ sessions: 3, logins: 3, refused: 0 });
  expect(code).toBe(0);
  expect(commandLine).toContain("shop");
  const texts = [commandLine, ...copy.running.errors, ...copy.running.output];
  expect(texts.filter((text) => text.includes("target-1"))).toEqual([]);
});

for (const [mode, threads] of [
  ["disable", 8],
  ["auto", 32],
] as const) {
  test(`sysbench, prepared statements ${mode}, ${threads} connections: both sides count and hold the same`, async () => {
    const options = [
      "oltp_read_write",
      "--db-driver=mysql",
      `--mysql-host=${ONLINE}`,
      "--mysql-user=shop",
      "--mysql-password=online-1",
      "--mysql-db=shop",
      "--mysql-ssl=off",
      "--tables=2",
      "--table-size=500",
      `--db-ps-mode=${mode}`,
      `--threads=${threads}`,
      // Each thread has rows of its own: the order of transactions does not matter.
      "--rand-type=uniform",
      "--skip-trx=on",
      "--delete_inserts=0",
      "--non_index_updates=0",
    ];
    const copy = await startCopy(lab, [...TRANSFER, ...USERS]);
    const before = [counters(online), counters(target)];
    run(lab.client, "sysbench", ...options, "prepare");
    run(lab.client, "sysbench", ...options, "--events=200", "--time=0", "run");
    await settled(copy);
    const { report } = await copy.stop();
    const [there, here] = [since(before[0]!, counters(online)), since(before[1]!, counters(target))];
    expect(here).toEqual(there);
    expect(target.sql("CHECKSUM TABLE shop.sbtest1, shop.sbtest2")).toBe(
      online.sql("CHECKSUM TABLE shop.sbtest1, shop.sbtest2"),
    );
    expect(faultsOf(copy.reports())).toEqual([]);
    expect(report.turns).toMatchObject({ dropped: 0, pending: 0 });
    expect(report.mysql!.errors).toMatchObject({ target: 0, only_target: 0 });
    expect(report.mysql!.errors.compared).toBeGreaterThan(2900);
    for (const server of [online, target]) server.sql("DROP TABLE shop.sbtest1, shop.sbtest2");
  });
}

test("a pool that is older than xcopy, and a target that is restarted in the middle", async () => {
  const pool = await startPool(lab, "shop", "online-1", 4);
  await pool.rounds(3);
  target.sql(`INSERT INTO shop.pool SELECT seq, CONCAT('row ', seq), 2 * seq + 1 FROM shop.seq_1_to_12`);
  const copy = await startCopy(lab, [...TRANSFER, ...USERS, "--mysql-database", "shop"]);
  await pool.rounds(1);
  await settled(copy);
  console.log(JSON.stringify(copy.reports().at(-1)));
  await copy.stop();
  console.log(copy.running.errors.slice(-14).join("\n"));
});
