/**
 * Translates classic BPF to an eBPF program that runs another one for the packets that match, and passes the others.
 *
 * The meaning is that of bpf_filter() in libpcap (bpf_filter.c): a load outside of the packet, and a division by 0, end
 * the filter without a match; X + k does not overflow; a shift by more than 31 gives 0. A and X are zero at the start. Linux's
 * extensions (SKF_AD_*: negative offsets) are refused by compileFilter.
 */
import { Failure } from "../native/failure.ts";
import { type PacketAccess, type ProgramKind, packetAccess, taggedAccess, takeTag, X } from "./access.ts";
import {
  ALU,
  ALU64,
  AND,
  Assembler,
  JEQ,
  JGE,
  JGT,
  JLE,
  JLT,
  JMP32,
  JNE,
  JSET,
  type Label,
  LSH,
  MOV,
  R0,
  R1,
  R2,
  R3,
  R6,
  R10,
} from "./assembler.ts";
import { decode, type Instruction, JUMP_ALWAYS, modeOf, reachable, sizeOf } from "./classic.ts";

export interface Translation {
  kind: ProgramKind;
  /** As in Filter. */
  instructions: Uint8Array;
  /** See Filter. Of no effect for XDP, where a tag is always in the packet. */
  wantsTag: boolean;
  /** Descriptor of the program array whose element 0 runs for a match. */
  programs: number;
}

/** TCX_NEXT, which is TC_ACT_UNSPEC: the next program decides. And XDP_PASS. */
export const PASS: Record<ProgramKind, number> = { tc: -1, xdp: 2, "xdp-linear": 2 };

const TAIL_CALL = 12;

/** The accumulator; X is in access.ts. */
const A = 7;

/** Flag of an instruction's code: the operand is X, not k. */
const FROM_X = 0x08;
const RETURN_A = 0x10;
const TXA = 0x80;
/** Operations that eBPF has with the same numbers: ADD to AND, XOR. */
const SAME_OPERATIONS = [0x00, 0x10, 0x20, 0x40, 0x50, 0xa0];
const DIVIDE = 0x30;
const REMAINDER = 0x90;
const SHIFTS = [0x60, 0x70];
const NEGATE = 0x80;
const CONDITIONS = [JEQ, JGT, JGE, JSET];
const OPPOSITE: Record<number, number> = { [JEQ]: JNE, [JGT]: JLE, [JGE]: JLT };

/**
 * Returns the eBPF program, struct bpf_insn of 8 bytes each. The instructions must be those of compileFilter, which refuses
 * what cannot be translated. Throws a Failure (2) for a filter that is too long.
 */
export function translate({ kind, instructions, wantsTag, programs }: Translation): Uint8Array {
  const program = decode(instructions);
  const assembler = new Assembler();
  const match = assembler.label();
  const reject = assembler.label();
  assembler.register(ALU64 | MOV, R6, R1);
  const access = packetAccess(assembler, kind, reject);
  if (kind === "tc" && wantsTag) {
    const untagged = assembler.label();
    takeTag(assembler, untagged);
    body(assembler, program, taggedAccess(assembler, access), match, reject);
    assembler.place(untagged);
  }
  body(assembler, program, access, match, reject);
  access.finish();
  // The verifier refuses unreachable instructions.
  if (assembler.isUsed(match)) {
    assembler.place(match);
    assembler.register(ALU64 | MOV, R1, R6);
    assembler.map(R2, programs);
    assembler.immediate(ALU64 | MOV, R3, 0);
    assembler.call(TAIL_CALL); // returns only if the array is empty
  }
  assembler.place(reject);
  assembler.immediate(ALU64 | MOV, R0, PASS[kind]);
  assembler.exit();
  return assembler.bytes();
}

function body(
  assembler: Assembler,
  program: Instruction[],
  access: PacketAccess,
  match: Label,
  reject: Label,
): void {
  assembler.immediate(ALU | MOV, A, 0);
  assembler.immediate(ALU | MOV, X, 0);
  const labels = program.map(() => assembler.label());
  const reached = reachable(program);
  for (const [index, instruction] of program.entries()) {
    if (!reached.has(index)) continue;
    assembler.place(labels[index]!);
    const { kind, code, k } = instruction;
    if (kind === "ld" || kind === "ldx") load(assembler, access, instruction);
    else if (kind === "st" || kind === "stx") assembler.store(4, R10, memory(k), kind === "st" ? A : X);
    else if (kind === "alu") calculate(assembler, instruction, reject);
    else if (kind === "jmp") branch(assembler, instruction, index, labels);
    else if (kind === "misc") (code & 0xf8) === TXA ? move(assembler, A, X) : move(assembler, X, A);
    else if ((code & 0x18) !== RETURN_A) assembler.jump(k === 0 ? reject : match);
    else {
      assembler.jumpImmediate(JMP32 | JEQ, A, 0, reject);
      assembler.jump(match);
    }
  }
}

function move(assembler: Assembler, to: number, from: number): void {
  assembler.register(ALU | MOV, to, from);
}

/** Stack offset of a word of classic BPF's memory. */
function memory(word: number): number {
  return -4 * (word + 1);
}

function load(assembler: Assembler, access: PacketAccess, instruction: Instruction): void {
  const { kind, code, k } = instruction;
  const to = kind === "ld" ? A : X;
  const size = sizeOf(code);
  const mode = modeOf(code);
  if (mode === "imm") assembler.immediate(ALU | MOV, to, k);
  else if (mode === "mem") assembler.load(4, to, R10, memory(k));
  else if (mode === "len") access.length(to);
  else if (mode === "abs" && size) access.absolute(to, k, size);
  else if (mode === "ind" && size) access.indexed(to, k, size);
  else if (mode === "msh" && size === 1) {
    access.absolute(to, k, size);
    assembler.immediate(ALU | AND, to, 0x0f);
    assembler.immediate(ALU | LSH, to, 2);
  } else throw unknown(instruction);
}

function calculate(assembler: Assembler, instruction: Instruction, reject: Label): void {
  const { code, k } = instruction;
  const operation = code & 0xf0;
  const fromX = (code & FROM_X) !== 0;
  const apply = () =>
    fromX ? assembler.register(ALU | operation, A, X) : assembler.immediate(ALU | operation, A, k);
  if (operation === NEGATE) {
    assembler.immediate(ALU | NEGATE, A, 0);
  } else if (operation === DIVIDE || operation === REMAINDER) {
    if (fromX) assembler.jumpImmediate(JMP32 | JEQ, X, 0, reject);
    else if (k === 0) throw unknown(instruction);
    apply();
  } else if (SHIFTS.includes(operation)) {
    const shift = assembler.label();
    if (fromX) assembler.jumpImmediate(JMP32 | JLE, X, 31, shift);
    // Whichever part of X the processor shifts by, 0 stays 0.
    if (fromX || k > 31) assembler.immediate(ALU | MOV, A, 0);
    assembler.place(shift);
    if (fromX || k <= 31) apply();
  } else if (SAME_OPERATIONS.includes(operation)) {
    apply();
  } else throw unknown(instruction);
}

function branch(assembler: Assembler, instruction: Instruction, index: number, labels: Label[]): void {
  const { code, whenTrue, whenFalse, k } = instruction;
  const condition = code & 0xf0;
  const to = labels[index + 1 + whenTrue]!;
  const other = labels[index + 1 + whenFalse]!;
  const jumpIf = (operation: number, label: Label) =>
    code & FROM_X
      ? assembler.jumpRegister(JMP32 | operation, A, X, label)
      : assembler.jumpImmediate(JMP32 | operation, A, k, label);
  if (condition === JUMP_ALWAYS) {
    assembler.jump(labels[index + 1 + k]!);
  } else if (!CONDITIONS.includes(condition)) {
    throw unknown(instruction);
  } else if (whenTrue === 0 && condition !== JSET) {
    jumpIf(OPPOSITE[condition]!, other);
  } else {
    jumpIf(condition, to);
    if (whenFalse !== 0) assembler.jump(other);
  }
}

function unknown({ code, k }: Instruction): Failure {
  return new Failure(
    `Cannot translate the instruction 0x${code.toString(16)} ${k} of the filter: xcopy does not know it`,
    "Write the filter in another way.",
    2,
  );
}
