/** Classic BPF instructions with labels, for programs that no expression gives (linux/bpf_common.h). */
import { decode, JUMP_ALWAYS } from "./classic.ts";

export const LOAD_WORD = 0x20;
export const LOAD_HALF = 0x28;
export const LOAD_BYTE = 0x30;
/** At X + k. */
export const LOAD_HALF_INDEXED = 0x48;
/** X = 4 * (the low half of a byte): bytes of an IPv4 header. */
export const LOAD_X_HEADER = 0xb1;
/** Words of the program's own memory, 0 to 15. */
export const LOAD_MEMORY = 0x60;
export const STORE_MEMORY = 0x02;

/** On A with k, or (WITH_X) with X. XOR is Linux's own. */
export const ADD = 0x04;
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
export const HAS_BITS = 0x40;

export type Label = number;

/** Jumps go forward only: a label is placed behind all jumps to it. */
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

  /** Jumps if A is equal to (has a bit of) `k`; by two instructions, as a conditional jump reaches 255 only. */
  jumpIf(condition: number, k: number, to: Label): void {
    this.#instructions.push({ code: JUMP | condition, whenTrue: 0, whenFalse: 1, k });
    this.jump(to);
  }

  jump(to: Label): void {
    this.#instructions.push({ code: JUMP | JUMP_ALWAYS, whenTrue: 0, whenFalse: 0, k: 0, to });
  }

  /** Ends with a number of bytes to take, 0 for none. */
  return(bytes: number): void {
    this.emit(RETURN, bytes);
  }

  /** Ends with what A has. */
  returnA(): void {
    this.emit(RETURN_A);
  }

  /** Puts a whole program in, which goes on at one of two places where it would have ended. */
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
