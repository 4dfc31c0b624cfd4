/**
 * Makes DIRECTORY/xcopy-VERSION.oci.tar, an OCI image layout.
 * usage: SOURCE_DATE_EPOCH=SECONDS bun packaging/oci/main.ts VERSION DIRECTORY x64|arm64=EXECUTABLE...
 */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { writeLayout } from "./layout.ts";

const [version, output, ...executables] = process.argv.slice(2) as [string, string, ...string[]];
const time = Number(process.env.SOURCE_DATE_EPOCH);
const scratch = mkdtempSync(join(tmpdir(), "xcopy-oci-"));
process.on("exit", () => rmSync(scratch, { recursive: true, force: true }));

function shell(...words: string[]): void {
  const { exitCode } = Bun.spawnSync(words, { stdio: ["ignore", "inherit", "inherit"] });
  if (exitCode !== 0) process.exit(1);
}

const platforms = executables.map((word) => {
  const [architecture, executable] = word.split("=") as ["x64" | "arm64", string];
  const layer = join(scratch, `${architecture}.tar`);
  shell(join(import.meta.dir, "root.sh"), executable, architecture, layer);
  return {
    architecture: ({ x64: "amd64", arm64: "arm64" } as const)[architecture],
    layer: readFileSync(layer),
  };
});
const layout = join(scratch, "layout");
writeLayout(layout, { version, time, platforms });
const same = [
  "--sort=name",
  `--mtime=@${time}`,
  "--owner=0",
  "--group=0",
  "--numeric-owner",
  "--format=ustar",
  "--mode=u=rwX,go=rX",
];
shell(
  "tar",
  "-C",
  layout,
  "--create",
  "--file",
  join(output, `xcopy-${version}.oci.tar`),
  ...same,
  "blobs",
  "index.json",
  "oci-layout",
);
