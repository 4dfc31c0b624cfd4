/** MariaDB to MariaDB, with different passwords: the same commands and the same rows arrive. */
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { openSync, readFileSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { ONLINE, TARGET } from "../../src/demo/network.ts";
import { readReport } from "../../src/report/read.ts";
import { startIntercept } from "../support/intercept.ts";
import { createLab, type Lab } from "../support/lab.ts";
import type { MariaDb } from "../support/mariadb.ts";
import { startPool } from "../support/pool.ts";
import { run } from "../support/process.ts";
import { startRecord } from "../support/record.ts";
import { startScript } from "../support/scripts.ts";
import {
  Copies,
  clientCommand,
  countersOf,
  loadShop,
  settled,
  since,
  startShop,
  TRANSFER,
  USERS,
} from "../support/shop.ts";
import { until } from "../support/until.ts";
import { faultsOf, launchCopy } from "../support/xcopy.ts";

let lab: Lab;
let online: MariaDb;
let target: MariaDb;

beforeAll(async () => {
  lab = createLab({ manyClients: false });
  [online, target] = await startShop(lab);
});
const copies = new Copies();
const startCopy = (...args: Parameters<Copies["start"]>) => copies.start(...args);
afterEach(() => copies.stop());
afterAll(async () => {
  await lab.stopAll();
  lab.remove();
});

/** Runs SQL as a client of the service. */
function client(user: string, password: string, sql: string, ...more: string[]): string {
  return run(lab.client, ...clientCommand(user, password, sql, ...more)).trim();
}

test("logs in with the target's passwords, by every plugin, and hides them", async () => {
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

for (const [mode, threads, workers] of [
  ["auto", 1, 1],
  ["disable", 8, 1],
  ["auto", 32, 2],
] as const) {
  test(`sysbench, prepared statements ${mode}, ${threads} connections, workers ${workers}: both sides count and hold the same`, async () => {
    const copy = await startCopy(lab, [...TRANSFER, ...USERS, "--workers", `${workers}`]);
    const before = [countersOf(online), countersOf(target)];
    await loadShop(lab, copy, [online, target], mode, threads);
    const { report } = await copy.stop();
    const [there, here] = [since(before[0]!, countersOf(online)), since(before[1]!, countersOf(target))];
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

test("responses that differ are in the report: an error, other numbers of rows, and no literal", async () => {
  const tables = [
    [online, "(1, ''), (2, ''), (3, '')"],
    [target, "(1, ''), (9, '')"],
  ] as const;
  for (const [server, rows] of tables) {
    server.sql("CREATE TABLE shop.compared (id INT PRIMARY KEY, note VARCHAR(20))");
    server.sql(`INSERT INTO shop.compared VALUES ${rows}`);
  }
  const file = join(lab.directory, "mysql.json");
  const copy = await startCopy(lab, [...TRANSFER, ...USERS, "--compare", "--report", file]);
  const statements = [
    "INSERT INTO compared VALUES (9, 'hunter2')",
    "UPDATE compared SET note = 'hunter3' WHERE id < 5",
    "SELECT * FROM compared WHERE note = 'hunter3'",
    "SELECT id FROM compared WHERE id = 1",
    'PREPARE p FROM "SELECT 5, id FROM compared"',
  ];
  client("shop", "online-1", statements.join(";"));
  const count = statements.length;
  await copy.report(
    "all",
    ({ mysql, turns }) => (mysql?.answered.query ?? 0) >= count && turns.pending === 0,
  );
  const { report } = await copy.stop();
  const text = readFileSync(file, "utf8");
  const found = readReport(text, file).endpoints.filter(({ name }) => /compared|PREPARE/.test(name));
  const said = found.map(({ method, name, statuses, differences }) => {
    const kinds = differences.map(({ kind }) => kind).filter((kind) => kind === "status" || kind === "count");
    return `${method} ${name}: ${statuses[0]!.production} ${statuses[0]!.target} ${kinds[0] ?? ""}`;
  });
  expect(said.toSorted()).toEqual([
    "query INSERT INTO compared VALUES (...): 0 1062 status",
    "query PREPARE p FROM ?: 0 0 ",
    "query SELECT * FROM compared WHERE note = ?: 0 0 count",
    "query SELECT id FROM compared WHERE id = ?: 0 0 ",
    "query UPDATE compared SET note = ? WHERE id < ?: 0 0 count",
  ]);
  expect(text).not.toMatch(/hunter/);
  expect(Object.keys(report.comparison!.outcomes)).toEqual(["compared"]);
  expect(report.mysql!.errors).toMatchObject({ only_target: 1, production: 0 });
  for (const server of [online, target]) server.sql("DROP TABLE shop.compared");
});

test("who production does not let in does not get in at the target, whatever the client sends, live and recorded", async () => {
  for (const server of [online, target]) server.sql("TRUNCATE shop.a");
  const file = join(lab.directory, "logins.pcapng");
  const record = await startRecord(lab, ["-x", "3306", "--both", "-w", file]);
  const copy = await startCopy(lab, [...TRANSFER, ...USERS]);
  // A wrong password and none, a user that there is not, and one whose password the target does not want.
  const refused: [user: string, bytes: string][] = [
    ["shop", "20"],
    ["shop", "0"],
    ["nobody", "20"],
    ["open", "20"],
  ];
  for (const [index, [user, bytes]] of refused.entries()) {
    const words = [ONLINE, "3306", user, bytes, `INSERT INTO a VALUES (${index + 1})`];
    const eager = startScript(lab, lab.client, "eager-login.ts", ...words);
    await eager.line(/Access denied/);
    expect(await eager.exited).toBe(0);
  }
  const forged = [ONLINE, "3306", "shop", "20", "INSERT INTO a VALUES (10)", "forged", "10.1.0.77"];
  expect(await startScript(lab, lab.client, "eager-login.ts", ...forged).exited).toBe(0);
  client("shop", "online-1", "INSERT INTO a VALUES (20)");
  client("open", "", "INSERT INTO a VALUES (21)");
  await copy.report(
    "all",
    ({ mysql, turns }) =>
      mysql?.production_logins.refused_copied === 4 && turns.captured === 4 + 5 && turns.pending === 0,
  );
  const { code, report } = await copy.stop();
  expect(target.sql("SELECT GROUP_CONCAT(x ORDER BY x) FROM shop.a")).toBe("20,21");
  expect(online.sql("SELECT GROUP_CONCAT(x ORDER BY x) FROM shop.a")).toBe("20,21");
  expect(report.mysql).toMatchObject({
    logins: 2,
    refused: 0,
    no_password: 0,
    production_logins: { admitted: 2, refused: 4, refused_copied: 4 },
  });
  // Of the forged one production says nothing, or a RST.
  expect(report.dropped.login + report.dropped.undecided).toBe(5);
  expect(report.turns.sent).toBe(4);
  expect(faultsOf(copy.reports())).toEqual([]);
  expect(code).toBe(0);
  await record.stop();
  target.sql("TRUNCATE shop.a");
  const replay = launchCopy(lab, ["-i", file, "-a", "max", ...TRANSFER, ...USERS]);
  expect(await replay.running.exited).toBe(0);
  expect(target.sql("SELECT GROUP_CONCAT(x ORDER BY x) FROM shop.a")).toBe("20,21");
  expect(replay.reports().at(-1)!.mysql!.production_logins).toEqual(report.mysql!.production_logins);
});

test("connections older than xcopy are picked up; what they had prepared is counted", async () => {
  const pool = await startPool(lab, "shop", "online-1", 4);
  await pool.rounds(1);
  const copy = await startCopy(lab, [...TRANSFER, ...USERS, "--mysql-database", "shop"]);
  await pool.rounds(2);
  await copy.report("what it knows", ({ turns }) => turns.captured === 24 && turns.pending === 0);
  const { report } = await copy.stop();
  expect(faultsOf(copy.reports())).toEqual([]);
  expect(report.sessions).toMatchObject({ midstream: 4, reconnected: 0 });
  // Of each session: its first command, of which nobody knows where it began; then three executions and two queries.
  expect(report.dropped).toMatchObject({ midstream: 4, protocol: 12 });
  expect(report.mysql).toMatchObject({ logins: 4, left_out: { unknown_statement: 12 }, sent: { query: 8 } });
});

test("after a restart of the target logins, variables and prepared statements are restored", async () => {
  for (const server of [online, target]) server.sql("DROP TABLE IF EXISTS shop.sbtest1; TRUNCATE shop.pool");
  const copy = await startCopy(lab, [...TRANSFER, ...USERS]);
  const pool = await startPool(lab, "shop", "online-1", 4);
  await pool.rounds(3);
  await copy.report("three rounds", ({ mysql, turns }) => mysql?.sent.query === 16 && turns.pending === 0);
  await target.stop();
  await target.restart();
  await pool.rounds(2);
  await copy.report("all rounds", ({ mysql, turns }) => mysql?.sent.query === 24 && turns.pending === 0);
  const { report } = await copy.stop();
  expect(faultsOf(copy.reports())).toEqual([]);
  expect(target.sql("CHECKSUM TABLE shop.pool")).toBe(online.sql("CHECKSUM TABLE shop.pool"));
  expect(report.mysql).toMatchObject({
    logins: 8,
    reconnected: 4,
    restored: { statements: 8, variables: 4, failed: 0 },
    left_out: { unknown_statement: 0, failed_statement: 0 },
    errors: { only_target: 0, only_production: 0 },
  });
});

test("an execution whose parameter types were sent before the restart gets them again", async () => {
  const options = [
    "oltp_point_select",
    "--db-driver=mysql",
    `--mysql-host=${ONLINE}`,
    "--mysql-ssl=off",
    "--tables=1",
  ];
  const login = ["--mysql-user=shop", "--mysql-password=online-1", "--mysql-db=shop", "--table-size=100"];
  const copy = await startCopy(lab, [...TRANSFER, ...USERS]);
  run(lab.client, "sysbench", ...options, ...login, "prepare");
  await settled(copy);
  const load = lab.start(lab.client, [
    "sysbench",
    ...options,
    ...login,
    "--threads=4",
    "--rate=200",
    // Until it is told to end: nobody knows how long a server takes to start again.
    "--time=0",
    "run",
  ]);
  await copy.report("executions", ({ mysql }) => (mysql?.answered.execute ?? 0) > 50);
  await target.stop("SIGKILL");
  await target.restart();
  await copy.report("all sessions there again", ({ mysql }) => (mysql?.restored.statements ?? 0) >= 4);
  // The new target counts from zero: what it counts are executions of statements that it was told again.
  await until("executions at the new target", () => target.status("Com_stmt_execute") > 50);
  await load.stop();
  await settled(copy);
  const { report } = await copy.stop();
  expect(faultsOf(copy.reports())).toEqual([]);
  expect(report.mysql!.restored).toMatchObject({ statements: 4, failed: 0 });
  expect(report.mysql!.left_out).toMatchObject({ failed_statement: 0, no_parameter_types: 0 });
  expect(report.mysql!.errors.only_target).toBe(0);
});

test("files, large packets, compression, several statements at once, and other users", async () => {
  const file = join(lab.directory, "rows");
  writeFileSync(file, Array.from({ length: 20_000 }, (_, row) => `${row + 1000}\n`).join(""));
  // 17 MB come at once: more than a ring of the default holds while other programs have the CPUs.
  const copy = await startCopy(lab, [...TRANSFER, ...USERS]);
  client("shop", "online-1", `LOAD DATA LOCAL INFILE '${file}' INTO TABLE a`);
  client("shop", "online-1", "CREATE TABLE big (x LONGTEXT)");
  await settled(copy);
  const sql = join(lab.directory, "big.sql");
  writeFileSync(sql, `INSERT INTO big VALUES ('${"x".repeat(17 << 20)}');\n`);
  client("shop", "online-1", `source ${sql}`, "--max-allowed-packet=64M");
  client("shop", "online-1", "INSERT INTO a VALUES (500); SELECT COUNT(*) FROM a", "--compress");
  client("shop", "online-1", `INSERT INTO big VALUES ('${"compress me ".repeat(1000)}')`, "--compress");
  client(
    "shop",
    "online-1",
    "INSERT INTO a VALUES (501)$$ CREATE PROCEDURE two() BEGIN SELECT 1; SELECT x FROM a; END$$ CALL two()$$ INSERT INTO a VALUES (502)",
    "--delimiter=$$",
  );
  await copy.report(
    "all",
    // What is answered late is not waited for when a session ends: see --turn-timeout.
    ({ turns, mysql }) =>
      mysql?.sent.quit === 6 && turns.pending === 0 && mysql.answered["query"] === mysql.sent.query,
    40_000,
  );
  const { report } = await copy.stop();
  expect(faultsOf(copy.reports())).toEqual([]);
  expect(report.capture.lost).toBe(0);
  expect(report.turns).toMatchObject({ dropped: 0, pending: 0 });
  expect(target.sql("CHECKSUM TABLE shop.a, shop.big")).toBe(online.sql("CHECKSUM TABLE shop.a, shop.big"));
  expect(report.mysql).toMatchObject({ not_understood: 0, errors: { target: 0 } });
  for (const server of [online, target]) server.sql("DROP TABLE shop.big; DROP PROCEDURE shop.two");
});

test("by an intercept on the target, from the clients' addresses, answers of any length", async () => {
  const intercept = await startIntercept(lab, lab.target, ["-o", ":3306"]);
  const copy = await startCopy(lab, ["-s", TARGET, ...TRANSFER, ...USERS]);
  client("shop", "online-1", "CREATE TABLE s (x INT PRIMARY KEY, y TEXT)");
  await settled(copy);
  const rows = "SELECT seq, REPEAT('y', 900) FROM seq_1_to_500";
  client("shop", "online-1", `INSERT INTO s ${rows}; SELECT * FROM s; INSERT INTO s VALUES (501, 'end')`);
  client("strong", "online-2", "SELECT * FROM s; INSERT INTO s VALUES (502, 'end')");
  await copy.report("all", ({ turns, mysql }) => (mysql?.sent.quit ?? 0) === 3 && turns.pending === 0);
  const { report } = await copy.stop();
  expect(faultsOf(copy.reports())).toEqual([]);
  expect(report.mode).toBe("target");
  expect(report.mysql).toMatchObject({ logins: 3, not_understood: 0, errors: { target: 0 } });
  expect(target.sql("SELECT COUNT(*) FROM shop.s WHERE x > 500")).toBe("2");
  expect(target.sql("CHECKSUM TABLE shop.s")).toBe(online.sql("CHECKSUM TABLE shop.s"));
  await intercept.stop();
  for (const server of [online, target]) server.sql("DROP TABLE shop.s");
});

test("where no eBPF program may be loaded, packet sockets see whom production lets in, and what it answers", async () => {
  for (const server of [online, target]) server.sql("TRUNCATE shop.pool");
  const prefix = ["setpriv", "--bounding-set=-bpf,-sys_admin,-perfmon"];
  const copy = await startCopy(lab, [...TRANSFER, ...USERS], { prefix });
  const pool = await startPool(lab, "shop", "online-1", 2);
  await pool.rounds(3);
  client("shop", "online-1", "SELECT seq, REPEAT('y', 900) FROM seq_1_to_500; INSERT INTO a VALUES (600)");
  await copy.report("all", ({ mysql }) => (mysql?.answered["query"] ?? 0) === 10);
  const { report } = await copy.stop();
  expect(faultsOf(copy.reports())).toEqual([]);
  expect(report.mysql).toMatchObject({
    left_out: { unknown_statement: 0 },
    errors: { target: 0, only_target: 0, only_production: 0, compared: 26 },
    production_logins: { admitted: 3, refused: 0, unknown: 0 },
  });
  expect(target.sql("CHECKSUM TABLE shop.pool, shop.a")).toBe(online.sql("CHECKSUM TABLE shop.pool, shop.a"));
});

test("statements that must not be sent are not sent", async () => {
  const copy = await startCopy(lab, [...TRANSFER, ...USERS, "--read-only"]);
  client(
    "shop",
    "online-1",
    "SELECT 1; INSERT INTO a VALUES (700); SELECT 2 FROM a LIMIT 1 FOR UPDATE; SELECT 3",
  );
  client(
    "shop",
    "online-1",
    "/*!50000 DELETE */ FROM a WHERE x = 3; SET PASSWORD = PASSWORD('online-1'); DROP TABLE IF EXISTS none",
  );
  const before = target.sql("CHECKSUM TABLE shop.a");
  await copy.report("all", ({ mysql }) => (mysql?.sent.quit ?? 0) === 2);
  const { report } = await copy.stop();
  expect(target.sql("CHECKSUM TABLE shop.a")).toBe(before);
  expect(report.mysql!.left_out).toMatchObject({ write: 4, account: 1 });
  expect(report.mysql!.sent.query).toBe(2);
  expect(faultsOf(copy.reports())).toEqual([]);
});

test("logins that cannot be copied are reported once and counted", async () => {
  const copy = await startCopy(lab, [...TRANSFER, "-u", "shop@wrong"]);
  for (let i = 0; i < 2; i++) {
    client("shop", "online-1", "SELECT 1");
    client("strong", "online-2", "SELECT 1");
  }
  await copy.report("all", ({ mysql }) => mysql?.refused === 2 && mysql.no_password === 2);
  const { report } = await copy.stop();
  expect(faultsOf(copy.reports())).toEqual([]);
  expect(report.mysql).toMatchObject({ logins: 0 });
  const said = copy.running.errors.filter((line) => /refuses|no password/.test(line));
  expect(said).toEqual([
    expect.stringContaining('the target refuses the login of the MySQL user "shop": 1045 Access denied'),
    expect.stringContaining('no password is known for the MySQL user "strong"'),
  ]);
});

test("another user, a file of users, and a target without passwords", async () => {
  const file = join(lab.directory, "users");
  writeFileSync(file, "# of production\nstrong>shop@target-1\n", { mode: 0o600 });
  const copy = await startCopy(lab, [...TRANSFER, "--mysql-users", file]);
  client("strong", "online-2", "INSERT INTO a VALUES (800)");
  await copy.report("the row", ({ mysql, turns }) => mysql?.logins === 1 && turns.answered >= 1);
  await copy.stop();
  expect(target.sql("SELECT COUNT(*) FROM shop.a WHERE x = 800")).toBe("1");
  await target.stop();
  await target.restart(["--skip-grant-tables"]);
  const second = await startCopy(lab, [...TRANSFER, "--mysql-skip-grant"]);
  client("shop", "online-1", "INSERT INTO a VALUES (801)");
  await second.report("the row", ({ mysql, turns }) => mysql?.logins === 1 && turns.answered >= 1);
  await second.stop();
  expect(target.sql("SELECT COUNT(*) FROM shop.a WHERE x = 801")).toBe("1");
});

test("sessions older than xcopy, of unknown users, at a target without passwords", async () => {
  await target.stop();
  await target.restart(["--skip-grant-tables"]);
  const clients = ["", "--compress"].map((option, index) => {
    const pipe = join(lab.directory, `script-${index}`);
    run(lab.client, "mkfifo", pipe);
    // Both ends: neither waits for the other.
    const script = openSync(pipe, "r+");
    const words = `mariadb --no-defaults -ustrong -ponline-2 -h${ONLINE} --skip-ssl -n -N -B ${option} shop`;
    const running = lab.start(lab.client, ["sh", "-c", `exec ${words} <${pipe}`]);
    const say = async (sql: string, mark: string) => {
      writeSync(script, `${sql}; SELECT '${mark}';\n`);
      await running.line(new RegExp(`^${mark}$`));
    };
    return { index, running, say };
  });
  for (const { index, say } of clients) await say(`INSERT INTO a VALUES (${900 + index})`, "before");
  const copy = await startCopy(lab, [...TRANSFER, "--mysql-skip-grant", "--mysql-database", "shop"]);
  for (const { index, say } of clients) {
    await say("SELECT 1", "first");
    await say(`INSERT INTO a VALUES (${910 + index})`, "second");
    await say(`INSERT INTO a SELECT ${920 + index} WHERE '${"x".repeat(300)}' <> ''`, "third");
  }
  await settled(copy);
  const { report } = await copy.stop();
  for (const { running } of clients) await running.stop();
  expect(faultsOf(copy.reports())).toEqual([]);
  expect(report.sessions.midstream).toBe(2);
  expect(report.mysql).toMatchObject({
    logins: 2,
    refused: 0,
    no_password: 0,
    not_understood: 0,
    errors: { target: 0 },
  });
  expect(target.sql("SELECT GROUP_CONCAT(x ORDER BY x) FROM shop.a WHERE x >= 900 AND x < 1000")).toBe(
    "910,911,920,921",
  );
});
