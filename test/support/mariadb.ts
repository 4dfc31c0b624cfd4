/** MariaDB as the service on either side: a server of its own with a data directory of its own. */
import { cpSync, existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Lab, listens } from "./lab.ts";
import type { Running } from "./process.ts";
import { run } from "./process.ts";
import { until } from "./until.ts";

export interface MariaDb {
  running: Running;
  port: number;
  /** Runs SQL as root by the socket, and returns what it prints: columns by tabs, no headings. */
  sql(text: string): string;
  /** Value of a global status variable. */
  status(name: string): number;
  stop(signal?: NodeJS.Signals): Promise<number>;
  /** Starts it again, with the data it has and more arguments. */
  restart(more?: string[]): Promise<void>;
}

export interface MariaDbOptions {
  port?: number;
  /** SQL at the first start, a statement a line: users and their passwords. */
  setUp?: string[];
  /** More arguments. */
  args?: string[];
}

let started = 0;

/** A directory with the system tables, made once for a lab. */
function template(lab: Lab): string {
  const directory = join(lab.directory, "mariadb");
  if (!existsSync(directory)) {
    const options = [`--datadir=${directory}`, "--auth-root-authentication-method=normal", "--skip-test-db"];
    run(lab.online, "mariadb-install-db", "--no-defaults", "--user=root", ...options);
  }
  return directory;
}

/** Starts a server in a namespace and resolves when it takes connections. */
export async function startMariaDb(
  lab: Lab,
  namespace: string,
  { port = 3306, setUp = [], args = [] }: MariaDbOptions = {},
): Promise<MariaDb> {
  const directory = join(lab.directory, `mariadb-${started++}`);
  cpSync(template(lab), join(directory, "data"), { recursive: true });
  mkdirSync(join(directory, "tmp"));
  const socket = join(directory, "socket");
  writeFileSync(join(directory, "set-up.sql"), setUp.map((line) => `${line};\n`).join(""));
  const options = [
    "--no-defaults",
    "--user=root",
    `--datadir=${directory}/data`,
    `--tmpdir=${directory}/tmp`,
    `--socket=${socket}`,
    `--port=${port}`,
    "--bind-address=*",
    "--skip-name-resolve",
    "--innodb-buffer-pool-size=16M",
    "--innodb-log-file-size=8M",
    "--innodb-flush-log-at-trx-commit=0",
    // What it would clear and write at each start.
    "--innodb-temp-data-file-path=ibtmp1:2M:autoextend",
    "--innodb-log-buffer-size=2M",
    "--aria-pagecache-buffer-size=1M",
    "--key-buffer-size=1M",
    "--query-cache-size=0",
    "--max-connections=1000",
    "--local-infile=1",
    "--max-allowed-packet=64M",
    "--plugin-load-add=auth_ed25519",
    ...args,
  ];
  const begin = async (more: string[]): Promise<Running> => {
    const running = lab.start(namespace, ["mariadbd", ...options, ...more]);
    await until(
      () => `mariadbd listens on ${port}\n${running.errors.slice(-10).join("\n")}`,
      () => {
        if (running.ended()) throw new Error(`mariadbd ended:\n${running.errors.slice(-20).join("\n")}`);
        return existsSync(socket) && listens(running.pid, port);
      },
      30_000,
    );
    return running;
  };
  const server: MariaDb = {
    running: await begin(setUp.length > 0 ? [`--init-file=${directory}/set-up.sql`] : []),
    port,
    sql: (text) =>
      run(
        namespace,
        "mariadb",
        "--no-defaults",
        "-uroot",
        `--socket=${socket}`,
        "-N",
        "-B",
        "-e",
        text,
      ).trim(),
    status: (name) => Number(server.sql(`SHOW GLOBAL STATUS LIKE '${name}'`).split("\t")[1]),
    stop: (signal) => server.running.stop(signal),
    async restart(more = []) {
      server.running = await begin(more);
    },
  };
  return server;
}
