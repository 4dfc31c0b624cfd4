/** `xcopy top`: reads the options, shows what runs. */
import { strictCommand } from "../command-line/reading/arguments.ts";
import { TOP } from "../command-line/top.ts";
import { Failure } from "../native/failure.ts";

/** A process id as written. Throws a Failure (exit code 2). */
function parsePid(text: string): number {
  if (/^[1-9][0-9]{0,9}$/.test(text)) return Number(text);
  throw new Failure(
    `Cannot use "${text}": not a process id`,
    'Give the number that "xcopy top" shows, or nothing for all copies.',
    2,
  );
}

export default strictCommand(TOP, async (args) => {
  const pid = args.get("pid")?.[0];
  const options = {
    pid: pid === undefined ? null : parsePid(pid),
    once: args.has("once"),
    json: args.has("json"),
  };
  await (await import("../top/run.ts")).runTop(options);
});
