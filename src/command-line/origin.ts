/** Where the value of an option comes from, and errors that say so. */
import { Failure } from "../native/failure.ts";
import { type CommandSpec, type Option, optionsOf } from "./command.ts";

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

/**
 * The error of an option's reader, which names the option as on a command line (`Cannot use -m "5": ...`), with the place that the
 * value comes from instead: `Cannot use shop.toml:3:10 memory "5": ...`. The option that is named first is the one meant. Any other
 * error as it is.
 */
export function withOrigin(error: unknown, spec: CommandSpec, settings: Settings): unknown {
  if (!(error instanceof Failure)) return error;
  const { message, fix, exitCode } = error;
  for (const found of message.matchAll(/(?<![\w"'-])--?([A-Za-z][\w-]*)/g)) {
    const [written, word] = found;
    const isLong = written.startsWith("--");
    const option = optionsOf(spec).find(({ name, short }) => (isLong ? name : short) === word);
    if (!option) continue;
    const rest = message.slice(found.index + written.length);
    const given = settings.get(option.name) ?? [];
    const origin = given.length > 0 ? valueMeant(given, rest).origin : null;
    if (origin === null || origin.source === "command line") break;
    return new Failure(message.slice(0, found.index) + nameFor(option, origin) + rest, fix, exitCode);
  }
  return error;
}
