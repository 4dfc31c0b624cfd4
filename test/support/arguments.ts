/** The command lines of what a person runs: the tests, the search for inputs, the kills. */
import { type ParseArgsOptionsConfig, parseArgs } from "node:util";

/** Ends this process for a mistake of its user. */
export function refuse(message: string, fix: string): never {
  console.error(`${message}\n${fix}`);
  process.exit(2);
}

/** The options and words of this process; a mistake ends it, as that `what` cannot be done. */
export function readArguments<const T extends ParseArgsOptionsConfig>(
  what: string,
  usage: string,
  options: T,
) {
  try {
    return parseArgs({ args: process.argv.slice(2), allowPositionals: true, options });
  } catch (error) {
    return refuse(`Cannot ${what}: ${(error as Error).message.split(". ")[0]}`, usage);
  }
}
