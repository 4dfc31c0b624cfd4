/** MariaDB online and at the target, with the same users and other passwords, and what both have counted. */
import { join } from "node:path";
import { ONLINE } from "../../src/demo/network.ts";
import type { Lab } from "./lab.ts";
import type { MariaDb } from "./mariadb.ts";
import { run } from "./process.ts";
import { until } from "./until.ts";
import type { Copy } from "./xcopy.ts";

/** SQL that makes the users `shop` (mysql_native_password), `strong` (ed25519) and `open` (no password), for these databases. */
export function usersFor(native: string, ed25519: string, databases: string[]): string[] {
  return [
    `CREATE USER shop@'%' IDENTIFIED BY '${native}'`,
    `CREATE USER strong@'%' IDENTIFIED VIA ed25519 USING PASSWORD('${ed25519}')`,
    "CREATE USER open@'%'",
    ...databases.flatMap((database) =>
      ["shop", "strong", "open"].map((user) => `GRANT ALL ON ${database}.* TO ${user}@'%'`),
    ),
  ];
}

/** Waits until all that was captured is sent and answered, as a report says that begins from now on. */
export async function settled(copy: Copy): Promise<void> {
  const before = copy.reports().length;
  await until("all commands are answered", () => {
    const reports = copy.reports();
    return reports.length > before + 1 && reports.at(-1)!.turns.pending === 0;
  });
}

/** The counters Com_NAME of a server. */
export function countersOf(server: MariaDb, names: readonly string[]): Record<string, number> {
  return Object.fromEntries(names.map((name) => [name, server.status(`Com_${name}`)]));
}

export function since(before: Record<string, number>, after: Record<string, number>): Record<string, number> {
  return Object.fromEntries(Object.keys(before).map((name) => [name, after[name]! - before[name]!]));
}

/** Compiles mysql-commands.c for a lab; the result runs commands of it as a client of the service. */
export function buildCommands(lab: Lab): (port: number, ...words: string[]) => void {
  const program = join(lab.directory, "mysql-commands");
  const flags = run(lab.client, "mariadb_config", "--cflags", "--libs").split(/\s+/).filter(Boolean);
  run(lab.client, "clang", "-o", program, join(import.meta.dir, "mysql-commands.c"), ...flags);
  return (port, ...words) => {
    run(lab.client, program, ONLINE, `${port}`, ...words);
  };
}
