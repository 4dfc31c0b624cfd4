/** `xcopy reload`: asks a running copy to read its configuration again, and prints what became of it. */
import { strictCommand } from "../command-line/reading/arguments.ts";
import { RELOAD } from "../command-line/top.ts";

export default strictCommand(RELOAD, async (args) => {
  const { reload } = await import("../top/reload.ts");
  process.exitCode = await reload(args.get("copy")?.[0] ?? null);
});
