/** Where the value of an option comes from, and errors that say so. */
import { Failure } from "../../native/failure.ts";
import { type CommandSpec, type Option, optionsOf } from "../command.ts";

export type Origin =
  | { source: "command line" }
  | { source: "environment"; variable: string }
  | { source: "file"; path: string; line: number; column: number };

export interface Given {
  /** As on a command line; a switch has an empty text. */
  text: string;
  origin: Origin;
}

/** What one source gives, by long names; of an option that it takes back no value. */
export type Settings = ReadonlyMap<string, readonly Given[]>;

/** `shop.toml:12:9`, as editors and compilers write a place. */
export function formatPlace({ path, line, column }: Origin & { source: "file" }): string {
  return `${path}:${line}:${column}`;
}

/** What stands for an option in messages about a value that is not from the command line. */
function nameFor({ name }: Option, origin: Exclude<Origin, { source: "command line" }>): string {
  return origin.source === "file" ? `${formatPlace(origin)} ${name}` : origin.variable;
}

/** The value of an option that a message is about: the quoted text behind the option is part of it. */
function valueMeant(given: readonly Given[], rest: string): Given {
  const text = /^ "([^"]*)"/.exec(rest)?.[1];
  if (text === undefined) return given[0]!;
  const isWhole = (value: Given) => value.text.split(",").some((part) => part.trim() === text);
  return given.find(isWhole) ?? given.find((value) => value.text.includes(text)) ?? given[0]!;
}

/** What a message is about. */
export interface Fault {
  option: Option;
  given: Given;
  /** Where the message names the option, and how it is written there. */
  index: number;
  written: string;
}

/** The value that the error of an option's reader is about: of the option that is named first; null: it is about none that was given. */
export function faultOf({ message }: Failure, spec: CommandSpec, settings: Settings): Fault | null {
  for (const found of message.matchAll(/(?<![\w"'-])--?([A-Za-z][\w-]*)/g)) {
    const [written, word] = found;
    const isLong = written.startsWith("--");
    const option = optionsOf(spec).find(({ name, short }) => (isLong ? name : short) === word);
    if (!option) continue;
    const given = settings.get(option.name) ?? [];
    if (given.length === 0) return null;
    const { index } = found;
    return { option, given: valueMeant(given, message.slice(index + written.length)), index, written };
  }
  return null;
}

/** A text with the long names of options in place of their letters, as a file has them, but for what stands in quotes. */
function withLongNames(text: string, spec: CommandSpec): string {
  const long = (letter: string) => optionsOf(spec).find(({ short }) => short === letter)?.name;
  const outside = (part: string) =>
    part.replace(/(?<![\w-])-([A-Za-z])(?![\w-])/g, (written, letter) =>
      long(letter) === undefined ? written : `--${long(letter)}`,
    );
  return text
    .split(/("[^"]*")/)
    .map((part, index) => (index % 2 === 0 ? outside(part) : part))
    .join("");
}

/**
 * The error of an option's reader, which names the option as on a command line (`Cannot use -m "5": ...`), with the place that the
 * value comes from instead: `Cannot use shop.toml:3:10 memory "5": ...`. Any other error as it is.
 */
export function withOrigin(error: unknown, spec: CommandSpec, settings: Settings): unknown {
  if (!(error instanceof Failure)) return error;
  const fault = faultOf(error, spec, settings);
  if (fault === null || fault.given.origin.source === "command line") return error;
  const { message, fix, exitCode } = error;
  const { option, given, index, written } = fault;
  const name = nameFor(option, given.origin as Exclude<Origin, { source: "command line" }>);
  const rest = withLongNames(message.slice(index + written.length), spec);
  return new Failure(message.slice(0, index) + name + rest, withLongNames(fix, spec), exitCode);
}
