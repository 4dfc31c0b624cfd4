/** Assembles classic BPF with labels (linux/bpf_common.h), for programs that are not compiled from an expression. */
import { decode, JUMP_ALWAYS } from "./classic.ts";

export const LOAD_WORD = 0x20;
export const LOAD_HALF = 0x28;
export const LOAD_BYTE = 0x30;
/** At X + k. */
export const LOAD_WORD_INDEXED = 0x40;
export const LOAD_HALF_INDEXED = 0x48;
export const LOAD_BYTE_INDEXED = 0x50;
/** A = k, and A = bytes of the packet. */
export const LOAD_CONSTANT = 0x00;
export const LOAD_LENGTH = 0x80;
/** X = 4 * (the low 4 bits of a byte): bytes of an IPv4 header. */
export const LOAD_X_HEADER = 0xb1;
/** Words of the program's own memory, 0 to 15. */
export const LOAD_MEMORY = 0x60;
export const STORE_MEMORY = 0x02;

/** Operations on A with k, or with WITH_X on A with X. XOR is an extension of Linux. */
export const ADD = 0x04;
export const SUBTRACT = 0x14;
export const MULTIPLY = 0x24;
export const AND = 0x54;
export const SHIFT_RIGHT = 0x74;
export const XOR = 0xa4;
export const WITH_X = 0x08;
/** X = A. */
const COPY_TO_X = 0x07;
const RETURN_A = 0x16;
const JUMP = 0x05;
const RETURN = 0x06;

export const EQUAL = 0x10;
export const AT_LEAST = 0x30;
export const HAS_BITS = 0x40;

export type Label = number;

/** Jumps go forward only: a label must be placed after all jumps to it. */
export class ClassicAssembler {
  readonly #instructions: { code: number; whenTrue: number; whenFalse: number; k: number; to?: Label }[] = [];
  readonly #places: number[] = [];

  label(): Label {
    return this.#places.push(-1) - 1;
  }

  place(label: Label): void {
    this.#places[label] = this.#instructions.length;
  }

  /** One of the loads above, a store, or an operation on A. */
  emit(code: number, k = 0): void {
    this.#instructions.push({ code, whenTrue: 0, whenFalse: 0, k });
  }

  copyToX(): void {
    this.emit(COPY_TO_X);
  }

  /** Jumps if A equals `k` (EQUAL), is not less (AT_LEAST) or has a bit of it (HAS_BITS). Two instructions: a conditional jump reaches only 255. */
  jumpIf(condition: number, k: number, to: Label): void {
    this.#instructions.push({ code: JUMP | condition, whenTrue: 0, whenFalse: 1, k });
    this.jump(to);
  }

  jump(to: Label): void {
    this.#instructions.push({ code: JUMP | JUMP_ALWAYS, whenTrue: 0, whenFalse: 0, k: 0, to });
  }

  /** Returns the number of bytes to accept, 0 to reject. */
  return(bytes: number): void {
    this.emit(RETURN, bytes);
  }

  /** Returns A. */
  returnA(): void {
    this.emit(RETURN_A);
  }

  /** Inserts a whole program, whose returns must be constants: it jumps to `match` instead of them, to `reject` for 0. */
  embed(program: Uint8Array, match: Label, reject: Label): void {
    for (const { kind, code, whenTrue, whenFalse, k } of decode(program)) {
      if (kind === "ret") this.jump(k === 0 ? reject : match);
      else this.#instructions.push({ code, whenTrue, whenFalse, k });
    }
  }

  /** struct sock_filter, 8 bytes each, host order. */
  bytes(): Uint8Array {
    const view = new DataView(new ArrayBuffer(this.#instructions.length * 8));
    for (const [index, { code, whenTrue, whenFalse, k, to }] of this.#instructions.entries()) {
      view.setUint16(index * 8, code, true);
      view.setUint8(index * 8 + 2, whenTrue);
      view.setUint8(index * 8 + 3, whenFalse);
      view.setUint32(index * 8 + 4, to === undefined ? k : this.#places[to]! - index - 1, true);
    }
    return new Uint8Array(view.buffer);
  }
}
