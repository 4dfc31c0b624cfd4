/** Help texts: an example first, then the options under headings, never wider than a terminal usually is. */
import { version } from "../../package.json";
import { type CommandSpec, groupsOf, HELP, type Option, VERSION } from "./command.ts";

const WIDTH = 100;

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

/** Two columns, the second wrapped and aligned. */
function table(rows: [left: string, right: string][], left: number): string[] {
  return rows.flatMap(([name, text]) =>
    wrap(text, WIDTH - left - 4).map((line, index) => `  ${(index ? "" : name).padEnd(left)}  ${line}`),
  );
}

function widest(rows: [left: string, right: string][]): number {
  return Math.max(...rows.map(([left]) => left.length));
}

function optionRow({ name, short, value, choices, help }: Option): [string, string] {
  const written = choices ? ` [${value}]` : value ? ` ${value}` : "";
  return [`${short ? `-${short}, ` : "    "}--${name}${written}`, help];
}

/** The text of `--version`. */
export function renderVersion(): string {
  return `xcopy ${version}`;
}

/** The text of `xcopy <command> --help`. */
export function renderHelp(spec: CommandSpec): string {
  const { operand } = spec;
  const groups = Object.entries(groupsOf(spec)).map(([title, options]) => ({
    title,
    rows: options.map(optionRow),
  }));
  const left = widest(groups.flatMap(({ rows }) => rows));
  return [
    `xcopy ${spec.name}: ${spec.summary}`,
    "",
    ...table(spec.examples, widest(spec.examples)),
    ...(operand ? ["", ...table([[operand.value, operand.help]], left)] : []),
    ...groups.flatMap(({ title, rows }) => ["", title, ...table(rows, left)]),
  ].join("\n");
}

/** The text of `xcopy --help`: what it is for, a first command line, the commands. */
export function renderOverview(
  summary: string,
  example: [line: string, effect: string],
  commands: [name: string, summary: string][],
): string {
  const options = [HELP, VERSION].map(optionRow);
  const left = widest([...commands, ...options]);
  return [
    `${renderVersion()}: ${summary}`,
    "",
    ...table([example], example[0].length),
    "",
    "Commands",
    ...table(commands, left),
    "",
    "Options",
    ...table(options, left),
    "",
    '"xcopy COMMAND --help" lists the options of a command.',
  ].join("\n");
}
