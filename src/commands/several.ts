/** Runs all runs that a configuration file has for a command, a process each. */

import type { CommandSpec } from "../command-line/command.ts";
import type { Arguments } from "../command-line/reading/arguments.ts";
import type { Several } from "../command-line/reading/configured.ts";
import { readingWith } from "../command-line/reading/load.ts";
import { isUpstreamName } from "../command-line/reading/tcpcopy.ts";
import { clashesOf } from "../configuration/clashes.ts";
import { setStyle } from "../host/log/style.ts";
import { Failure } from "../native/failure.ts";

/** Seconds of --drain, without it. */
const DRAIN = 2;

/** The words that some runs get besides those of all, by their names. */
type MoreWords<T> = (runs: { name: string; options: T }[]) => ReadonlyMap<string, readonly string[]>;

/**
 * Runs all of them, as the words of the command line ask; `read` reads their options, which are tried before anything starts. Sets the
 * exit code. Throws a Failure (exit code 2) for the first mistake in any of them.
 */
export async function runSeveral<T>(
  spec: CommandSpec,
  { runs, words, names }: Several,
  read: (args: Arguments) => T,
  more: MoreWords<T> = () => new Map(),
): Promise<void> {
  const all = runs.map(({ name, args }) => ({ name: name!, options: readingWith(spec, args, read) }));
  const [clash] = clashesOf(runs);
  if (clash) throw clash;
  if (runs.some(({ args }) => args.has("daemon"))) {
    throw new Failure(
      "Cannot use -d: there are several runs, and the process that looks after them does not go to the background",
      "Name one with --only, or let a service manager start them.",
      2,
    );
  }
  const isJson = runs.some(({ args }) => args.get("log-format")?.[0] === "json");
  setStyle({ command: spec.name, format: isJson ? "json" : "text" });
  const { runTogether } = await import("../copies/run.ts");
  const command = isUpstreamName(process.argv0) ? [] : [spec.name];
  const moreWords = more(all);
  const members = all.map(({ name }) => ({
    name,
    words: [...command, "--only", name, ...(moreWords.get(name) ?? []), ...words],
  }));
  const drains = runs.map(({ args }) => Number(args.get("drain")?.[0] ?? DRAIN));
  process.exitCode = await runTogether(members, Math.max(...drains), names);
}
