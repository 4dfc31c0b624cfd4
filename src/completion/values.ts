/** What the three scripts have in common: which options take values, and which. */
import type { CommandSpec, Option, Values } from "../command-line/command.ts";
import { optionsOf } from "../command-line/command.ts";

/** What a script is made for; "xcopy" unless it is called otherwise. */
export const HEADER = (shell: string) =>
  `# ${shell} completion of xcopy, made by "xcopy completion ${shell}".`;

/** The values of an option; null: it takes none. */
export function valuesOf({ values, choices }: Option): Values | null {
  return values ?? choices ?? null;
}

/** An option as its words: `-x`, `--transfer`. */
export function wordsOf({ name, short }: Option): string[] {
  return short ? [`-${short}`, `--${name}`] : [`--${name}`];
}

/** What may stand before a word of a value: the comma of a list, and what ends `PORT=`; empty: nothing. */
export function separatorsOf({ value, values, multiple }: Option): "" | "," | ",=" {
  if (value?.startsWith("[PORT=]")) return ",=";
  return multiple || values === "cpus" ? "," : "";
}

/** What a command takes beside options, each by its number: what it is, and the first words behind which it does not stand. */
export function operandsOf({ operand }: CommandSpec): { values: Values; not: readonly string[] }[] {
  if (!operand) return [];
  const { values, further = values, alone = [], most = 1 } = operand;
  return Array.from({ length: most }, (_, index) =>
    index === 0 ? { values, not: [] } : { values: further, not: alone },
  );
}

/** The options of a command behind which a word must be their value, as words. */
export function valuedWords(spec: CommandSpec): string[] {
  return optionsOf(spec).flatMap((option) => (option.values === undefined ? [] : wordsOf(option)));
}

/** In single quotes for a shell. */
export function quoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

/** Shell commands that print the processes of running copies, one a line, as src/host/top-sockets.ts finds them. */
export const RUNNING = "/run/xcopy/top-*.sock /dev/shm/xcopy-*/top-*.sock";
/** A sed program that prints the names of tables such as [copy.shop]; TABLE stands for "copy". */
export const SECTIONS = "s/^[[:space:]]*\\[[[:space:]]*TABLE\\.\\([^][:space:].]*\\)[[:space:]]*\\].*/\\1/p";
/** What that is looked for of a command; xcopy config looks into all. */
export const tableOf = ({ table }: CommandSpec) => table ?? "[a-z]*";
