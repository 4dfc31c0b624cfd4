/** Writes the list of what an executable is made of to stdout. usage: SOURCE_DATE_EPOCH=SECONDS bun packaging/sbom/main.ts EXECUTABLE x64|arm64 VERSION */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { carriedLibraries, kernelPrograms, npmComponents } from "./components.ts";
import { describe } from "./sbom.ts";

const TOP = join(import.meta.dir, "../..");
const [executable, architecture, version] = process.argv.slice(2) as [string, "x64" | "arm64", string];
const carried = carriedLibraries(TOP, architecture);
const document = describe({
  version,
  architecture,
  time: Number(process.env.SOURCE_DATE_EPOCH),
  components: [...npmComponents(TOP), ...carried.components],
  files: [
    { name: "./usr/bin/xcopy", bytes: readFileSync(executable), license: "BSD-3-Clause" },
    ...kernelPrograms(TOP),
    ...carried.files,
  ],
});
console.log(JSON.stringify(document, null, 2));
