/** Loads a filter in front of another BPF program: a program that runs that one for the packets that match. */

import { createProgramArray, setProgram } from "../native/bpf/create-map.ts";
import { bpfFailure } from "../native/bpf/errors.ts";
import { openLibbpf } from "../native/bpf/libbpf.ts";
import { loadProgram } from "../native/bpf/program.ts";
import { EINVAL, libc } from "../native/libc.ts";
import type { ProgramKind } from "./access.ts";
import { translate } from "./translate.ts";

export interface FilterProgramOptions {
  kind: ProgramKind;
  /** As in Filter: `{ kind, target, ...filter }` are valid options. */
  instructions: Uint8Array;
  /** As in Filter; default false. */
  wantsTag?: boolean;
  /** `xdp`: whether the target takes packets in several buffers (SEC("xdp.frags")); default false. */
  frags?: boolean;
  /** Descriptor of the program that runs for a match; the caller may close it after `loadFilterProgram`. */
  target: number;
}

export interface FilterProgram {
  /** Descriptor of the program to attach. */
  readonly fd: number;
  /**
   * All descriptors that must stay open, here or in another process, as long as the filter is attached. One is that of the
   * program array with the target: when the last descriptor of it is closed, the kernel empties the array, and everything
   * passes. Close-on-exec.
   */
  readonly descriptors: readonly number[];
  /** Closes them; a program that is attached then passes everything. */
  close(): void;
}

/**
 * Loads a program that runs `target` for the packets that match, and returns TCX_NEXT (tc) or XDP_PASS (XDP) for the others.
 * For a match the verdict is that of `target`. Throws a Failure: 2 for a filter that is too long, 4 without privilege, 5 where
 * the kernel cannot. A filter of kind `xdp` that loads from computed offsets, as those with ports do, or has `len`, needs Linux
 * 5.18.
 */
export function loadFilterProgram(options: FilterProgramOptions): FilterProgram {
  const { kind, instructions, wantsTag = false, frags = false, target } = options;
  openLibbpf();
  // Since Linux 6.18 a program can call only programs of its own attach type. That of `target` cannot be read, so both are tried.
  const attachTypes = kind === "tc" ? (["none"] as const) : (["xdp", "none"] as const);
  let code = 0;
  for (const attachType of attachTypes) {
    const array = createProgramArray();
    let fd = -1;
    try {
      fd = loadProgram(
        kind === "tc" ? "tc" : "xdp",
        "xcopy_filter",
        translate({ kind, instructions, wantsTag, programs: array }),
        attachType,
        frags,
      );
      code = -setProgram(array, target);
      if (code === 0) {
        const descriptors = [fd, array];
        return {
          fd,
          descriptors,
          close() {
            for (const each of descriptors.splice(0)) libc.close(each);
          },
        };
      }
    } finally {
      if (code !== 0 || fd < 0) {
        libc.close(array);
        if (fd >= 0) libc.close(fd);
      }
    }
    if (code !== EINVAL) break;
  }
  throw bpfFailure("put a filter in front of a BPF program", code);
}
