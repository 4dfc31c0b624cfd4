/** Finds the command that was called, runs it, and turns an error into a message and an exit code. */
import { basename } from "node:path";
import { type CommandDef, runCommand } from "citty";
import { HELP, type Option, VERSION } from "../command-line/command.ts";
import { COMMANDS } from "../command-line/commands.ts";
import { COPY } from "../command-line/copy.ts";
import { renderOverview, renderVersion } from "../command-line/reading/help.ts";
import { CONFIGURED, textOrNull } from "../command-line/reading/load.ts";
import { asksForJson } from "../command-line/reading/logging.ts";
import { suggest } from "../command-line/reading/suggest.ts";
import { fromIntercept, fromTcpcopy } from "../command-line/reading/tcpcopy.ts";
import { say, setStyle } from "../host/log/style.ts";
import { Failure, failureOfFile } from "../native/failure.ts";

type Loader = () => Promise<CommandDef>;

/** By the name that the executable is called as: translates a command line of tcpcopy or intercept 1.x into ours. */
const CALLED_AS: Record<string, (words: string[]) => string[]> = {
  tcpcopy: (words) => ["copy", ...fromTcpcopy(COPY, words)],
  intercept: (words) => ["intercept", ...fromIntercept(words)],
};

/** Commands that other programs have, and what does that here. */
const ELSEWHERE = new Map([
  ["status", '"xcopy top --once" shows what runs.'],
  ["compare", '"xcopy copy --compare" compares responses, "xcopy report OLD.json NEW.json" two runs.'],
  ["help", '"xcopy COMMAND --help" lists all options of a command.'],
]);

function isOption(word: string | undefined, { name, short }: Option): boolean {
  return word === `--${name}` || word === `-${short}`;
}

function overview(tree: CommandDef, isShort: boolean): string {
  const { description } = tree.meta as { description: string };
  return renderOverview({ summary: description, commands: Object.values(COMMANDS), isShort });
}

function refuse(word: string, commands: string[]): Failure {
  const there = `There are: ${commands.join(", ")}. "xcopy --help" says more.`;
  if (word.startsWith("-")) {
    return new Failure(`Cannot use option "${word}": it stands before any command`, there, 2);
  }
  const near = suggest(word, commands);
  const meant = ELSEWHERE.get(word) ?? (near && `Did you mean "${near}"?`);
  const fix = meant ? `${meant} ${there}` : there;
  return new Failure(`Cannot run "${word}": there is no such command`, fix, 2);
}

/** Runs what the words ask for. Throws a Failure for what does not exist. */
async function dispatch(tree: CommandDef, words: string[]): Promise<void> {
  const commands = tree.subCommands as Record<string, Loader>;
  const names = Object.keys(commands);
  const [first] = words;
  if (isOption(first, HELP)) return console.log(overview(tree, first === `-${HELP.short}`));
  if (isOption(first, VERSION)) return console.log(renderVersion());
  if (first === undefined) {
    console.error(overview(tree, true));
    process.exitCode = 2;
    return;
  }
  if (!names.includes(first)) throw refuse(first, names);
  await runCommand(tree, { rawArgs: words });
}

/** A Failure is printed in two lines, cause and fix; any other error is a bug and is printed with its stack. */
function explain(error: unknown): string {
  if (error instanceof Failure) return `${error.message}\n${error.fix}`;
  const stack = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return `${stack}\nThis is a bug in ${renderVersion()}: please report it with the lines above.`;
}

/**
 * The whole program: `calledAs` is argv 0, `words` what follows. Ends the process, with 0 or the exit code of a Failure,
 * 1 for a bug.
 */
export async function runTree(tree: CommandDef, calledAs: string, words: string[]): Promise<never> {
  const translate = CALLED_AS[basename(calledAs)];
  const read =
    translate !== undefined || CONFIGURED.some(({ name }) => name === words[0]) ? textOrNull : undefined;
  setStyle({ command: words[0] ?? "", format: asksForJson(words, process.env, read) ? "json" : "text" });
  for (const event of ["uncaughtException", "unhandledRejection"] as const) {
    process.on(event, (error: unknown) => {
      say("error", explain(error));
      process.exit(1);
    });
  }
  try {
    await dispatch(tree, translate ? translate(words) : words);
    process.exit(process.exitCode ?? 0);
  } catch (thrown) {
    const error = failureOfFile(thrown) ?? thrown;
    say("error", explain(error));
    process.exit(error instanceof Failure ? error.exitCode : 1);
  }
}
