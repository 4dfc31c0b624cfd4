/** Command lines of tcpcopy 1.x where they differ from ours. */
import { type CommandSpec, groupsOf } from "./command.ts";

/** Its -g takes no value and always means this many seconds. */
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

/** The words of an intercept command line as words of ours: whoever calls it so has a tcpcopy on the other side. */
export function fromIntercept(words: readonly string[]): string[] {
  return words.includes("--compat") ? [...words] : ["--compat", ...words];
}
