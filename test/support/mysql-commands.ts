/** A client in C of the commands that no other client has. */
import { join } from "node:path";
import { ONLINE } from "../../src/demo/network.ts";
import type { Lab } from "./lab.ts";
import { run } from "./process.ts";

/** Compiles mysql-commands.c for a lab; the result runs commands of it as a client of the service. */
export function buildCommands(lab: Lab): (port: number, ...words: string[]) => void {
  const program = join(lab.directory, "mysql-commands");
  const flags = run(lab.client, "mariadb_config", "--cflags", "--libs").split(/\s+/).filter(Boolean);
  run(lab.client, "clang", "-o", program, join(import.meta.dir, "mysql-commands.c"), ...flags);
  return (port, ...words) => {
    run(lab.client, program, ONLINE, `${port}`, ...words);
  };
}
