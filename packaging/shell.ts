/** Writes the manual pages and the completions below DIRECTORY, where Debian has them. usage: bun packaging/shell.ts DIRECTORY */
import { join } from "node:path";
import { COMMANDS } from "../src/command-line/commands.ts";
import { bashCompletion } from "../src/completion/bash.ts";
import { fishCompletion } from "../src/completion/fish.ts";
import { zshCompletion } from "../src/completion/zsh.ts";
import { configurationPage } from "../src/manual/configuration.ts";
import { manualPages } from "../src/manual/pages.ts";

const directory = join(process.argv[2]!, "usr/share");
const specs = Object.values(COMMANDS);
await Bun.write(join(directory, "bash-completion/completions/xcopy"), `${bashCompletion(specs)}\n`);
await Bun.write(join(directory, "zsh/vendor-completions/_xcopy"), `${zshCompletion(specs)}\n`);
await Bun.write(join(directory, "fish/vendor_completions.d/xcopy.fish"), `${fishCompletion(specs)}\n`);
const pages = manualPages().set("xcopy.toml.5", configurationPage(specs));
for (const [name, text] of pages) {
  // As gzip -9n has it: without a name and a time.
  await Bun.write(
    join(directory, `man/man${name.at(-1)}`, `${name}.gz`),
    Bun.gzipSync(`${text}\n`, { level: 9 }),
  );
}
