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

/** All option words of a command. */
export function allWords(spec: CommandSpec): string[] {
  return optionsOf(spec).flatMap(wordsOf);
}

/** In single quotes for a shell. */
export function quoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

/** Shell commands that print the processes of running copies, one a line, as src/host/top-sockets.ts finds them. */
export const RUNNING = "/run/xcopy/top-*.sock /dev/shm/xcopy-*/top-*.sock";
/** A sed program that prints the names of tables such as [copy.shop]. */
export const SECTIONS = "s/^[[:space:]]*\\[[a-z]*\\.\\([^].]*\\)\\].*/\\1/p";
