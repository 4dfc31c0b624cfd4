/** All that a command would say of the values of a run, one after the other: it ends at the first. */
import type { CommandSpec, Option } from "../command-line/command.ts";
import { argumentsOf, CONFIGURED, type LoadedArguments } from "../command-line/reading/load.ts";
import {
  type Fault,
  faultOf,
  type Given,
  type Settings,
  withOrigin,
} from "../command-line/reading/origin.ts";
import { parseCopy } from "../copy/options.ts";
import { compileFilter } from "../filter/compile.ts";
import { parseIntercept } from "../intercept/options.ts";
import { Failure } from "../native/failure.ts";
import { parseRecord } from "../record/options.ts";
import { rangeOf, wordsOf } from "./schema.ts";

/** Throws a Failure (exit code 2) for a filter that cannot be; where this host has no libpcap nobody knows. */
function checkFilter(filter: string | null): void {
  try {
    if (filter !== null) compileFilter(filter, "ethernet");
  } catch (error) {
    if (!(error instanceof Failure) || error.exitCode === 2) throw error;
  }
}

const READERS: Record<string, (args: LoadedArguments) => unknown> = {
  copy: (args) => checkFilter(parseCopy(args).capture.filter),
  intercept: (args) => checkFilter(parseIntercept(args).filter),
  record: parseRecord,
};

/** Most mistakes that are looked for in one run. */
const MOST = 100;

/** Values of many kinds, of which most options take one. */
const VALUES = [
  ...["1", "100", "1/s", "10M", "1m", "auto", "none", "packet", "target", "mysql", "zstd", "v1", "wait"],
  ...["192.0.2.1", "192.0.2.1-192.0.2.2", "80-192.0.2.1", "80", ":80", "2000-3000", "1/2"],
  ...["a.html", "errors>1%", "GET /", "$.a", "a@b", "a"],
];

interface Refusal {
  failure: Failure;
  /** Null: it is about no value, but about what is missing. */
  fault: Fault | null;
}

/** Why the command of this table would not run with these settings; null: it would. */
function refusalOf(spec: CommandSpec, settings: Settings): Refusal | null {
  try {
    READERS[spec.table!]!(argumentsOf(settings));
    return null;
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    return {
      failure: withOrigin(error, spec, settings) as Failure,
      fault: faultOf(error, spec, settings),
    };
  }
}

function replace(settings: Settings, { name }: Option, old: Given, value: Given): Settings {
  const values = settings.get(name)!.map((given) => (given === old ? value : given));
  return new Map([...settings, [name, values]]);
}

/** The settings with a value that is good in place of a bad one; null: none is known. */
function mend(spec: CommandSpec, settings: Settings, { option, given }: Fault): Settings | null {
  const [least] = rangeOf(option) ?? [];
  const known = [...(least === undefined ? [] : [`${least}`]), ...(wordsOf(option) ?? []), ...VALUES];
  for (const text of known) {
    const value = { ...given, text };
    const mended = replace(settings, option, given, value);
    if (refusalOf(spec, mended)?.fault?.given !== value) return mended;
  }
  return null;
}

/**
 * The errors about the values of a run of the command with this table: each is found with a good value in place of those before. `missing`:
 * what is said of the whole, where no value is at fault.
 */
export function refusalsOf(table: string, given: Settings): { faults: Failure[]; missing: Failure | null } {
  const spec = CONFIGURED.find((one) => one.table === table)!;
  const faults: Failure[] = [];
  let settings: Settings | null = given;
  while (settings !== null && faults.length < MOST) {
    const refusal = refusalOf(spec, settings);
    if (refusal === null) break;
    if (refusal.fault === null) return { faults, missing: refusal.failure };
    faults.push(refusal.failure);
    settings = mend(spec, settings, refusal.fault);
  }
  return { faults, missing: null };
}
