/** Decodes classic BPF instructions (linux/bpf_common.h), and finds what the kernel would refuse. */

export interface Instruction {
  kind: (typeof KINDS)[number];
  code: number;
  /** How many instructions a conditional jump skips. */
  whenTrue: number;
  whenFalse: number;
  /** 32 bits, unsigned. */
  k: number;
}

const KINDS = ["ld", "ldx", "st", "stx", "alu", "jmp", "ret", "misc"] as const;
const SIZES: Record<number, 1 | 2 | 4> = { 0: 4, 8: 2, 16: 1 };
const MODES = ["imm", "abs", "ind", "mem", "len", "msh"] as const;
const INSTRUCTION_BYTES = 8;

/** Operation of an unconditional jump. */
export const JUMP_ALWAYS = 0x00;

/** Decodes struct bpf_insn (pcap/bpf.h), 8 bytes each in host order. */
export function decode(instructions: Uint8Array): Instruction[] {
  const view = new DataView(instructions.buffer, instructions.byteOffset, instructions.length);
  return Array.from({ length: instructions.length / INSTRUCTION_BYTES }, (_, index) => {
    const at = index * INSTRUCTION_BYTES;
    const code = view.getUint16(at, true);
    return {
      kind: KINDS[code & 7]!,
      code,
      whenTrue: view.getUint8(at + 2),
      whenFalse: view.getUint8(at + 3),
      k: view.getUint32(at + 4, true),
    };
  });
}

/** The addressing mode of a load. */
export function modeOf(code: number): (typeof MODES)[number] | undefined {
  return MODES[(code & 0xe0) >> 5];
}

/** How many bytes of the packet a load reads. */
export function sizeOf(code: number): 1 | 2 | 4 | undefined {
  return SIZES[code & 0x18];
}

/** Indexes of the instructions that may follow the one at `index`; jumps go forward only. */
function successors({ kind, code, whenTrue, whenFalse, k }: Instruction, index: number): number[] {
  if (kind === "ret") return [];
  if (kind !== "jmp") return [index + 1];
  return (code & 0xf0) === JUMP_ALWAYS ? [index + 1 + k] : [index + 1 + whenTrue, index + 1 + whenFalse];
}

/** Indexes of the reachable instructions. */
export function reachable(program: Instruction[]): Set<number> {
  const reached = new Set([0]);
  for (const [index, instruction] of program.entries()) {
    if (!reached.has(index)) continue;
    for (const next of successors(instruction, index)) reached.add(next);
  }
  return reached;
}

/** Loads from this offset on read what Linux knows about a packet: SKF_AD_OFF of linux/filter.h, as 32 bits. */
const NOT_IN_PACKET = 0xfffff000;

/** Why a filter cannot run in front of a program, and what to do about it. */
export interface Fault {
  cause: string;
  fix: string;
}

/**
 * What bpf_check_classic() of net/core/filter.c would refuse, or a load of what is known only to packet sockets; null if there
 * is neither. libpcap makes loops for `protochain`, and reads memory that was not written where geneve is only one of several
 * alternatives.
 */
export function faultOf(program: Instruction[]): Fault | null {
  /** By instruction: the words of memory that are written on every path to it, as bits. */
  const written = new Map([[0, 0]]);
  for (const [index, instruction] of program.entries()) {
    let words = written.get(index);
    if (words === undefined) continue;
    const { kind, code, k } = instruction;
    const mode = kind === "ld" || kind === "ldx" ? modeOf(code) : undefined;
    if (kind === "st" || kind === "stx") words |= 1 << k;
    if (mode === "mem" && (words & (1 << k)) === 0) {
      return {
        cause: "as compiled by libpcap, one of its branches reads memory before writing it",
        fix: "Write geneve first, then what to match inside it, joined by and",
      };
    }
    if (mode === "abs" && k >= NOT_IN_PACKET) {
      return {
        cause: "it tests something that is not in the packet",
        fix: "Leave out inbound, outbound and ifindex: the interfaces are chosen with -i",
      };
    }
    for (const next of successors(instruction, index)) {
      // A backward jump has an offset near 2^32.
      if (next >= program.length)
        return { cause: "libpcap compiles it to a loop", fix: "Write proto in place of protochain" };
      written.set(next, words & (written.get(next) ?? words));
    }
  }
  return null;
}

/** The program with `offset` added to all its loads from the packet; SKF_NET_OFF (as 32 bits): relative to the IP header. */
export function behind(instructions: Uint8Array, offset: number): Uint8Array {
  const moved = new Uint8Array(new ArrayBuffer(instructions.length));
  moved.set(instructions);
  const view = new DataView(moved.buffer);
  for (const [index, { kind, code, k }] of decode(instructions).entries()) {
    const mode = modeOf(code);
    const loadsPacket =
      (kind === "ld" || kind === "ldx") && (mode === "abs" || mode === "ind" || mode === "msh");
    if (loadsPacket) view.setUint32(index * INSTRUCTION_BYTES + 4, (k + offset) >>> 0, true);
  }
  return moved;
}
