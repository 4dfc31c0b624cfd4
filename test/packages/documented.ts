/** The blocks of commands in the pages that are for a booted Debian, run at the moments that their fences name: `sh booted=start`. */

import { type Block, readPages, wordOf } from "../docs/pages.ts";
import type { Booted } from "../support/booted.ts";

const blocks = readPages().flatMap((page) => page.blocks.filter((block) => wordOf(block, "booted") !== null));
const followed = new Set<Block>();

/** Environment of the commands, and what stands for words that a reader has to fill in. */
export interface Circumstances {
  environment?: Record<string, string>;
  words?: Record<string, string>;
  /** Whether they ask for a terminal. */
  isTerminal?: boolean;
}

/** Does what the pages say for a moment; throws where a command fails, or where no page has that moment. */
export function follow(
  booted: Booted,
  moment: string,
  { environment = {}, words = {}, isTerminal = false }: Circumstances = {},
): void {
  const now = blocks.filter((block) => wordOf(block, "booted") === moment);
  if (now.length === 0) throw new Error(`No page has commands for "${moment}"`);
  for (const block of now) {
    const text = Object.entries(words).reduce((line, [word, is]) => line.replaceAll(word, is), block.text);
    const variables = Object.entries(environment).map(([name, value]) => `${name}=${value}`);
    try {
      const shell = ["bash", "-euo", "pipefail"];
      if (isTerminal)
        booted.run(
          "env",
          ...variables,
          "script",
          "-qec",
          `${shell.join(" ")} <<'END'\n${text}\nEND`,
          "/dev/null",
        );
      else booted.run("env", ...variables, ...shell, "-c", text);
    } catch (error) {
      throw new Error(`${block.place}: ${(error as Error).message}`);
    }
    followed.add(block);
  }
}

/** Where the pages have commands for moments that have not come. */
export const unfollowed = (): string[] =>
  blocks.filter((block) => !followed.has(block)).map(({ place }) => place);
