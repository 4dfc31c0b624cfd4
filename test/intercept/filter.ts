/** A filter in front of the program that swallows: TCP over IPv4 from port 8080. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Filter } from "../../src/intercept/kernel.ts";
import { updateMap } from "../../src/native/bpf/create-map.ts";
import { BpfObject } from "../../src/native/bpf/object.ts";
import { command } from "../bpf/namespace.ts";

function compile(): Uint8Array {
  const directory = mkdtempSync(join(tmpdir(), "xcopy-filter-"));
  try {
    const include = `/usr/include/${process.arch === "arm64" ? "aarch64" : "x86_64"}-linux-gnu`;
    const source = join(import.meta.dir, "../support/filter.bpf.c");
    const object = join(directory, "filter.bpf.o");
    command("clang", "-O2", "-g", "-target", "bpf", "-idirafter", include, "-c", source, "-o", object);
    return new Uint8Array(readFileSync(object));
  } finally {
    rmSync(directory, { recursive: true });
  }
}

/** `program` is what it hands on to. */
export function loadFilter(kind: "tc" | "xdp", program: number): Filter {
  const object = new BpfObject("filter", compile());
  object.leaveOut(kind === "tc" ? "filter_xdp" : "filter_tc");
  object.load();
  const array = object.mapFd("programs");
  updateMap(array, new Uint8Array(4), new Uint8Array(Uint32Array.of(program).buffer));
  return { fd: object.programFd(`filter_${kind}`), descriptors: [array] };
}
