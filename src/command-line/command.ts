/** The description of a command, from which its parser, its help, its completions and its man page are made. */
import type { ExitCode } from "../native/failure.ts";

/**
 * What the values of an option are, for completions in a shell: words, something that the shell looks up on this host, or
 * `anything`: numbers, addresses and patterns, which only the user knows.
 */
export type Values =
  | "anything"
  | "file"
  /** One that is there, or for a file that is not there yet. */
  | "directory"
  | "user"
  /** Interfaces separated by commas; `captured` ones may also be `any`, or files instead. */
  | "interface"
  | "interfaces"
  | "interfaces or files"
  /** CPUs separated by commas. */
  | "cpus"
  /** The process id of a copy that runs. */
  | "copy"
  /** The name of a copy in the file of --config. */
  | "section"
  | readonly string[];

interface AnyOption {
  /** The long name, without dashes. */
  name: string;
  /** The letter, without a dash, if there is one: that of tcpcopy or intercept 1.x for the same meaning. */
  short?: string;
  /** What it does: one short sentence without a full stop, in lower case. It stands alone in `-h` and in completions. */
  help: string;
  /** What else there is to know: whole sentences without the last full stop, for `--help` and the man page. */
  details?: string;
  /** What holds without it, where that is worth saying. */
  default?: string;
  /** Whether most people need it: `-h` shows it. */
  common?: true;
}

/** An option without a value. */
interface Switch extends AnyOption {
  value?: undefined;
  choices?: undefined;
  multiple?: undefined;
  values?: undefined;
}

/** An option that needs a value. */
interface Valued extends AnyOption {
  /** What stands for the value in the help. */
  value: string;
  /** What its values are. */
  values: Values;
  /** Whether it may be given several times. */
  multiple?: boolean;
  choices?: undefined;
}

/** An option that may also stand alone, which means the first of its choices. */
interface Choosable extends AnyOption {
  value: string;
  choices: readonly [string, ...string[]];
  multiple?: undefined;
  values?: undefined;
}

export type Option = Switch | Valued | Choosable;

/** What `man` says of a command beside its options. */
export interface Manual {
  /** Paragraphs: what the command does, in which order, and what it leaves alone. */
  description: readonly string[];
  /** The exit codes that it has. */
  exits: readonly ExitCode[];
  environment?: readonly [variable: string, meaning: string][];
  files?: readonly [path: string, meaning: string][];
  signals?: readonly [signal: string, meaning: string][];
  /** Pages to read next, with their sections: "pcap-filter(7)". */
  seeAlso?: readonly string[];
}

export interface CommandSpec {
  name: string;
  /** One line for the list of commands. */
  summary: string;
  /** Command lines to start from, each with what it does; the first three are shown by `-h`. */
  examples: [line: string, effect: string][];
  /**
   * The words that belong to no option, if the command takes any: their name among the values, what stands for them in the help, what
   * the first and further ones are (which some first words do not have), and how many there must and may be (1 and 1 if that is absent).
   */
  operand?: {
    name: string;
    value: string;
    values: Values;
    further?: Values;
    alone?: readonly string[];
    help: string;
    least?: number;
    most?: number;
  };
  /** Options under headings. */
  groups: Record<string, Option[]>;
  manual: Manual;
  /** The table of a configuration file that has its options; absent: there is no --config. */
  table?: string;
  /** Letters of tcpcopy that are refused with a reason, and what to do instead. */
  refused?: Record<string, [cause: string, fix: string]>;
}

/** What stands for the words that belong to no option, in brackets where there need be none: "[PID]"; null: the command takes none. */
export function writtenOperand({ operand }: CommandSpec): string | null {
  return operand ? (operand.least === 0 ? `[${operand.value}]` : operand.value) : null;
}

export const HELP: Option = {
  name: "help",
  short: "h",
  help: "print the usual options (-h), or all of them (--help)",
  common: true,
};
export const VERSION: Option = { name: "version", short: "v", help: "print the version", common: true };

/** The headings and options of a command, with the two options that all commands have. */
export function groupsOf(spec: CommandSpec): Record<string, Option[]> {
  return { ...spec.groups, Other: [HELP, VERSION] };
}

/** The options of a command that mean something elsewhere than on its command line. */
export function settable(spec: CommandSpec): Option[] {
  return Object.values(spec.groups).flat();
}

/** All options of a command. */
export function optionsOf(spec: CommandSpec): Option[] {
  return Object.values(groupsOf(spec)).flat();
}
