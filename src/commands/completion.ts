/** `xcopy completion`: prints the completions for a shell. */
import { COMMANDS } from "../command-line/commands.ts";
import { strictCommand } from "../command-line/reading/arguments.ts";
import { COMPLETION } from "../command-line/shell.ts";
import { bashCompletion } from "../completion/bash.ts";
import { fishCompletion } from "../completion/fish.ts";
import { zshCompletion } from "../completion/zsh.ts";
import { Failure } from "../native/failure.ts";

const SCRIPTS = new Map([
  ["bash", bashCompletion],
  ["zsh", zshCompletion],
  ["fish", fishCompletion],
]);

export default strictCommand(COMPLETION, (args) => {
  const shell = args.get("shell")![0]!;
  const script = SCRIPTS.get(shell);
  if (!script) {
    throw new Failure(`Cannot complete for "${shell}": no such shell is known`, "Give bash, zsh or fish.", 2);
  }
  console.log(script(Object.values(COMMANDS)));
});
