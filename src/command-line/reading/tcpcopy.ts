/** Translates command lines of tcpcopy and intercept 1.x into those of xcopy. */
import { basename } from "node:path";
import { type CommandSpec, groupsOf } from "../command.ts";

/** Whether argv 0 asks for the command line of tcpcopy or intercept 1.x. */
export function isUpstreamName(calledAs: string): boolean {
  return ["tcpcopy", "intercept"].includes(basename(calledAs));
}

/** tcpcopy's -g takes no value and always means this many seconds. */
const GRADUAL_SECONDS = "100";

/**
 * The words of a tcpcopy command line as words of ours: a -g without a number behind it, alone or last of several letters
 * (`-Wg`), gets tcpcopy's 100 s.
 */
export function fromTcpcopy(spec: CommandSpec, words: readonly string[]): string[] {
  const switches = Object.values(groupsOf(spec))
    .flat()
    .flatMap(({ short, value }) => (short && value === undefined ? [short] : []));
  const gradual = new RegExp(`^-[${switches.join("")}]*g$`);
  return words.map((word, index) =>
    gradual.test(word) && !/^[0-9]/.test(words[index + 1] ?? "") ? word + GRADUAL_SECONDS : word,
  );
}

/**
 * The words of an intercept 1.x command line as words of ours: with --compat, as the other side is a tcpcopy, and from everywhere, as
 * such a command line does not say where it runs.
 */
export function fromIntercept(words: readonly string[]): string[] {
  const compat = words.includes("--compat") ? [] : ["--compat"];
  const isNamed = words.some((word) => /^--compat-from(=|$)/.test(word));
  return [...compat, ...(isNamed ? [] : ["--compat-from", "0.0.0.0/0,::/0"]), ...words];
}
