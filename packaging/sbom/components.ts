/** Finds what goes into an executable: in package-lock.json, in dist/lib and in dist/bpf. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Component, FileOf } from "./sbom.ts";

interface Locked {
  version: string;
  license?: string;
  integrity?: string;
  dev?: boolean;
}

/** Licences of the carried libraries, by the names of Debian's sources. */
const LICENSES: Record<string, string> = {
  libbpf: "LGPL-2.1-only OR BSD-2-Clause",
  elfutils: "GPL-2.0-or-later OR LGPL-3.0-or-later",
  zlib: "Zlib",
  libzstd: "BSD-3-Clause OR GPL-2.0-only",
};

/** All npm packages that the program needs, and Bun, which it is compiled with. */
export function npmComponents(top: string): Component[] {
  const { packages } = JSON.parse(readFileSync(join(top, "package-lock.json"), "utf8")) as {
    packages: Record<string, Locked>;
  };
  const bundled = Object.entries(packages)
    .filter(([path, { dev }]) => path !== "" && !dev)
    .map(([path, locked]): [string, Locked] => [path.replace(/^.*node_modules\//, ""), locked]);
  return [
    ...bundled.map(([name, { version, license = "NOASSERTION", integrity }]) => ({
      name,
      version,
      license,
      purl: `pkg:npm/${name.replace(/^@/, "%40")}@${version}`,
      ...(integrity !== undefined && { integrity }),
    })),
    {
      name: "bun",
      version: packages["node_modules/bun"]!.version,
      license: "MIT AND LGPL-2.1-only",
      purl: `pkg:npm/bun@${packages["node_modules/bun"]!.version}`,
      comment: "The runtime, with JavaScriptCore (LGPL-2.1) and what its LICENSE.md lists.",
    },
  ];
}

/** The libraries that the executable carries, as bin/libraries has collected them; throws for one whose licence is not known here. */
export function carriedLibraries(
  top: string,
  architecture: string,
): { components: Component[]; files: FileOf[] } {
  const directory = join(top, "dist/lib", architecture);
  const carried = readFileSync(join(directory, "versions"), "utf8")
    .trim()
    .split("\n")
    .map((line) => {
      const [file, name, version] = line.split(" ") as [string, string, string];
      const license = LICENSES[name];
      if (license === undefined) throw new Error(`Cannot list "${name}": its licence is not known`);
      return { file, name, version, license };
    });
  return {
    components: carried.map(({ name, version, license }) => ({
      name,
      version,
      license,
      purl: `pkg:deb/debian/${name}@${encodeURIComponent(version)}?arch=source`,
    })),
    files: carried.map(({ file, license }) => ({
      name: `./carried/${architecture}/${file}`,
      bytes: readFileSync(join(directory, file)),
      license,
    })),
  };
}

/** The eBPF programs that the executable carries. */
export function kernelPrograms(top: string): FileOf[] {
  const directory = join(top, "dist/bpf");
  return readdirSync(directory)
    .filter((name) => name.endsWith(".bpf.o"))
    .sort()
    .map((name) => ({
      name: `./carried/${name}`,
      bytes: readFileSync(join(directory, name)),
      license: "GPL-2.0-only OR BSD-3-Clause",
    }));
}
