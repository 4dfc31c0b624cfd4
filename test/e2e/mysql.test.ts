/** MariaDB to MariaDB, with passwords of their own: the same commands and the same rows arrive. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { ONLINE, TARGET } from "../../src/demo/network.ts";
import { createLab, type Lab } from "../support/lab.ts";
import { type MariaDb, startMariaDb } from "../support/mariadb.ts";
import { run } from "../support/process.ts";
import { faultsOf, startCopy } from "../support/xcopy.ts";

setDefaultTimeout(60_000);

let lab: Lab;
let online: MariaDb;
let target: MariaDb;

const users = (native: string, ed25519: string): string[] => [
  "CREATE DATABASE shop",
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
afterAll(() => lab.remove());

const TRANSFER = ["-x", `3306-${TARGET}:3306`, "--protocol", "mysql"];
const USERS = ["-u", "shop@target-1,strong@target-2"];

/** Runs SQL as a client of the service. */
function client(user: string, password: string, sql: string, ...more: string[]): string {
  const login = [`-u${user}`, `-p${password}`, `-h${ONLINE}`, "--skip-ssl"];
  return run(lab.client, "mariadb", "--no-defaults", ...login, ...more, "shop", "-N", "-B", "-e", sql).trim();
}

test("logs in with the target's passwords, whatever the plugin", async () => {
  const copy = await startCopy(lab, [...TRANSFER, ...USERS]);
  client("shop", "online-1", "CREATE TABLE a (x INT PRIMARY KEY); INSERT INTO a VALUES (1), (2)");
  client("strong", "online-2", "INSERT INTO a VALUES (3)");
  client("open", "", "INSERT INTO a VALUES (4)");
  await copy.report("three logins", ({ mysql, turns }) => mysql?.logins === 3 && turns.pending === 0);
  const { code, report } = await copy.stop();
  console.log(copy.running.errors.join("\n"));
  expect(target.sql("SELECT GROUP_CONCAT(x ORDER BY x) FROM shop.a")).toBe("1,2,3,4");
  expect(target.sql("CHECKSUM TABLE shop.a")).toBe(online.sql("CHECKSUM TABLE shop.a"));
  expect(faultsOf(copy.reports())).toEqual([]);
  expect(report.turns).toMatchObject({ dropped: 0, pending: 0 });
  expect(report.mysql).toMatchObject({ sessions: 3, logins: 3, refused: 0 });
  expect(code).toBe(0);
});
