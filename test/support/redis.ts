/** redis as the service on either side. */
import { type Lab, listens } from "./lab.ts";
import { run } from "./process.ts";
import { until } from "./until.ts";

export async function startRedis(lab: Lab, namespace: string, port: number): Promise<void> {
  const settings = [
    "--port",
    `${port}`,
    "--bind",
    "*",
    "--protected-mode",
    "no",
    "--enable-debug-command",
    "yes",
    "--save",
    "",
    "--dir",
    lab.directory,
  ];
  const process = lab.start(namespace, ["redis-server", ...settings]);
  await until("redis listens", () => {
    if (process.ended()) throw new Error(`redis ended:\n${process.output.join("\n")}`);
    return listens(process.pid, port);
  });
}

/** Calls of each of these commands since the start of the server. */
export function commandCalls(namespace: string, port: number, commands: string[]): Record<string, number> {
  const text = run(namespace, "redis-cli", "-p", `${port}`, "INFO", "commandstats");
  return Object.fromEntries(
    commands.map((command) => [
      command,
      Number(new RegExp(`cmdstat_${command}:calls=(\\d+)`).exec(text)?.[1] ?? 0),
    ]),
  );
}

/** A hash of everything the server stores. */
export function contentDigest(namespace: string, port: number): string {
  return run(namespace, "redis-cli", "-p", `${port}`, "DEBUG", "DIGEST").trim();
}
