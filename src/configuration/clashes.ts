/** What several runs of one file cannot have in common. */
import type { Run } from "../command-line/reading/load.ts";
import { formatPlace, type Given } from "../command-line/reading/origin.ts";
import { Failure } from "../native/failure.ts";

/** Options that name what only one process can have, or writes whole. */
const EXCLUSIVE: Record<string, string> = {
  report: "each would write over what the other has written",
  write: "each would write over what the other has written",
  "pid-file": "each would write over what the other has written",
  web: "only one can listen there",
};

function whereOf({ origin, text }: Given, name: string): string {
  if (origin.source === "file") return `${formatPlace(origin)} ${name} "${text}"`;
  return origin.source === "environment" ? `${origin.variable} "${text}"` : `--${name} "${text}"`;
}

/** An error for each value that two of these runs have, and only one of them can. */
export function clashesOf(runs: readonly Run[]): Failure[] {
  const clashes: Failure[] = [];
  for (const [option, cause] of Object.entries(EXCLUSIVE)) {
    const seen = new Map<string, string | null>();
    for (const { name, args } of runs) {
      for (const given of args.settings.get(option) ?? []) {
        const other = seen.get(given.text);
        seen.set(given.text, name);
        if (other === undefined || other === name) continue;
        const message = `Cannot use ${whereOf(given, option)} for "${other}" and for "${name}": ${cause}`;
        clashes.push(new Failure(message, "Give each table its own.", 2));
      }
    }
  }
  return clashes;
}
