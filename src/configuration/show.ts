/** The options that count, as a configuration file would have them, and where each comes from. */

import { type CommandSpec, settable } from "../command-line/command.ts";
import type { Environment } from "../command-line/reading/environment.ts";
import { CONFIGURED, loadRuns, type Run, readConfigurationFile } from "../command-line/reading/load.ts";
import { formatPlace, type Given } from "../command-line/reading/origin.ts";

/** The password of `user@password`, and of each further one. */
function masked(option: string, text: string): string {
  if (option !== "user") return text;
  return text
    .split(",")
    .map((user) => user.replace(/@.*/s, "@***"))
    .join(",");
}

function formatOrigin({ origin }: Given): string {
  if (origin.source === "file") return formatPlace(origin);
  return origin.source === "environment" ? origin.variable : "command line";
}

function formatValue(spec: CommandSpec, option: string, given: readonly Given[]): string {
  const { value, multiple } = settable(spec).find(({ name }) => name === option)!;
  if (value === undefined) return "true";
  const texts = given.map(({ text }) => JSON.stringify(masked(option, text)));
  return multiple && texts.length > 1 ? `[${texts.join(", ")}]` : texts.join();
}

function formatRun(spec: CommandSpec, { name, args }: Run): string {
  const lines = [...args.settings]
    .filter(([option]) => option !== "config" && option !== "only")
    .map(([option, given]): [string, string] => [
      `${option} = ${formatValue(spec, option, given)}`,
      [...new Set(given.map(formatOrigin))].join(", "),
    ]);
  const width = Math.max(0, ...lines.map(([line]) => line.length));
  const title = name === null ? `[${spec.table}]` : `[${spec.table}.${name}]`;
  return [title, ...lines.map(([line, origin]) => `${line.padEnd(width)}  # ${origin}`)].join("\n");
}

/**
 * The runs of a file with the options that the environment gives too, as text; of those with a name only `only`, if that is given. Throws
 * a Failure (exit code 2).
 */
export function showFile(
  path: string,
  only: string | undefined,
  environment: Environment,
  directory: string,
): { text: string; warnings: string[] } {
  const { tables } = readConfigurationFile(path, directory);
  const specs = CONFIGURED.filter(({ table }) => tables.has(table!));
  const has = ({ table }: CommandSpec) => tables.get(table!)!.some(({ name }) => name === only);
  const shown = only === undefined || !specs.some(has) ? specs : specs.filter(has);
  const words = ["--config", path, ...(only === undefined ? [] : ["--only", only])];
  const loaded = shown.map((spec) => ({ spec, ...loadRuns(spec, words, environment, directory) }));
  return {
    text: loaded.flatMap(({ spec, runs }) => runs.map((run) => formatRun(spec, run))).join("\n\n"),
    warnings: [...new Set(loaded.flatMap(({ warnings }) => warnings))],
  };
}
