/**
 * docs/reference/options.md, made from the descriptions of the commands. Run as a program it writes the page; pages.test.ts
 * compares it.
 */
import { readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type CommandSpec, groupsOf, type Option } from "../../src/command-line/command.ts";
import { ROOT } from "./pages.ts";

export const OPTIONS = "docs/reference/options.md";

const DESCRIPTIONS = join(ROOT, "src/command-line");
const ORDER = ["copy", "intercept", "record", "doctor", "report", "top", "reload", "config", "key"];

/** Every command that is described as data, by name; those that users meet first come first. */
export async function readSpecs(): Promise<Map<string, CommandSpec>> {
  const specs: CommandSpec[] = [];
  for (const file of readdirSync(DESCRIPTIONS, { recursive: true, encoding: "utf8" }).filter((name) =>
    name.endsWith(".ts"),
  )) {
    for (const value of Object.values(await import(join(DESCRIPTIONS, file)))) {
      const spec = value as Partial<CommandSpec> | null;
      if (typeof spec === "object" && spec?.summary && spec.groups && spec.examples)
        specs.push(spec as CommandSpec);
    }
  }
  const place = ({ name }: CommandSpec) => (ORDER.includes(name) ? ORDER.indexOf(name) : ORDER.length);
  specs.sort((one, other) => place(one) - place(other) || (one.name < other.name ? -1 : 1));
  return new Map(specs.map((spec) => [spec.name, spec]));
}

const cell = (text: string) => text.replaceAll("|", "\\|").replaceAll("<", "&lt;");

function row({ name, short, value, choices, multiple, help }: Option): string {
  const shown = choices ? ` [${value}]` : value ? ` ${value}` : "";
  const names = [...(short ? [`-${short}`] : []), `--${name}${shown}`].map((text) => `\`${text}\``);
  return `| ${cell(names.join(", "))} | ${cell(help)}${multiple ? "; may be repeated" : ""} |`;
}

function section(spec: CommandSpec): string[] {
  const examples = spec.examples.map(([line, effect]) => `| \`${cell(line)}\` | ${cell(effect)} |`);
  const { operand } = spec;
  const groups = spec.name === "doctor" ? {} : groupsOf(spec);
  return [
    `## xcopy ${spec.name}`,
    "",
    `${spec.summary}.`,
    "",
    "| for example | |",
    "|---|---|",
    ...examples,
    ...(operand ? [`| \`${cell(operand.value)}\` | ${cell(operand.help)} |`] : []),
    "",
    ...(spec.name === "doctor"
      ? ["It takes every option of [xcopy copy](#xcopy-copy); `--json` is its own.", ""]
      : []),
    ...Object.entries(groups).flatMap(([title, options]) => [
      `### ${spec.name}: ${title}`,
      "",
      "| option | |",
      "|---|---|",
      ...options.map(row),
      "",
    ]),
  ];
}

/** The text of the page. */
export function renderOptions(specs: Map<string, CommandSpec>): string {
  return [
    "<!-- Made by test/docs/reference.ts from src/command-line: change the texts there. -->",
    "# Options",
    "",
    "Every option of every command, as `--help` has them. `xcopy COMMAND --help` says the same of the version that is installed.",
    "",
    ...[...specs.values()].flatMap(section),
  ]
    .join("\n")
    .trimEnd()
    .concat("\n");
}

if (import.meta.main) writeFileSync(join(ROOT, OPTIONS), renderOptions(await readSpecs()));
