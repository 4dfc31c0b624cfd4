/** Help texts: an example first, then the options under headings, never wider than the terminal or 100 columns. */
import { version } from "../../../package.json";
import { EXIT_CODES } from "../../native/failure.ts";
import { type CommandSpec, groupsOf, HELP, type Option, VERSION } from "../command.ts";

/** Columns of a help that goes to no terminal, and the most that lines have in a wider one. */
const WIDTH = 100;
/** In narrower terminals lines are broken by the terminal. */
const LEAST_WIDTH = 40;
/** The second column is at least so wide, where its texts need it: in narrow terminals it begins below the first. */
const LEAST_TEXT = 40;
/** Examples of the short help. */
const EXAMPLES = 3;

/** Columns for help texts on the terminal that standard output is, if it is one. */
export function helpWidth(columns: number | undefined = process.stdout.columns): number {
  return Math.max(LEAST_WIDTH, Math.min(WIDTH, columns || WIDTH));
}

/** Breaks text at spaces into lines of at most `width` characters. */
function wrap(text: string, width: number): string[] {
  const lines = [""];
  for (const word of text.split(" ")) {
    const line = lines.at(-1)!;
    if (line !== "" && line.length + 1 + word.length > width) lines.push(word);
    else lines[lines.length - 1] = line === "" ? word : `${line} ${word}`;
  }
  return lines;
}

/** Two columns, the second wrapped and aligned; one below the other where there is no room. */
function table(rows: [left: string, right: string][], left: number, width: number): string[] {
  const room = width - left - 4;
  const longest = Math.max(...rows.map(([, text]) => text.length));
  if (room < Math.min(LEAST_TEXT, longest)) {
    return rows.flatMap(([name, text]) => [
      ...wrap(name, width - 2).map((line) => `  ${line}`),
      ...wrap(text, width - 6).map((line) => `      ${line}`),
    ]);
  }
  return rows.flatMap(([name, text]) =>
    wrap(text, room).map((line, index) => `  ${(index ? "" : name).padEnd(left)}  ${line}`),
  );
}

function widest(rows: [left: string, right: string][]): number {
  return Math.max(...rows.map(([left]) => left.length));
}

/** All that there is to say of an option: "what it does. Details (default: what holds without it)". */
export function explanationOf({ help, details, default: otherwise }: Option): string {
  return `${help}${details ? `. ${details}` : ""}${otherwise ? ` (default: ${otherwise})` : ""}`;
}

/** An option as it is written, with what stands for its value: "--compare [heads|body]". */
export function writtenOption({ name, value, choices }: Option): string {
  return `--${name}${choices ? ` [${value}]` : value ? ` ${value}` : ""}`;
}

function optionRow(option: Option, explanation = explanationOf(option)): [string, string] {
  return [`${option.short ? `-${option.short}, ` : "    "}${writtenOption(option)}`, explanation];
}

/** The text of `--version`. */
export function renderVersion(): string {
  return `xcopy ${version}`;
}

/** The text of `xcopy COMMAND --help`: all options. */
export function renderHelp(spec: CommandSpec, width = helpWidth()): string {
  const { operand } = spec;
  const groups = Object.entries(groupsOf(spec)).map(([title, options]) => ({
    title,
    rows: options.map((option) => optionRow(option)),
  }));
  const words: [string, string][] = operand ? [[operand.value, operand.help]] : [];
  const left = widest([...words, ...groups.flatMap(({ rows }) => rows)]);
  return [
    ...wrap(`xcopy ${spec.name}: ${spec.summary}`, width),
    "",
    ...table(spec.examples, widest(spec.examples), width),
    ...(operand ? ["", ...table(words, left, width)] : []),
    ...groups.flatMap(({ title, rows }) => ["", title, ...table(rows, left, width)]),
  ].join("\n");
}

/** The text of `xcopy COMMAND -h`, a screen: what it does, first examples, the usual options. */
export function renderShortHelp(spec: CommandSpec, width = helpWidth()): string {
  const { operand } = spec;
  const options = Object.values(groupsOf(spec)).flat();
  const common = options.filter((option) => option.common && option !== HELP && option !== VERSION);
  const rows = common.map((option) => optionRow(option, option.help));
  if (operand) rows.unshift([operand.value, operand.help]);
  const examples = spec.examples.slice(0, EXAMPLES);
  return [
    ...wrap(`xcopy ${spec.name}: ${spec.summary}`, width),
    "",
    ...table(examples, widest(examples), width),
    ...(rows.length > 0 ? ["", ...table(rows, widest(rows), width)] : []),
    "",
    ...wrap(
      `"xcopy ${spec.name} --help" has all ${options.length} options, "man xcopy-${spec.name}" the manual.`,
      width,
    ),
  ].join("\n");
}

export interface Overview {
  /** What the program is for. */
  summary: string;
  commands: readonly CommandSpec[];
  /** `-h`, and what is printed where no command is named. */
  isShort: boolean;
}

/** The text of `xcopy -h`: what it is for, a first command line, the commands. `--help` adds examples of all, and exit codes. */
export function renderOverview({ summary, commands, isShort }: Overview, width = helpWidth()): string {
  const options = [HELP, VERSION].map((option) => optionRow(option));
  const list = commands.map(({ name, summary }): [string, string] => [name, summary]);
  const left = widest([...list, ...options]);
  const firsts = commands.map(({ examples }) => examples[0]!);
  const examples = isShort ? firsts.slice(0, 1) : firsts;
  const codes = Object.entries(EXIT_CODES);
  return [
    ...wrap(`${renderVersion()}: ${summary}`, width),
    "",
    ...table(examples, widest(examples), width),
    "",
    "Commands",
    ...table(list, left, width),
    "",
    // A screen of 24 lines has room for all but this one.
    ...(isShort ? [] : ["Options"]),
    ...table(options, left, width),
    ...(isShort ? [] : ["", "Exit codes", ...table(codes, left, width)]),
    "",
    ...wrap('"xcopy COMMAND -h" shows the usual options, --help all, "man xcopy" the manual.', width),
  ].join("\n");
}
