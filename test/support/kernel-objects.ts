/** The BPF programs, links and maps that a process has in the kernel, and which of them are still there after it. */
import { dlopen, FFIType } from "bun:ffi";
import { readdirSync, readFileSync } from "node:fs";

const next = { args: [FFIType.u32, FFIType.ptr], returns: FFIType.i32 } as const;
const { symbols } = dlopen("libbpf.so.1", {
  bpf_prog_get_next_id: next,
  bpf_link_get_next_id: next,
  bpf_map_get_next_id: next,
});
const NEXT = {
  prog: symbols.bpf_prog_get_next_id,
  link: symbols.bpf_link_get_next_id,
  map: symbols.bpf_map_get_next_id,
};

export interface KernelObject {
  kind: keyof typeof NEXT;
  id: number;
}

/** From the open files of the process; `proc` is where its number is one of a process. */
export function kernelObjects(pid: number, proc = "/proc"): KernelObject[] {
  const directory = `${proc}/${pid}/fdinfo`;
  return readdirSync(directory).flatMap((fd) => {
    const text = readFileSync(`${directory}/${fd}`, "utf8");
    // The files of a link name its program too, which counts as held as well.
    return [...text.matchAll(/^(prog|link|map)_id:\s+(\d+)/gm)].map((match) => ({
      kind: match[1] as KernelObject["kind"],
      id: Number(match[2]),
    }));
  });
}

/**
 * Those of the objects that still exist. None is opened for it, as bpftool would: the last close of a program array makes the
 * kernel empty it, and a second one before that is done costs it a reference for good (prog_array_map_clear).
 */
export function stillThere(objects: KernelObject[]): string[] {
  const found = new Uint32Array(1);
  return objects
    .filter(({ kind, id }) => NEXT[kind](id - 1, found) === 0 && found[0] === id)
    .map(({ kind, id }) => `${kind} ${id}`);
}
