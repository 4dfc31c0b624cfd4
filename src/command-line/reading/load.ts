/**
 * The options of a run from all that gives them: what the command line gives goes before the environment (XCOPY_MEMORY), and that before
 * the file of --config. A list of one replaces that of the other.
 */
import { closeSync, fstatSync, openSync, readSync, statSync } from "node:fs";
import { resolve } from "node:path";
import { causeOfFile, Failure, refuseShared } from "../../native/failure.ts";
import type { CommandSpec } from "../command.ts";
import { COPY } from "../copy.ts";
import { INTERCEPT } from "../intercept.ts";
import { RECORD } from "../record.ts";
import { type Arguments, readWords } from "./arguments.ts";
import { type Environment, readEnvironment } from "./environment.ts";
import { type Configuration, type Named, readConfiguration } from "./file.ts";
import { type Given, type Settings, withOrigin } from "./origin.ts";

/** The commands that have a table in a configuration file. */
export const CONFIGURED: readonly CommandSpec[] = [COPY, INTERCEPT, RECORD];

/** Options whose values are secret. */
const SECRET = ["user"];

const COMMAND_LINE = { source: "command line" } as const;

/** One of the runs that are asked for. */
export interface Run {
  /** Of its table, `[copy.NAME]`; null: it has none. */
  name: string | null;
  /** With the name as --only, whoever chose it. */
  args: LoadedArguments;
}

/** Arguments that know where their values come from. */
export type LoadedArguments = Arguments & { readonly settings: Settings };

export interface Loaded {
  runs: Run[];
  /** About the environment. */
  warnings: string[];
}

/** Bytes of a configuration file, at most. */
const MOST = 1 << 20;

/** The bytes of a file, which may be a pipe; a few more than MOST if it has more than that. */
function readBytes(fd: number): Uint8Array {
  const bytes = new Uint8Array(MOST + 1);
  let length = 0;
  while (length < bytes.length) {
    const more = readSync(fd, bytes, length, bytes.length - length, null);
    if (more === 0) break;
    length += more;
  }
  return bytes.subarray(0, length);
}

/** The place of the first byte that is no UTF-8, as `3:14`; null: there is none. */
function foreignPlace(bytes: Uint8Array): string | null {
  const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  try {
    strict.decode(bytes);
    return null;
  } catch {
    // Of a decoded text the first replacement stands where the first such byte is, unless the text has one of its own.
    const text = new TextDecoder().decode(bytes);
    const before = text.slice(0, text.indexOf("\uFFFD")).split("\n");
    return `${before.length}:${before.at(-1)!.length + 1}`;
  }
}

/** The text of a file that may be none, or be wrong; null: it cannot be read. */
export function textOrNull(path: string): string | null {
  try {
    if (!statSync(path).isFile()) return null;
    const fd = openSync(path, "r");
    try {
      return new TextDecoder().decode(readBytes(fd));
    } finally {
      closeSync(fd);
    }
  } catch {
    return null;
  }
}

function readText(path: string, written: string): { text: string; mode: number } {
  let fd: number;
  try {
    fd = openSync(path, "r");
  } catch (error) {
    const isForbidden = (error as NodeJS.ErrnoException).code === "EACCES";
    const fix = isForbidden
      ? `Let this user read it (a service: chgrp xcopy ${path}; chmod 640 ${path}), or run xcopy as root.`
      : "Name a file that can be read.";
    throw new Failure(`Cannot read --config "${written}": ${causeOfFile(error)}`, fix, 2);
  }
  try {
    const bytes = readBytes(fd);
    if (bytes.length > MOST) {
      const cause = `it has more than ${MOST >> 20} MB, and is no configuration`;
      throw new Failure(
        `Cannot read --config "${written}": ${cause}`,
        "Name a file with options in TOML.",
        2,
      );
    }
    const place = foreignPlace(bytes);
    if (place !== null) {
      const fix = `Save it as UTF-8 (iconv -f ISO-8859-1 -t UTF-8, or UTF-16).`;
      throw new Failure(`Cannot read ${written}:${place}: this is not UTF-8`, fix, 2);
    }
    return { text: new TextDecoder().decode(bytes), mode: fstatSync(fd).mode };
  } catch (error) {
    if (error instanceof Failure) throw error;
    const fix = "Name a file with options in TOML.";
    throw new Failure(`Cannot read --config "${written}": ${causeOfFile(error)}`, fix, 2);
  } finally {
    closeSync(fd);
  }
}

/**
 * Reads a configuration file, whose path is relative to `directory`. Throws a Failure (exit code 2) if it cannot be read, or has secrets
 * and others may read it; what is wrong in its text is among the `problems`.
 */
export function readConfigurationFile(written: string, directory: string): Configuration {
  const path = resolve(directory, written);
  const { text, mode } = readText(path, written);
  const configuration = readConfiguration({ written, path }, text, CONFIGURED);
  const named = [...configuration.tables.values()].flat();
  if (named.some(({ settings }) => SECRET.some((name) => settings.get(name)?.length)))
    refuseShared(
      `"${written}", which has passwords ("user")`,
      path,
      mode,
      `chmod 600 ${path} (a service's: chgrp xcopy ${path}; chmod 640 ${path})`,
    );
  return configuration;
}

/** The runs that the file has for a command. */
function runsOfFile(spec: CommandSpec, path: string, only: string | undefined, directory: string): Named[] {
  const { tables, problems } = readConfigurationFile(path, directory);
  const [first, ...more] = problems;
  if (first) {
    if (more.length === 0) throw first;
    throw first.withFix(`There is more: "xcopy config check ${path}" lists all.`);
  }
  const runs = tables.get(spec.table!);
  if (!runs) {
    const there = [...tables.keys()].map((name) => `[${name}]`).join(", ");
    const fix = there
      ? `It has ${there}: add [${spec.table}].`
      : `Write the options below a line with [${spec.table}].`;
    throw new Failure(`Cannot use --config "${path}": it has no table [${spec.table}]`, fix, 2);
  }
  if (only === undefined) return [...runs];
  const chosen = runs.filter(({ name }) => name === only);
  if (chosen.length > 0) return chosen;
  const there = runs.flatMap(({ name }) => name ?? []).join(", ");
  const fix = there
    ? `There are: ${there}.`
    : `Leave it out: [${spec.table}] has no tables with a name below it.`;
  throw new Failure(`Cannot use --only "${only}": ${path} has no [${spec.table}.${only}]`, fix, 2);
}

function ofCommandLine(values: Arguments): Settings {
  const given = (text: string): Given => ({ text, origin: COMMAND_LINE });
  return new Map([...values].map(([name, texts]) => [name, texts.map(given)]));
}

/** What these sources give, of which the later ones go before the earlier ones. */
export function argumentsOf(...sources: Settings[]): LoadedArguments {
  const settings = new Map(sources.flatMap((source) => [...source]));
  for (const [name, given] of settings) if (given.length === 0) settings.delete(name);
  const values = [...settings].map(([name, given]): [string, string[]] => [
    name,
    given.map(({ text }) => text),
  ]);
  return Object.assign(new Map(values), { settings });
}

/**
 * All runs that a command line asks for: one, or one for each table with a name. Looks at nothing but the file, whose path is relative to
 * `directory`. Throws a Failure (exit code 2).
 */
export function loadRuns(
  spec: CommandSpec,
  words: readonly string[],
  environment: Environment,
  directory = process.cwd(),
): Loaded {
  const line = ofCommandLine(readWords(spec, words));
  const { settings: variables, warnings } = readEnvironment(spec, environment, CONFIGURED);
  const given = (name: string) => (line.get(name) ?? variables.get(name))?.[0]?.text;
  const [path, only] = [given("config"), given("only")];
  if (path === undefined && only !== undefined)
    throw new Failure(`Cannot use --only "${only}": there is no --config`, "Name the file with --config.", 2);
  const named: Named[] =
    path === undefined ? [{ name: null, settings: new Map() }] : runsOfFile(spec, path, only, directory);
  const runs = named.map(({ name, settings }) => {
    // How a copy reports is not how doctor does.
    const isOwn = spec.table === spec.name;
    const file = new Map([...settings].filter(([option]) => isOwn || option !== "json"));
    const chosen: Settings =
      name === null ? new Map() : new Map([["only", [{ text: name, origin: COMMAND_LINE }]]]);
    return { name, args: argumentsOf(file, variables, line, chosen) };
  });
  return { runs, warnings };
}

/**
 * The arguments of the one run that a command line asks for; can be called again, to read the file anew. Throws a Failure (exit code 2),
 * also where the file has several and --only names none.
 */
export function load(
  spec: CommandSpec,
  words: readonly string[],
  environment: Environment,
  directory = process.cwd(),
): LoadedArguments {
  const { runs } = loadRuns(spec, words, environment, directory);
  if (runs.length === 1) return runs[0]!.args;
  const names = runs.map(({ name }) => name).join(", ");
  const path = runs[0]!.args.get("config")![0];
  throw new Failure(
    `Cannot run "${spec.name}" for "${path}": it has ${runs.length} tables below [${spec.table}]`,
    `Name one of them with --only: ${names}.`,
    2,
  );
}

/** Reads the values of arguments; an error about one of them says where it comes from. */
export function readingWith<T>(spec: CommandSpec, args: LoadedArguments, read: (args: Arguments) => T): T {
  try {
    return read(args);
  } catch (error) {
    throw withOrigin(error, spec, args.settings);
  }
}
