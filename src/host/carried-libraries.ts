/**
 * libbpf and the libraries that it needs, carried in the executable, so that it does not depend on the host's. `bin/libraries` puts those of the
 * target architecture into dist/lib. A run from source, where they may be missing, uses the host's.
 */
import { readFileSync } from "node:fs";
import type { CarriedLibrary } from "../native/carried.ts";

/** The paths inside the executable; `process.arch` is a constant in the build, so that only one of the two sets is included. */
function paths(): Promise<{ default: string }[]> {
  return process.arch === "arm64"
    ? Promise.all([
        import("../../dist/lib/arm64/libz.so.1", { with: { type: "file" } }),
        import("../../dist/lib/arm64/libzstd.so.1", { with: { type: "file" } }),
        import("../../dist/lib/arm64/libelf.so.1", { with: { type: "file" } }),
        import("../../dist/lib/arm64/libbpf.so.1", { with: { type: "file" } }),
      ])
    : Promise.all([
        import("../../dist/lib/x64/libz.so.1", { with: { type: "file" } }),
        import("../../dist/lib/x64/libzstd.so.1", { with: { type: "file" } }),
        import("../../dist/lib/x64/libelf.so.1", { with: { type: "file" } }),
        import("../../dist/lib/x64/libbpf.so.1", { with: { type: "file" } }),
      ]);
}

/** Each library after those that it needs, with one of its functions. */
const LIBRARIES: [name: string, symbol: string][] = [
  ["libz.so.1", "zlibVersion"],
  ["libzstd.so.1", "ZSTD_versionNumber"],
  ["libelf.so.1", "elf_version"],
  ["libbpf.so.1", "libbpf_major_version"],
];

/** Reads the libraries, at each call again; empty where there are none. */
export async function carriedLibraries(): Promise<CarriedLibrary[]> {
  const found = await paths().catch(() => []);
  return found.map(({ default: path }, index) => {
    const [name, symbol] = LIBRARIES[index]!;
    return { name, symbol, bytes: readFileSync(path) };
  });
}
