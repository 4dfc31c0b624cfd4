/**
 * Options from a configuration file: `[copy]` has those of one copy, and what is below it, `[copy.NAME]`, of one of several, for which
 * `[copy]` then has the defaults.
 */
import { dirname, resolve } from "node:path";
import { Failure } from "../../native/failure.ts";
import { NotToml, type Position, readToml, type Table, type Value } from "../../toml/read.ts";
import { type CommandSpec, type Option, settable } from "../command.ts";
import { formatPlace, type Given, type Settings } from "./origin.ts";
import { suggest } from "./suggest.ts";

/** What one table says: the options of one run. */
export interface Named {
  /** Null: the table of the command itself, which has none below it. */
  name: string | null;
  settings: Settings;
}

export interface Configuration {
  /** By the name of the table: `copy`. */
  tables: ReadonlyMap<string, readonly Named[]>;
  /** All that is wrong, in the order of the file, as far as it can be told without reading the values. */
  problems: readonly Failure[];
}

/** Options that have no place in a file, and why. */
export const REFUSED: Record<string, [cause: string, fix: string]> = {
  config: ["a file takes in no other", "Write the options of that file here."],
  only: ["it chooses among the tables of this file", "Give --only on the command line."],
  "dry-run": ["whether it is only tried is for who starts it to say", "Give --dry-run on the command line."],
  help: ["it is for the command line", "Leave it out."],
  version: ["it is for the command line", "Leave it out."],
};

/** Of values that stand for a number, alone or among others. */
const NUMBER = /(^|\])(PORT|COUNT|SECONDS|PERCENT|MS|MB|BYTES|FACTOR|RATE|NUMBER|PACKETS|K)($|[|/[])/;
/** Names of tables below that of a command. */
export const NAME = /^[A-Za-z0-9][\w.-]*$/;

/** Whether a file may have a number where this option's value belongs. */
export function takesNumber({ value }: Option): boolean {
  return value !== undefined && NUMBER.test(value);
}

/** Whether an option's value is a path, which in a file is relative to the file's directory. */
function takesPath({ values }: Option): boolean {
  return values === "file" || values === "directory";
}

/** The file that is read, and what was found wrong in it so far. */
interface Reading {
  /** As the user wrote it, for messages. */
  path: string;
  /** That of the file, absolute. */
  directory: string;
  problems: Failure[];
}

function refuse({ path, problems }: Reading, at: Position, what: string, cause: string, fix: string): void {
  const place = formatPlace({ source: "file", path, ...at });
  problems.push(new Failure(`Cannot use ${place} ${what}: ${cause}`, fix, 2));
}

/** `./requests.pcap` in `input` is a file; a name without a slash may be an interface. */
function fromDirectory({ directory }: Reading, option: Option, text: string): string {
  const whole = (part: string) => resolve(directory, part);
  if (takesPath(option)) return text === "-" ? text : whole(text);
  if (option.name !== "input") return text;
  return text
    .split(",")
    .map((part) => (part.includes("/") ? whole(part.trim()) : part))
    .join(",");
}

const KINDS: Record<Value["kind"], string> = {
  text: "text",
  number: "a number",
  boolean: "true or false",
  date: "a date",
  list: "a list",
  table: "a table",
};

/** What an option takes, and how that is written. */
function expectation(option: Option): [takes: string, example: string] {
  const { name, value, choices, multiple } = option;
  if (value === undefined) return ["true or false", `${name} = true`];
  if (choices) return [`true, false or one of ${choices.join(", ")}`, `${name} = "${choices[0]}"`];
  const text = takesNumber(option) ? "a number or text" : "text";
  if (multiple) return [`${text}, or a list of that`, `${name} = ["${value}", "${value}"]`];
  return [text, takesNumber(option) ? `${name} = ${value}` : `${name} = "${value}"`];
}

function refuseKind(reading: Reading, option: Option, value: Value): void {
  const [takes, example] = expectation(option);
  const cause = `it takes ${takes}, and ${KINDS[value.kind]} is given`;
  refuse(reading, value.at, `"${option.name}"`, cause, `Write it as ${example}.`);
}

/** One value of an option; null where it is of another kind than the option takes. */
function readOne(reading: Reading, option: Option, value: Value): Given | null {
  const given = (text: string): Given => ({
    text,
    origin: { source: "file", path: reading.path, ...value.at },
  });
  if (option.value !== undefined) {
    const isText = value.kind === "text" || (value.kind === "number" && takesNumber(option));
    if (isText && value.text !== "") return given(fromDirectory(reading, option, value.text));
    if (isText) {
      const [, example] = expectation(option);
      refuse(reading, value.at, `"${option.name}"`, "it needs a value", `Write it as ${example}.`);
      return null;
    }
  }
  refuseKind(reading, option, value);
  return null;
}

/** The values of an option: none where it is not given, as with `false` and an empty list. */
function readOption(reading: Reading, option: Option, value: Value): Given[] {
  const isSwitch = option.value === undefined || option.choices !== undefined;
  if (value.kind === "boolean" && isSwitch) {
    const text = option.choices?.[0] ?? "";
    return value.is ? [{ text, origin: { source: "file", path: reading.path, ...value.at } }] : [];
  }
  const values = value.kind === "list" && option.multiple ? value.values : [value];
  const given = values.flatMap((one) => readOne(reading, option, one) ?? []);
  const { choices } = option;
  const other = choices && given.find(({ text }) => !choices.includes(text));
  if (other) {
    const [takes, example] = expectation(option);
    refuse(
      reading,
      value.at,
      `${option.name} "${other.text}"`,
      `it takes ${takes}`,
      `Write it as ${example}.`,
    );
  }
  return given;
}

function refuseKey(reading: Reading, at: Position, key: string, spec: CommandSpec): void {
  const refused = Object.hasOwn(REFUSED, key) ? REFUSED[key] : undefined;
  if (refused) {
    refuse(reading, at, JSON.stringify(key), refused[0], refused[1]);
    return;
  }
  const switched = settable(spec).find(({ name }) => key === `no-${name}`);
  if (switched) {
    refuse(
      reading,
      at,
      JSON.stringify(key),
      "it is for the command line",
      `Write it as ${switched.name} = false.`,
    );
    return;
  }
  const all = `"xcopy ${spec.name} --help" lists all options.`;
  const known = settable(spec).map(({ name }) => name);
  const letter = settable(spec).find(({ short }) => short === key);
  const near =
    letter?.name ??
    suggest(
      key,
      known.filter((name) => !Object.hasOwn(REFUSED, name)),
    );
  const fix = near ? `Did you mean "${near}"? ${all}` : all;
  refuse(reading, at, JSON.stringify(key), "there is no such option", fix);
}

/** The options of a table; what else is in it goes to `onTable` where it is a table. */
function readOptions(
  reading: Reading,
  table: Table,
  spec: CommandSpec,
  onTable?: (name: string, at: Position, table: Table) => void,
): Settings {
  const settings = new Map<string, readonly Given[]>();
  for (const [key, { at, value }] of table.entries) {
    const option = Object.hasOwn(REFUSED, key) ? undefined : settable(spec).find(({ name }) => name === key);
    if (option) settings.set(key, readOption(reading, option, value));
    else if (value.kind === "table" && onTable && !Object.hasOwn(REFUSED, key)) onTable(key, at, value);
    else refuseKey(reading, at, key, spec);
  }
  return settings;
}

/** The runs of a table: those of the tables below it, or itself. */
function readTable(reading: Reading, table: Table, spec: CommandSpec): Named[] {
  const below: Named[] = [];
  const own = readOptions(reading, table, spec, (name, at, inner) => {
    if (!NAME.test(name)) {
      const fix = "Name it with letters, digits, - and _, for example [copy.shop].";
      refuse(reading, at, JSON.stringify(name), "this is not the name of a table", fix);
    }
    below.push({ name, settings: readOptions(reading, inner, spec) });
  });
  if (below.length === 0) return [{ name: null, settings: own }];
  return below.map(({ name, settings }) => ({ name, settings: new Map([...own, ...settings]) }));
}

/**
 * Reads the text of a file, whose tables belong to these commands. Messages name it as it is `written`; relative paths in it are
 * relative to the directory of `path`, which is absolute.
 */
export function readConfiguration(
  { written, path }: { written: string; path: string },
  text: string,
  specs: readonly CommandSpec[],
): Configuration {
  const reading: Reading = { path: written, directory: dirname(path), problems: [] };
  const tables = new Map<string, readonly Named[]>();
  let top: Table;
  try {
    // Some editors begin a text with a byte order mark.
    top = readToml(text.replace(/^\uFEFF/, ""));
  } catch (error) {
    if (!(error instanceof NotToml)) throw error;
    const cause = error.message.charAt(0).toLowerCase() + error.message.slice(1);
    const place = formatPlace({ source: "file", path: written, ...error.at });
    const fix =
      'Mend the file there: options are written as name = "text", name = 1 or name = true (toml.io).';
    return { tables, problems: [new Failure(`Cannot read ${place}: ${cause}`, fix, 2)] };
  }
  const names = specs.map((spec) => `[${spec.table}]`);
  for (const [key, { at, value }] of top.entries) {
    const spec = specs.find(({ table }) => table === key);
    if (spec && value.kind === "table") {
      tables.set(key, readTable(reading, value, spec));
      continue;
    }
    if (spec) {
      const cause = `it is a table, and ${KINDS[value.kind]} is given`;
      refuse(reading, at, JSON.stringify(key), cause, `Write it as [${key}], and its options below that.`);
      continue;
    }
    const isOption = specs.find((one) => settable(one).some(({ name }) => name === key));
    const near = suggest(
      key,
      specs.map(({ table }) => table!),
    );
    const fix = isOption
      ? `Write it below a line with [${isOption.table}].`
      : `${near ? `Did you mean [${near}]? ` : ""}There are: ${names.join(", ")}.`;
    const cause = isOption ? "it stands outside of any table" : "there is no such table";
    refuse(reading, at, JSON.stringify(key), cause, fix);
  }
  return { tables, problems: reading.problems };
}
