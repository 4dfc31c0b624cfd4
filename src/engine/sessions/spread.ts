/**
 * Connections that carry late turns of a client's session beside its own connection: its siblings. Each has a row of its own,
 * which no packet of a client finds; the siblings of a session form a chain.
 */
import { NONE } from "./table.ts";

/** Most siblings of a session at a time: a target that hangs must not get a connection for every request. */
export const MOST_SIBLINGS = 64;

export class Spread {
  /** By session: the first sibling of its chain, or NONE. */
  private readonly heads: Int32Array;
  /** By sibling: the next in the chain, the session that it belongs to; NONE: none, and the session has ended. */
  private readonly next: Int32Array;
  private readonly owner: Int32Array;
  private readonly isSibling: Uint8Array;

  /** `capacity`: sessions there can be. */
  constructor(capacity: number) {
    this.heads = new Int32Array(capacity).fill(NONE);
    this.next = new Int32Array(capacity).fill(NONE);
    this.owner = new Int32Array(capacity).fill(NONE);
    this.isSibling = new Uint8Array(capacity);
  }

  has(s: number): boolean {
    return this.isSibling[s] === 1;
  }

  /** The first sibling of session `s`, and the one after a sibling; NONE if there is none. */
  first(s: number): number {
    return this.heads[s]!;
  }

  after(sibling: number): number {
    return this.next[sibling]!;
  }

  /** Makes the row `sibling` a sibling of session `s`. */
  add(s: number, sibling: number): void {
    this.isSibling[sibling] = 1;
    this.owner[sibling] = s;
    this.next[sibling] = this.heads[s]!;
    this.heads[s] = sibling;
  }

  /** Takes the first sibling out of the chain of session `s`, which has ended; NONE if there is none. */
  disown(s: number): number {
    const sibling = this.heads[s]!;
    if (sibling === NONE) return NONE;
    this.heads[s] = this.next[sibling]!;
    this.owner[sibling] = NONE;
    this.next[sibling] = NONE;
    return sibling;
  }

  /** The row of a sibling is released. */
  remove(sibling: number): void {
    this.isSibling[sibling] = 0;
    const s = this.owner[sibling]!;
    this.owner[sibling] = NONE;
    if (s === NONE) return;
    const after = this.next[sibling]!;
    this.next[sibling] = NONE;
    if (this.heads[s] === sibling) {
      this.heads[s] = after;
      return;
    }
    let before = this.heads[s]!;
    while (this.next[before] !== sibling) before = this.next[before]!;
    this.next[before] = after;
  }
}
