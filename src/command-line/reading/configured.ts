/** Commands that take their options from a configuration file and the environment too. */
import type { CommandDef } from "citty";
import { say } from "../../host/log/style.ts";
import type { CommandSpec } from "../command.ts";
import { wordsCommand } from "./arguments.ts";
import type { Environment } from "./environment.ts";
import { type LoadedArguments, load, loadRuns, type Run } from "./load.ts";
import { withOrigin } from "./origin.ts";
import { isUpstreamName } from "./tcpcopy.ts";

/** What a run is told besides its options. */
export interface Source {
  /** Reads them anew; null: they are all from the command line, and so would be the same. */
  again: (() => LoadedArguments) | null;
}

/** Several runs of one file. */
export interface Several {
  runs: readonly Run[];
  /** Those of the command line. */
  words: readonly string[];
  /** Reads them anew. Throws a Failure. */
  again(): readonly Run[];
}

/** Called as tcpcopy or intercept, the program does what that would do: nothing else than the command line changes it. */
function environmentOf(calledAs: string): Environment {
  return isUpstreamName(calledAs) ? {} : process.env;
}

/**
 * A citty command whose options come from its command line, the environment and the file of --config. Errors about their values say where
 * those come from. Where the file has several runs, `runAll` gets them, with the words of the command line; without it that is an error.
 */
export function configuredCommand(
  spec: CommandSpec,
  run: (args: LoadedArguments, source: Source) => Promise<void> | void,
  runAll?: (several: Several) => Promise<void> | void,
): CommandDef {
  return wordsCommand(spec, async (words) => {
    const environment = environmentOf(process.argv0);
    const directory = process.cwd();
    const { runs, warnings } = loadRuns(spec, words, environment, directory);
    for (const warning of warnings) say("warning", warning);
    if (runs.length > 1 && runAll) {
      const again = () => loadRuns(spec, words, environment, directory).runs;
      return await runAll({ runs, words, again });
    }
    const again = () => load(spec, words, environment, directory);
    const args = runs.length > 1 ? again() : runs[0]!.args;
    try {
      await run(args, { again: args.has("config") ? again : null });
    } catch (error) {
      throw withOrigin(error, spec, args.settings);
    }
  });
}
