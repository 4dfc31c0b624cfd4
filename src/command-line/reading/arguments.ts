/**
 * Reads command lines strictly. citty (and Node's parser, which it uses) takes unknown options for switches, forgets all
 * but the last of repeated options and reads `-x -c` as a value; here each of these is an error that names the option.
 */
import { parseArgs } from "node:util";
import { type CommandDef, defineCommand } from "citty";
import { Failure } from "../../native/failure.ts";
import {
  type CommandSpec,
  HELP,
  type Option,
  optionsOf,
  settable,
  VERSION,
  writtenOperand,
} from "../command.ts";
import { renderHelp, renderShortHelp, renderVersion } from "./help.ts";
import { suggest } from "./suggest.ts";

/** Values by long name, in the order given; a switch has one empty value. */
export type Arguments = ReadonlyMap<string, readonly string[]>;

interface Token {
  name: string;
  rawName: string;
  value?: string | undefined;
  inlineValue?: boolean | undefined;
}

function refuseUnknown(spec: CommandSpec, options: Option[], written: string): Failure {
  const message = `Cannot use option "${written}": `;
  const refused = spec.refused?.[written.slice(1)];
  if (refused) return new Failure(message + refused[0], refused[1], 2);
  const names = options.map(({ name }) => `--${name}`);
  const near = written.startsWith("--") ? suggest(written, names) : null;
  const all = `"xcopy ${spec.name} --help" lists all options.`;
  return new Failure(`${message}there is no such option`, near ? `Did you mean "${near}"? ${all}` : all, 2);
}

function refuseWord(spec: CommandSpec, word: string): Failure {
  const { name, groups } = spec;
  const help = `"xcopy ${name} --help" shows how.`;
  const operand = writtenOperand(spec);
  const takes = operand ? `Write it as "xcopy ${name} ${operand}"` : "Leave it out";
  const fix = Object.keys(groups).length > 0 && !operand ? "Write each value after its option" : takes;
  return new Failure(`Cannot use "${word}": it belongs to no option`, `${fix}; ${help}`, 2);
}

function readSwitch({ rawName, value }: Token): string {
  if (value === undefined) return "";
  throw new Failure(
    `Cannot use option "${rawName}": it takes no value, but "${value}" is given`,
    `Write "${rawName}" alone.`,
    2,
  );
}

/** Gives options that may stand alone the value that this means, as Node's parser would take the next option for it. */
function withChoices(options: Option[], args: readonly string[]): string[] {
  const end = args.indexOf("--");
  const words: string[] = [];
  for (let index = 0; index < args.length; index++) {
    const word = args[index]!;
    const option = options.find(({ name, choices }) => choices && word === `--${name}`);
    if (!option || (end >= 0 && index > end)) {
      words.push(word);
      continue;
    }
    const next = args[index + 1];
    const isAlone = next === undefined || next.startsWith("-");
    words.push(`${word}=${isAlone ? option.choices![0] : next}`);
    if (!isAlone) index++;
  }
  return words;
}

/** A value of an option that has only some. */
function readChoice({ rawName, value = "" }: Token, name: string, choices: readonly string[]): string {
  if (choices.includes(value)) return value;
  const written = choices.map((choice) => `"--${name} ${choice}"`).join(" or ");
  throw new Failure(
    `Cannot use ${rawName} "${value}": it takes ${choices.join(" or ")}`,
    `Write ${written}; "--${name}" alone means ${choices[0]}.`,
    2,
  );
}

function readValue(token: Token, option: Option): string {
  if (option.choices) return readChoice(token, option.name, option.choices);
  const { rawName, value, inlineValue } = token;
  const taken = value !== undefined && value !== "" && (inlineValue || !/^-./.test(value));
  if (taken) return value;
  const dashed = /^-[0-9]/.test(value ?? "") ? `, and "${value}" begins with a dash` : "";
  throw new Failure(
    `Cannot use option "${rawName}": it needs a value${dashed}`,
    `Write it as "${rawName} ${option.value}".`,
    2,
  );
}

/** The switch that `--no-NAME` takes back, where other sources than the command line may give it. */
function takenBack(spec: CommandSpec, { name }: Token): Option | undefined {
  if (spec.table === undefined || !name.startsWith("no-")) return undefined;
  const mayStandAlone = ({ value, choices }: Option) => value === undefined || choices !== undefined;
  return settable(spec).find((option) => mayStandAlone(option) && name === `no-${option.name}`);
}

/**
 * The options of one command, of a switch that is taken back no value. Throws a Failure (exit code 2) for an option that does not exist,
 * lacks its value, has one that it does not take, or is given twice without being a list, and for words that belong to no option.
 */
export function readWords(spec: CommandSpec, args: readonly string[]): Arguments {
  const options = optionsOf(spec);
  const { tokens } = parseArgs({
    args: withChoices(options, args),
    strict: false,
    allowPositionals: true,
    tokens: true,
    options: Object.fromEntries(
      options.map(({ name, short, value }) => [
        name,
        { type: value ? "string" : "boolean", multiple: true, ...(short ? { short } : {}) },
      ]),
    ),
  });
  const values = new Map<string, string[]>();
  const { operand } = spec;
  for (const token of tokens) {
    if (token.kind === "option-terminator") continue;
    if (token.kind === "positional") {
      const words = (operand && values.get(operand.name)) ?? [];
      if (operand && words.length < (operand.most ?? 1)) {
        values.set(operand.name, [...words, token.value]);
        continue;
      }
      throw refuseWord(spec, token.value);
    }
    const option = options.find(({ name }) => name === token.name);
    if (!option) {
      const switched = takenBack(spec, token);
      if (!switched) throw refuseUnknown(spec, options, token.rawName);
      readSwitch(token);
      values.set(switched.name, []);
      continue;
    }
    const value = option.value === undefined ? readSwitch(token) : readValue(token, option);
    const given = values.get(option.name) ?? [];
    if (option.value !== undefined && !option.multiple && given.length > 0) {
      throw new Failure(
        `Cannot use option "${token.rawName}" twice: with "${given[0]}" and with "${value}"`,
        "Leave one of them out.",
        2,
      );
    }
    values.set(option.name, [...given, value]);
  }
  if (operand && (values.get(operand.name)?.length ?? 0) < (operand.least ?? 1)) {
    const fix = `Write it as "xcopy ${spec.name} ${operand.value}".`;
    throw new Failure(`Cannot run "${spec.name}": it needs a value, ${operand.value}`, fix, 2);
  }
  return values;
}

/** The same of a command that has options from nowhere else. Throws a Failure (exit code 2). */
export function parseArguments(spec: CommandSpec, args: readonly string[]): Arguments {
  return new Map([...readWords(spec, args)].filter(([, values]) => values.length > 0));
}

function asks(args: readonly string[], option: Option): boolean {
  return args.includes(`--${option.name}`) || args.includes(`-${option.short}`);
}

/** A citty command whose `-h`, `--help` and `--version` are answered even where the rest of its words is wrong. */
export function wordsCommand(
  spec: CommandSpec,
  run: (words: readonly string[]) => Promise<void> | void,
): CommandDef {
  return defineCommand({
    meta: { name: spec.name, description: spec.summary },
    run: ({ rawArgs }) => {
      if (rawArgs.includes(`-${HELP.short}`)) return console.log(renderShortHelp(spec));
      if (rawArgs.includes(`--${HELP.name}`)) return console.log(renderHelp(spec));
      if (asks(rawArgs, VERSION)) return console.log(renderVersion());
      return run(rawArgs);
    },
  });
}

/** A citty command that reads its options strictly, from its command line alone. */
export function strictCommand(spec: CommandSpec, run: (args: Arguments) => Promise<void> | void): CommandDef {
  return wordsCommand(spec, (words) => run(parseArguments(spec, words)));
}
