/** A filter in front of another BPF program, in the kernel. */
import { bpfFailure, createProgramArray, loadProgram, openLibbpf, setProgram } from "../native/bpf/libbpf.ts";
import { EINVAL, libc } from "../native/libc.ts";
import { type ProgramKind, translate } from "./translate.ts";

export interface FilterProgramOptions {
  kind: ProgramKind;
  /** As in Filter; `{ kind, target, ...filter }` will do. */
  instructions: Uint8Array;
  /** As in Filter; default false. */
  wantsTag?: boolean;
  /** XDP: whether the target takes packets in several buffers (SEC("xdp.frags")); default false. */
  frags?: boolean;
  /** Descriptor of the program that runs for a match; not needed any more when this has returned. */
  target: number;
}

export interface FilterProgram {
  /** Descriptor of the program to attach. */
  readonly fd: number;
  /**
   * All descriptors that must stay open, here or in another process, for as long as the program is to run the target: when
   * the last one of the array between them is closed the kernel empties it, and everything passes. Close-on-exec.
   */
  readonly descriptors: readonly number[];
  /** Closes them; a program that is attached then passes everything. */
  close(): void;
}

/**
 * Loads a program that runs `target` for the packets that match, which decides about them, and returns TCX_NEXT (tc) or
 * XDP_PASS (XDP) for the others. Throws a Failure: 2 for a filter that is too long, 4 without privilege, 5 where the kernel
 * cannot: an XDP filter that loads from computed offsets, as those with ports do, or has `len`, needs Linux 5.18.
 */
export function loadFilterProgram(options: FilterProgramOptions): FilterProgram {
  const { kind, instructions, wantsTag = false, frags = false, target } = options;
  openLibbpf();
  // Linux 6.18 has a program call only those of its own attach type, and does not tell what that is.
  const attachTypes = kind === "xdp" ? (["xdp", "none"] as const) : (["none"] as const);
  let code = 0;
  for (const attachType of attachTypes) {
    const array = createProgramArray();
    let fd = -1;
    try {
      fd = loadProgram(
        kind,
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
