/** Assembles eBPF instructions with labels (kernel Documentation/bpf/standardization/instruction-set.rst). */
import { Failure } from "../native/failure.ts";

export const R0 = 0;
export const R1 = 1;
export const R2 = 2;
export const R3 = 3;
export const R4 = 4;
export const R5 = 5;
export const R6 = 6;
export const R7 = 7;
export const R8 = 8;
export const R9 = 9;
export const R10 = 10;

/** Instruction classes; the operations below are combined with them. */
export const ALU = 0x04;
export const JMP = 0x05;
export const JMP32 = 0x06;
export const ALU64 = 0x07;

export const ADD = 0x00;
export const SUB = 0x10;
export const OR = 0x40;
export const AND = 0x50;
export const LSH = 0x60;
export const RSH = 0x70;
export const MOV = 0xb0;

export const JA = 0x00;
export const JEQ = 0x10;
export const JGT = 0x20;
export const JGE = 0x30;
export const JSET = 0x40;
export const JNE = 0x50;
export const JLT = 0xa0;
export const JLE = 0xb0;

const LDX_MEM = 0x61;
const STX_MEM = 0x63;
const FROM_REGISTER = 0x08;
const TO_BIG_ENDIAN = 0xdc;
const CALL = 0x85;
const EXIT = 0x95;
const LD_IMM64 = 0x18;
const PSEUDO_MAP_FD = 1;
const INSTRUCTION_BYTES = 8;
const MAX_JUMP = 0x7fff;

/** Bits of an instruction's code for the number of bytes that it loads or stores. */
const SIZE: Record<Size, number> = { 4: 0x00, 2: 0x08, 1: 0x10 };

/** Bytes. */
export type Size = 1 | 2 | 4;

export type Label = number;

/** Registers are 0 to 10; `immediate` is 32 bits, which 64-bit operations sign-extend. */
export class Assembler {
  readonly #instructions: { code: number; registers: number; offset: number; immediate: number }[] = [];
  /** Index of the instruction after each label; undefined until the label is placed. */
  readonly #places: (number | undefined)[] = [];
  readonly #jumps: { at: number; label: Label }[] = [];

  label(): Label {
    return this.#places.push(undefined) - 1;
  }

  /** Places a label in front of the next instruction. */
  place(label: Label): void {
    this.#places[label] = this.#instructions.length;
  }

  isUsed(label: Label): boolean {
    return this.#jumps.some((jump) => jump.label === label);
  }

  /** `to` op= immediate. */
  immediate(classAndOperation: number, to: number, immediate: number): void {
    this.#emit(classAndOperation, to, 0, 0, immediate);
  }

  /** `to` op= `from`. */
  register(classAndOperation: number, to: number, from: number): void {
    this.#emit(classAndOperation | FROM_REGISTER, to, from, 0, 0);
  }

  /** Jumps if `left` op immediate. */
  jumpImmediate(classAndOperation: number, left: number, immediate: number, label: Label): void {
    this.#jump(classAndOperation, left, 0, immediate, label);
  }

  /** Jumps if `left` op `right`. */
  jumpRegister(classAndOperation: number, left: number, right: number, label: Label): void {
    this.#jump(classAndOperation | FROM_REGISTER, left, right, 0, label);
  }

  jump(label: Label): void {
    this.#jump(JMP | JA, 0, 0, 0, label);
  }

  /** `to` = memory at `base` + offset, zero-extended; host order. */
  load(size: Size, to: number, base: number, offset: number): void {
    this.#emit(LDX_MEM | SIZE[size], to, base, offset, 0);
  }

  /** Memory at `base` + offset = the low bytes of `from`. */
  store(size: Size, base: number, offset: number, from: number): void {
    this.#emit(STX_MEM | SIZE[size], base, from, offset, 0);
  }

  /** Converts `size` bytes from network to host order. */
  fromNetworkOrder(size: Size, register: number): void {
    if (size > 1) this.#emit(TO_BIG_ENDIAN, register, 0, 0, size * 8);
  }

  /** `to` = the map. */
  map(to: number, fd: number): void {
    this.#emit(LD_IMM64, to, PSEUDO_MAP_FD, 0, fd);
    this.#emit(0, 0, 0, 0, 0);
  }

  /** Calls a helper of the kernel (uapi/linux/bpf.h, ___BPF_FUNC_MAPPER), which overwrites R0 to R5. */
  call(helper: number): void {
    this.#emit(CALL, 0, 0, 0, helper);
  }

  exit(): void {
    this.#emit(EXIT, 0, 0, 0, 0);
  }

  /** struct bpf_insn, 8 bytes each, little-endian. Throws a Failure (2) where a jump is too far. */
  bytes(): Uint8Array {
    for (const { at, label } of this.#jumps) {
      const offset = this.#places[label]! - at - 1;
      if (offset > MAX_JUMP || offset < -MAX_JUMP) {
        throw new Failure(
          `Cannot load the filter: it has ${this.#instructions.length} instructions, too many for its jumps`,
          "Use a shorter filter, for example nets in place of hosts.",
          2,
        );
      }
      this.#instructions[at]!.offset = offset;
    }
    const view = new DataView(new ArrayBuffer(this.#instructions.length * INSTRUCTION_BYTES));
    for (const [index, { code, registers, offset, immediate }] of this.#instructions.entries()) {
      view.setUint8(index * INSTRUCTION_BYTES, code);
      view.setUint8(index * INSTRUCTION_BYTES + 1, registers);
      view.setInt16(index * INSTRUCTION_BYTES + 2, offset, true);
      view.setInt32(index * INSTRUCTION_BYTES + 4, immediate, true);
    }
    return new Uint8Array(view.buffer);
  }

  #jump(code: number, left: number, right: number, immediate: number, label: Label): void {
    this.#jumps.push({ at: this.#instructions.length, label });
    this.#emit(code, left, right, 0, immediate);
  }

  #emit(code: number, to: number, from: number, offset: number, immediate: number): void {
    this.#instructions.push({ code, registers: to | (from << 4), offset, immediate });
  }
}
