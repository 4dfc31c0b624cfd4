/** The description of a command, from which its parser and its help text are made. */

export interface Option {
  /** The long name, without dashes. */
  name: string;
  /** The letter, without a dash, if there is one: that of tcpcopy or intercept 1.x for the same meaning. */
  short?: string;
  /** What stands for the value in the help; a switch has none. */
  value?: string;
  /** The values that it takes, where it may also stand alone, which means the first of them. */
  choices?: readonly [string, ...string[]];
  /** Whether it may be given several times. */
  multiple?: boolean;
  /** What it does, one sentence without a full stop. */
  help: string;
}

export interface CommandSpec {
  name: string;
  /** One line for the list of commands. */
  summary: string;
  /** Command lines to start from, each with what it does. */
  examples: [line: string, effect: string][];
  /**
   * The words that belong to no option, if the command takes any: their name among the values, what stands for them in the help, and
   * how many there must and may be (1 and 1 if that is absent).
   */
  operand?: { name: string; value: string; help: string; least?: number; most?: number };
  /** Options under headings. */
  groups: Record<string, Option[]>;
  /** The table of a configuration file that has its options; absent: there is no --config. */
  table?: string;
  /** Letters of tcpcopy that are refused with a reason, and what to do instead. */
  refused?: Record<string, [cause: string, fix: string]>;
}

export const HELP: Option = { name: "help", short: "h", help: "print this text" };
export const VERSION: Option = { name: "version", short: "v", help: "print the version" };

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
