/** `xcopy man`: writes the manual pages. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { COMMANDS } from "../command-line/commands.ts";
import { strictCommand } from "../command-line/reading/arguments.ts";
import { MAN } from "../command-line/shell.ts";
import { configurationPage } from "../manual/configuration.ts";
import { manualPages } from "../manual/pages.ts";

export default strictCommand(MAN, (args) => {
  const directory = args.get("directory")?.[0];
  const pages = manualPages();
  if (directory === undefined) return console.log(pages.get("xcopy.1"));
  mkdirSync(directory, { recursive: true });
  pages.set("xcopy.toml.5", configurationPage(Object.values(COMMANDS)));
  for (const [name, text] of pages) writeFileSync(join(directory, name), `${text}\n`);
});
