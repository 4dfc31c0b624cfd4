/**
 * libbpf and what it needs, carried in the executable for hosts without a libbpf. `bin/build` puts the libraries of the
 * architecture it builds for under dist/lib; run from source, where they may be missing, the host's are used.
 */
import { readFileSync } from "node:fs";
import type { CarriedLibrary } from "../native/libbpf.ts";

/** The paths inside the executable; `process.arch` is a constant there, so that only one side gets in. */
function paths(): Promise<{ default: string }[]> {
  const file = { with: { type: "file" } };
  return process.arch === "arm64"
    ? Promise.all([
        import("../../dist/lib/arm64/libz.so.1", file),
        import("../../dist/lib/arm64/libzstd.so.1", file),
        import("../../dist/lib/arm64/libelf.so.1", file),
        import("../../dist/lib/arm64/libbpf.so.1", file),
      ])
    : Promise.all([
        import("../../dist/lib/x64/libz.so.1", file),
        import("../../dist/lib/x64/libzstd.so.1", file),
        import("../../dist/lib/x64/libelf.so.1", file),
        import("../../dist/lib/x64/libbpf.so.1", file),
      ]);
}

/** Read anew at each call; libraries that others of the list need come first. */
export async function carriedLibraries(): Promise<CarriedLibrary[]> {
  const found = await paths().catch(() => []);
  const names = ["libz.so.1", "libzstd.so.1", "libelf.so.1", "libbpf.so.1"];
  return found.map(({ default: path }, index) => ({ name: names[index]!, bytes: readFileSync(path) }));
}
