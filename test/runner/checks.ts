/** What is checked of the text of the project: format, lint, types. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

export interface Check {
  name: string;
  command: string[];
}

/** The checks of the checkout in `top`. */
export function checksOf(top: string): Check[] {
  const packaging = ["", "/deb", "/rpm", "/oci"].map((room) => `packaging${room}`);
  const shell = filesIn(
    top,
    ["bin", ".ci", "test/runner", "test/kernels", "test/service", "test/support", ...packaging, "."],
    (path) => /^#!.*[ /](ba)?sh\n/.test(readFileSync(path, "utf8")),
  );
  const programs = readdirSync(join(top, "bpf"), { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => `bpf/${name}`);
  const c = filesIn(top, [...programs, "test/support"], (path) => /\.[ch]$/.test(path));
  const biome = ["check", "--diagnostic-level=warn", "--error-on-warnings", "--colors=off", "."];
  return [
    { name: "biome: format and lint", command: ["node_modules/.bin/biome", ...biome] },
    { name: "tsc: types", command: ["node_modules/.bin/tsc", "--noEmit"] },
    {
      name: "tsc: types of the page",
      command: ["node_modules/.bin/tsc", "--noEmit", "-p", "src/report/page"],
    },
    { name: `shellcheck: ${shell.length} scripts`, command: ["shellcheck", ...shell] },
    {
      name: `clang-format: ${c.length} files in C`,
      command: ["clang-format", "--dry-run", "--Werror", ...c],
    },
  ];
}

function filesIn(top: string, directories: string[], fits: (path: string) => boolean): string[] {
  return directories.flatMap((directory) =>
    readdirSync(join(top, directory), { withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map(({ name }) => join(top, directory, name))
      .filter(fits),
  );
}

/** Runs a check in `top`; what it said if it failed, null if all is well. */
export async function runCheck(top: string, { command }: Check): Promise<string | null> {
  const child = Bun.spawn(command, { cwd: top, stdin: "ignore", stdout: "pipe", stderr: "pipe" });
  const [status, output, errors] = await Promise.all([
    child.exited,
    child.stdout.text(),
    child.stderr.text(),
  ]);
  return status === 0 ? null : output + errors;
}
