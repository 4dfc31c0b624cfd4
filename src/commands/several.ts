/** Runs all runs that a configuration file has for a command, a process each. */

import type { CommandSpec } from "../command-line/command.ts";
import type { Arguments } from "../command-line/reading/arguments.ts";
import type { Several } from "../command-line/reading/configured.ts";
import { type Run, readingWith } from "../command-line/reading/load.ts";
import { isUpstreamName } from "../command-line/reading/tcpcopy.ts";
import { clashesOf } from "../configuration/clashes.ts";
import type { Member, Tables } from "../copies/tables.ts";
import { setStyle } from "../host/log/style.ts";
import { Failure } from "../native/failure.ts";

/** Seconds of --drain, without it. */
const DRAIN = 2;

/** A run, with its options. */
export interface Named<T> {
  name: string;
  options: T;
}

/** How runs that can be reloaded live beside each other. */
export interface Neighbours<T> {
  /** The words that some get besides those of all, by their names. */
  moreWords(runs: readonly Named<T>[]): ReadonlyMap<string, readonly string[]>;
  /** The one of `others` because of which this one cannot begin while they run, or null. */
  meets(one: Named<T>, others: readonly Named<T>[]): string | null;
}

/** Their options. Throws a Failure (exit code 2) for the first mistake in any of them. */
function readAll<T>(spec: CommandSpec, runs: readonly Run[], read: (args: Arguments) => T): Named<T>[] {
  const all = runs.map(({ name, args }) => {
    try {
      return { name: name!, options: readingWith(spec, args, read) };
    } catch (error) {
      const isOfValue = !(error instanceof Failure) || error.message.includes(`${args.get("config")?.[0]}:`);
      throw isOfValue
        ? error
        : error.withFix(`It is about [${spec.table}.${name}] of ${args.get("config")?.[0]}.`);
    }
  });
  const [clash] = clashesOf(spec.table!, runs);
  if (clash) throw clash;
  return all;
}

/**
 * Runs all of them, as the words of the command line ask; `read` reads their options, which are tried before anything starts.
 * `neighbours`: for runs that can be reloaded. Sets the exit code. Throws a Failure (exit code 2) for the first mistake in any of them.
 */
export async function runSeveral<T>(
  spec: CommandSpec,
  { runs, words, again }: Several,
  read: (args: Arguments) => T,
  neighbours: Neighbours<T> | null = null,
): Promise<void> {
  let all = readAll(spec, runs, read);
  const isJson = runs.some(({ args }) => args.get("log-format")?.[0] === "json");
  setStyle({ command: spec.name, format: isJson ? "json" : "text" });
  const { runTogether } = await import("../copies/run.ts");
  const command = isUpstreamName(process.argv0) ? [] : [spec.name];
  const membersOf = (those: readonly Named<T>[]): Member[] => {
    const more = neighbours?.moreWords(those);
    return those.map(({ name }) => ({
      name,
      words: [...command, "--only", name, ...(more?.get(name) ?? []), ...words],
    }));
  };
  const readAgain = (present: ReadonlySet<string>): Tables => {
    const now = again();
    if (now.some(({ name }) => name === null)) {
      throw new Failure(
        `Cannot use [${spec.table}] alone: several copies run, each of a table with a name`,
        `Write [${spec.table}.NAME], or restart all of them.`,
        2,
      );
    }
    const asked = readAll(spec, now, read);
    // What runs keeps what it has: targets that it had, and those that it is about to get.
    const neighboursOf = [
      ...all.filter(({ name }) => present.has(name)),
      ...asked.filter(({ name }) => present.has(name)),
    ];
    const come = asked.filter(({ name }) => !present.has(name));
    const held = come.flatMap((one) => {
      const other = neighbours!.meets(one, neighboursOf);
      return other === null
        ? []
        : [{ name: one.name, cause: `"${other}" sends to its target too, and has the ports for that` }];
    });
    all = asked;
    return {
      names: asked.map(({ name }) => name),
      fresh: membersOf(come.filter(({ name }) => !held.some((one) => one.name === name))),
      held,
    };
  };
  const drains = runs.map(({ args }) => Number(args.get("drain")?.[0] ?? DRAIN));
  process.exitCode = await runTogether(membersOf(all), Math.max(...drains), neighbours && readAgain);
}
