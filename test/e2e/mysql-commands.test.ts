/** MariaDB to MariaDB: how a service is known to be MySQL, and every command that has state. */
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { TARGET } from "../../src/demo/network.ts";
import { command } from "../protocol/server.ts";
import { startIntercept } from "../support/intercept.ts";
import { createLab, type Lab } from "../support/lab.ts";
import type { MariaDb } from "../support/mariadb.ts";
import { buildCommands } from "../support/mysql-commands.ts";
import { run } from "../support/process.ts";
import { Copies, countersOf, settled, since, startShop, USERS } from "../support/shop.ts";
import { until } from "../support/until.ts";
import { faultsOf } from "../support/xcopy.ts";

let lab: Lab;
let online: MariaDb;
let target: MariaDb;
let say: (port: number, ...words: string[]) => void;
let file: string;
/** Its own beside 3306, of both servers. */
const EXTRA_PORT = 3307;

beforeAll(async () => {
  lab = createLab({ manyClients: false });
  say = buildCommands(lab);
  file = join(lab.directory, "rows");
  writeFileSync(file, Array.from({ length: 20_000 }, (_, row) => `${row + 10_000}\n`).join(""));
  const tables = [
    "CREATE DATABASE shop",
    "CREATE DATABASE other",
    "CREATE TABLE shop.texts (id INT PRIMARY KEY, text LONGTEXT)",
    "CREATE TABLE shop.numbers (x INT PRIMARY KEY)",
    "CREATE TABLE other.there (x INT PRIMARY KEY)",
  ];
  [online, target] = await startShop(lab, {
    tables,
    databases: ["shop", "other"],
    args: [`--extra-port=${EXTRA_PORT}`, "--extra-max-connections=10"],
  });
});
const copies = new Copies();
const startCopy = (...args: string[]) => copies.start(lab, args);
afterEach(() => copies.stop());
afterAll(async () => {
  await lab.stopAll();
  lab.remove();
});

const checksum = (server: MariaDb) => server.sql("CHECKSUM TABLE shop.texts, shop.numbers, other.there");

function empty(): void {
  for (const server of [online, target]) {
    server.sql("TRUNCATE shop.texts; TRUNCATE shop.numbers; TRUNCATE other.there");
    server.sql("USE shop; INSERT INTO numbers SELECT seq FROM seq_1_to_100");
  }
}

test("a target that greets as MySQL does is read as MySQL, whatever its port", async () => {
  empty();
  const copy = await startCopy("-x", `${EXTRA_PORT}-${TARGET}`, ...USERS);
  say(EXTRA_PORT, "plain", file, "multi");
  await settled(copy);
  const { report } = await copy.stop();
  expect(report.mysql).toMatchObject({ logins: 1, refused: 0 });
  expect(checksum(target)).toBe(checksum(online));
  expect(copy.running.errors).toContain(
    `${TARGET}:${EXTRA_PORT} greets as MySQL does: connections to port ${EXTRA_PORT} are read as mysql`,
  );
});

test("a target at port 3306 that does not greet so gets the client's bytes unchanged", async () => {
  const sink = join(lab.directory, "sink");
  const mail = `SYSTEM:"echo 220 ready; cat >>${sink}"`;
  const other = lab.start(lab.target, ["socat", "TCP-LISTEN:8080,fork", mail]);
  await until("the other service listens", () => run(lab.target, "ss", "-Hltn", "sport = :8080") !== "");
  const copy = await startCopy("-x", `3306-${TARGET}:8080`, "--turn-timeout", "0.1");
  say(3306, "plain", file, "ping");
  await settled(copy);
  const { report } = await copy.stop();
  await other.stop();
  expect(report.turns).toMatchObject({ sent: 3, dropped: 0 });
  expect(report.mysql).toBeUndefined();
  // The login with production's answer to production's challenge, the ping, and the end.
  const [login, rest] = readFileSync(sink, "latin1").split("mysql_native_password\0");
  expect(login).toContain("shop\0");
  expect(rest).toEndWith(Buffer.concat([command(0x0e), command(1)]).toString("latin1"));
  expect(copy.running.errors.filter((line) => line.includes("greet"))).toEqual([
    expect.stringContaining(
      `${TARGET}:8080 does not greet as MySQL does: connections to port 3306 are copied`,
    ),
  ]);
});

const COUNTERS = [
  "stmt_prepare",
  "stmt_execute",
  "stmt_fetch",
  "stmt_send_long_data",
  "stmt_reset",
  "stmt_close",
  "insert",
  "select",
  "load",
  "change_db",
  "set_option",
  "admin_commands",
];
const COMMANDS = [
  "cursor",
  "long-data",
  "bulk",
  "change-user",
  "cursor",
  "reset-connection",
  "init-db",
  "infile",
  "multi",
  "ping",
  "large",
];

for (const [way, isIntercepted] of [
  ["plain", false],
  ["compress", false],
  ["compress", true],
] as const) {
  const how = isIntercepted ? `${way}, by an intercept` : way;
  test(`every command that has state, ${how}: both sides count and hold the same`, async () => {
    empty();
    if (isIntercepted) await startIntercept(lab, lab.target, ["-o", ":3306"]);
    const by = isIntercepted ? ["-s", TARGET] : [];
    const copy = await startCopy("-x", `3306-${TARGET}`, ...by, ...USERS);
    const before = [online, target].map((server) => countersOf(server, COUNTERS));
    say(3306, way, file, ...COMMANDS);
    await copy.report("the end", ({ mysql, turns }) => mysql?.sent.quit === 1 && turns.pending === 0, 30_000);
    const { report } = await copy.stop();
    const [there, here] = [online, target].map((server, side) =>
      since(before[side]!, countersOf(server, COUNTERS)),
    );
    expect(report.capture.lost).toBe(0);
    expect(here).toEqual(there!);
    expect(there).toMatchObject({ stmt_send_long_data: 7, stmt_reset: 1, load: 1 });
    expect(there!["stmt_fetch"]).toBeGreaterThan(20);
    expect(checksum(target)).toBe(checksum(online));
    expect(target.sql("SELECT text FROM shop.texts WHERE id IN (10, 11, 20, 21) ORDER BY id")).toBe(
      ["strong@%", "shop@%", "gone", "after"].join("\n"),
    );
    expect(faultsOf(copy.reports())).toEqual([]);
    expect(report.turns).toMatchObject({ dropped: 0, pending: 0 });
    expect(report.mysql).toMatchObject({
      not_understood: 0,
      errors: { target: 0, only_target: 0, only_production: 0 },
    });
    // The large ones have 34 MiB.
    if (way === "compress") expect(report.sent.bytes).toBeLessThan(5 << 20);
    const answered = Object.values(report.mysql!.answered).reduce((sum, count) => sum + count, 0);
    expect(report.mysql!.errors.compared).toBe(answered);
    expect(report.mysql!.answered).toEqual({
      ...report.mysql!.sent,
      close: 0,
      long_data: 0,
      local_data: 0,
      quit: 0,
    });
  });
}
