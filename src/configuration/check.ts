/** Reads a configuration file as the commands would that it is for, and says all that is wrong. */
import { argumentsOf, readConfigurationFile } from "../command-line/reading/load.ts";
import { Failure } from "../native/failure.ts";
import { clashesOf } from "./clashes.ts";
import { refusalsOf } from "./refusals.ts";

/** For a file of nothing: what each table is about, as one and as several. */
const KINDS: Record<string, [one: string, several: string]> = {
  copy: ["copy", "copies"],
  intercept: ["intercept", "intercepts"],
  record: ["record", "records"],
};

function describe(table: string, names: readonly (string | null)[]): string {
  const [one, several] = KINDS[table]!;
  const named = names.filter((name) => name !== null);
  const list = named.length > 0 ? ` (${named.join(", ")})` : "";
  return `${names.length} ${names.length === 1 ? one : several}${list}`;
}

/**
 * What is wrong with a file, and a line that says what is in it. Its path is relative to `directory`. Throws a Failure (exit code 2) if it
 * cannot be read.
 */
export function checkFile(path: string, directory: string): { problems: Failure[]; contents: string } {
  const { tables, problems: found } = readConfigurationFile(path, directory);
  const problems = [...found];
  const add = (failure: Failure) => {
    if (!problems.some(({ message }) => message === failure.message)) problems.push(failure);
  };
  for (const [table, runs] of tables) {
    for (const { name, settings } of runs) {
      const { faults, missing } = refusalsOf(table, settings);
      faults.forEach(add);
      // What is missing may be what is wrong above.
      if (missing && found.length === 0) {
        const title = name === null ? `[${table}]` : `[${table}.${name}]`;
        add(missing.withFix(`It is about ${title} of ${path}.`));
      }
    }
    const all = runs.map(({ name, settings }) => ({ name, args: argumentsOf(settings) }));
    for (const clash of clashesOf(table, all)) add(clash);
  }
  const contents = [...tables].map(([table, runs]) =>
    describe(
      table,
      runs.map(({ name }) => name),
    ),
  );
  if (contents.length === 0 && problems.length === 0) {
    const fix = "Write options below a line with [copy], [intercept] or [record].";
    problems.push(new Failure(`Cannot use "${path}": there is nothing in it`, fix, 2));
  }
  return { problems, contents: contents.join(", ") };
}
