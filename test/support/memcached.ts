/** memcached as the service on either side. */
import { type Lab, listens } from "./lab.ts";
import { run } from "./process.ts";
import { until } from "./until.ts";

export const MEMCACHED_PORT = 11211;

export async function startMemcached(lab: Lab, namespace: string, options: string[] = []): Promise<void> {
  const process = lab.start(namespace, [
    "memcached",
    "-u",
    "root",
    "-l",
    "0.0.0.0",
    "-p",
    `${MEMCACHED_PORT}`,
    ...options,
  ]);
  await until("memcached listens", () => {
    if (process.ended()) throw new Error(`memcached ended:\n${process.errors.join("\n")}`);
    return listens(process.pid, MEMCACHED_PORT);
  });
}

const COUNTED = ["cmd_get", "cmd_set", "get_hits", "get_misses", "curr_items", "bytes"];

/** What the server counts of commands and content. */
export function memcachedStatistics(namespace: string): Record<string, string> {
  const ask = `exec 3<>/dev/tcp/127.0.0.1/${MEMCACHED_PORT}; printf 'stats\\r\\nquit\\r\\n' >&3; cat <&3`;
  const lines = run(namespace, "bash", "-c", ask).split("\r\n");
  const entries = lines.map((line) => line.split(" ")).map(([, name, value]) => [name, value]);
  return Object.fromEntries(entries.filter(([name]) => COUNTED.includes(name!)));
}
