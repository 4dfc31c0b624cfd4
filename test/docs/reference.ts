/**
 * docs/reference/options.md, made from the descriptions of the commands. Run as a program it writes the page; pages.test.ts
 * compares it.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { type CommandSpec, groupsOf, type Option } from "../../src/command-line/command.ts";
import { COMMANDS } from "../../src/command-line/commands.ts";
import { explanationOf, writtenOption } from "../../src/command-line/reading/help.ts";
import { ROOT } from "./pages.ts";

export const OPTIONS = "docs/reference/options.md";

/** Every command, by name. */
export const SPECS = new Map<string, CommandSpec>(Object.entries(COMMANDS));

const cell = (text: string) => text.replaceAll("|", "\\|").replaceAll("<", "&lt;");
const code = (text: string) => `\`${text.replaceAll("|", "\\|")}\``;

function row(option: Option): string {
  const names = [...(option.short ? [`-${option.short}`] : []), writtenOption(option)].map(code);
  return `| ${names.join(", ")} | ${cell(explanationOf(option))}${option.multiple ? "; may be repeated" : ""} |`;
}

function table(title: string, rows: readonly (readonly [string, string])[] = []): string[] {
  if (rows.length === 0) return [];
  return [
    "",
    `| ${title} | |`,
    "|---|---|",
    ...rows.map(([name, text]) => `| ${code(name)} | ${cell(text)} |`),
  ];
}

function section(spec: CommandSpec): string[] {
  const { name, summary, examples, operand, manual } = spec;
  const takesThoseOfCopy = name === "doctor";
  const groups = Object.entries(takesThoseOfCopy ? {} : groupsOf(spec));
  return [
    `## xcopy ${name}`,
    "",
    `${summary}.`,
    ...manual.description.flatMap((paragraph) => ["", cell(paragraph)]),
    ...table("for example", examples),
    ...table("words", operand && [[operand.value, operand.help]]),
    ...(takesThoseOfCopy
      ? ["", "It takes every option of [xcopy copy](#xcopy-copy); `--json` is its own."]
      : []),
    ...groups.flatMap(([title, options]) => [
      "",
      `### ${name}: ${title}`,
      "",
      "| option | |",
      "|---|---|",
      ...options.map(row),
    ]),
    ...table("environment", manual.environment),
    ...table("file", manual.files),
    ...table("signal", manual.signals),
    "",
    `Exit codes: ${manual.exits.join(", ")} ([what they mean](process.md#exit-codes)).`,
    "",
  ];
}

/** The text of the page. */
export function renderOptions(): string {
  return [
    "<!-- Made by test/docs/reference.ts from src/command-line: change the texts there. -->",
    "# Options",
    "",
    "Every option of every command, as `xcopy COMMAND --help` and `man xcopy-COMMAND` have them; `xcopy COMMAND -h` shows the usual ones.",
    "",
    ...[...SPECS.values()].flatMap(section),
  ]
    .join("\n")
    .trimEnd()
    .concat("\n");
}

if (import.meta.main) writeFileSync(join(ROOT, OPTIONS), renderOptions());
