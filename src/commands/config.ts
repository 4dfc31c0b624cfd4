/** `xcopy config`: checks or shows a configuration file, prints the schema. */

import { CONFIG } from "../command-line/config.ts";
import { strictCommand } from "../command-line/reading/arguments.ts";
import { suggest } from "../command-line/reading/suggest.ts";
import { Failure } from "../native/failure.ts";

const ACTIONS = ["check", "show", "schema"];

function refuseWord(word: string): never {
  const near = suggest(word, ACTIONS);
  const there = 'There are: "xcopy config check FILE", "xcopy config show FILE" and "xcopy config schema".';
  const cause = "there is no such command";
  throw new Failure(
    `Cannot run "config ${word}": ${cause}`,
    near ? `Did you mean "${near}"? ${there}` : there,
    2,
  );
}

async function check(path: string): Promise<void> {
  const { checkFile } = await import("../configuration/check.ts");
  const { problems, contents } = checkFile(path, process.cwd());
  if (problems.length === 0) {
    console.log(`${path}: ${contents}`);
    return;
  }
  for (const { message, fix } of problems) console.error(`${message}\n${fix}`);
  process.exitCode = 2;
}

export default strictCommand(CONFIG, async (args) => {
  const [action, path, only] = [...args.get("words")!, undefined].slice(0, 2).concat(args.get("only")?.[0]);
  if (!ACTIONS.includes(action!)) refuseWord(action!);
  if (only !== undefined && action !== "show") {
    throw new Failure(`Cannot use --only "${only}": it is for "xcopy config show"`, "Leave it out.", 2);
  }
  if (action === "schema") {
    if (path !== undefined)
      throw new Failure(`Cannot use "${path}": the schema is the same for all files`, "Leave it out.", 2);
    const { configurationSchema } = await import("../configuration/schema.ts");
    console.log(JSON.stringify(configurationSchema(), null, 2));
    return;
  }
  if (path === undefined)
    throw new Failure(
      `Cannot run "config ${action}": it needs a file`,
      `Write it as "xcopy config ${action} FILE".`,
      2,
    );
  if (action === "check") return await check(path);
  const { showFile } = await import("../configuration/show.ts");
  const { text, warnings } = showFile(path, only, process.env, process.cwd());
  for (const warning of warnings) console.error(`warning: ${warning}`);
  console.log(text);
});
