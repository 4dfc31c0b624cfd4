/** A shop on MariaDB, online and at the target, where the users have other passwords: its clients, and what both sides did. */
import { ONLINE, TARGET } from "../../src/demo/network.ts";
import type { Lab } from "./lab.ts";
import { type MariaDb, startMariaDb } from "./mariadb.ts";
import { run } from "./process.ts";
import { until } from "./until.ts";
import { type Copy, startCopy } from "./xcopy.ts";

const TABLES = [
  "CREATE DATABASE shop",
  "CREATE TABLE shop.pool (id INT PRIMARY KEY, text VARCHAR(50), number INT)",
  "CREATE TABLE shop.a (x INT PRIMARY KEY)",
];
/** What the servers of a shop have. */
export interface Shop {
  /** SQL that makes it. */
  tables?: string[];
  databases?: string[];
  /** Options of the servers. */
  args?: string[];
}

/**
 * The server online and the one at the target, where the users have other passwords: `shop` (mysql_native_password), `strong`
 * (ed25519) and `open` (none).
 */
export function startShop(lab: Lab, shop: Shop = {}): Promise<[online: MariaDb, target: MariaDb]> {
  const { tables = TABLES, databases = ["shop"], args = [] } = shop;
  const start = (namespace: string, native: string, ed25519: string) =>
    startMariaDb(lab, namespace, { setUp: [...tables, ...usersFor(native, ed25519, databases)], args });
  return Promise.all([start(lab.online, "online-1", "online-2"), start(lab.target, "target-1", "target-2")]);
}

function usersFor(native: string, ed25519: string, databases: string[]): string[] {
  return [
    `CREATE USER shop@'%' IDENTIFIED BY '${native}'`,
    `CREATE USER strong@'%' IDENTIFIED VIA ed25519 USING PASSWORD('${ed25519}')`,
    "CREATE USER open@'%'",
    ...databases.flatMap((database) =>
      ["shop", "strong", "open"].map((user) => `GRANT ALL ON ${database}.* TO ${user}@'%'`),
    ),
  ];
}

/** What copies it: arguments of `xcopy copy`. */
export const TRANSFER = ["-x", `3306-${TARGET}:3306`, "--protocol", "mysql"];
export const USERS = ["-u", "shop@target-1,strong@target-2"];

/** Starts copies that end with each test; one that a failed test left running would keep the others from its ports. */
export class Copies {
  readonly #running: Copy[] = [];

  async start(...args: Parameters<typeof startCopy>): Promise<Copy> {
    const copy = await startCopy(...args);
    this.#running.push(copy);
    return copy;
  }

  async stop(): Promise<void> {
    for (const { running } of this.#running.splice(0)) await running.stop();
  }
}

/** The command of a client of the service that runs SQL. */
export function clientCommand(user: string, password: string, sql: string, ...more: string[]): string[] {
  const login = [`-u${user}`, `-p${password}`, `-h${ONLINE}`, "--skip-ssl", "--local-infile=1"];
  return ["mariadb", "--no-defaults", ...login, ...more, "shop", "-N", "-B", "-e", sql];
}

/** Arguments of sysbench for a load that leaves the same rows and counters wherever it runs; then "prepare" or "run". */
function sysbenchOptions(statements: "disable" | "auto", threads: number): string[] {
  return [
    "oltp_read_write",
    "--db-driver=mysql",
    `--mysql-host=${ONLINE}`,
    "--mysql-user=shop",
    "--mysql-password=online-1",
    "--mysql-db=shop",
    "--mysql-ssl=off",
    "--tables=2",
    "--table-size=500",
    `--db-ps-mode=${statements}`,
    `--threads=${threads}`,
    // Each thread has rows of its own: the order of transactions does not matter.
    "--rand-type=uniform",
    "--skip-trx=on",
    "--delete_inserts=0",
    "--non_index_updates=0",
  ];
}

/** Waits until these tables hold the same on both sides. */
export async function arrived(online: MariaDb, target: MariaDb, ...tables: string[]): Promise<void> {
  const sums = (server: MariaDb) =>
    server.sql(`CHECKSUM TABLE ${tables.map((name) => `shop.${name}`).join()}`);
  await until(`the target has the rows of ${tables}`, () => sums(target) === sums(online), 20_000);
}

/** Makes the tables of sysbench, runs it, and waits until the copy has sent it all. */
export async function loadShop(
  lab: Lab,
  copy: Copy,
  [online, target]: [online: MariaDb, target: MariaDb],
  statements: "disable" | "auto",
  threads: number,
): Promise<void> {
  const options = sysbenchOptions(statements, threads);
  run(lab.client, "sysbench", ...options, "prepare");
  // Connections are copied independently of each other: those that use the rows must not overtake the one that makes them.
  await arrived(online, target, "sbtest1", "sbtest2");
  await settled(copy);
  run(lab.client, "sysbench", ...options, "--events=200", "--time=0", "run");
  await settled(copy);
}

/** Waits until all that was captured is sent and answered, as a report says that begins from now on. */
export async function settled(copy: Copy): Promise<void> {
  const before = copy.reports().length;
  const what = () =>
    `all commands are answered: ${[copy.running.output.at(-1), ...copy.running.errors].join("\n")}`;
  await until(what, () => {
    const reports = copy.reports();
    return reports.length > before + 1 && reports.at(-1)!.turns.pending === 0;
  });
}

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

/** What a server has counted of statements: Com_NAME. */
export function countersOf(server: MariaDb, names: readonly string[] = COUNTERS): Record<string, number> {
  return Object.fromEntries(names.map((name) => [name, server.status(`Com_${name}`)]));
}

/** The differences. */
export function since(before: Record<string, number>, after: Record<string, number>): Record<string, number> {
  return Object.fromEntries(Object.keys(before).map((name) => [name, after[name]! - before[name]!]));
}
