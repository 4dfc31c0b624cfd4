/** Programs that are made of instructions, not of an object file. */
import { pointerTo } from "../libc.ts";
import { lib, memory, text } from "./libbpf.ts";
import { BPF_XDP } from "./link.ts";
import { loadFailure, SHORT_LOG, textIn, WHOLE_LOG } from "./load-log.ts";

const BPF_F_XDP_HAS_FRAGS = 32;
const BPF_PROG_TYPE_SCHED_CLS = 3;
const BPF_PROG_TYPE_XDP = 6;

/**
 * Loads a program given as eBPF instructions (struct bpf_insn, 8 bytes each) and returns its descriptor. For XDP, `attachType`
 * "xdp" is that of SEC("xdp") in libbpf, and `frags` makes a program for packets in several buffers (Linux 5.18), as
 * SEC("xdp.frags"). Throws a Failure: 4 without privilege, 5 where the verifier refuses it.
 */
export function loadProgram(
  kind: "tc" | "xdp",
  name: string,
  instructions: Uint8Array,
  attachType: "xdp" | "none" = "none",
  frags = false,
): number {
  const load = ({ level, bytes }: { level: number; bytes: number }) => {
    const log = new Uint8Array(new ArrayBuffer(bytes));
    const options = memory(104); // struct bpf_prog_load_opts
    options.setBigUint64(0, 104n, true);
    options.setInt32(12, attachType === "xdp" ? BPF_XDP : 0, true);
    options.setUint32(20, frags ? BPF_F_XDP_HAS_FRAGS : 0, true);
    options.setUint32(88, level, true);
    options.setUint32(92, bytes, true);
    pointerTo(options, 96, log);
    const result = lib.bpf_prog_load(
      kind === "tc" ? BPF_PROG_TYPE_SCHED_CLS : BPF_PROG_TYPE_XDP,
      text(name),
      text("Dual BSD/GPL"),
      instructions,
      instructions.length / 8,
      new Uint8Array(options.buffer),
    );
    return { result, log: textIn(log) };
  };
  const { result, log } = load(SHORT_LOG);
  if (result >= 0) return result;
  throw loadFailure("program", name, -result, log, () => load(WHOLE_LOG).log);
}
