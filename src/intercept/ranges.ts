/** Whole pools of client addresses (`-c` of a copy), registered once: every response to one of them is that copy's. */
import type { Packet } from "../wire/packet.ts";

/** Addresses in network order, 4 or 16 bytes each, both ends included. */
export interface AddressRange {
  family: 4 | 6;
  first: Uint8Array;
  last: Uint8Array;
}

/** Most ranges that one copy may register. */
export const MOST_RANGES = 4096;

export class Ranges {
  /** Few, so that they are looked through one by one; sorted by nothing. */
  #ranges: AddressRange[] = [];
  #slots: number[] = [];

  get count(): number {
    return this.#ranges.length;
  }

  /** Adds to the ranges of a copy; returns how many could not be taken: it has too many. */
  add(slot: number, ranges: readonly AddressRange[]): number {
    let left = MOST_RANGES - this.#slots.filter((owner) => owner === slot).length;
    let refused = 0;
    for (const range of ranges) {
      if (this.#ranges.some((known, index) => this.#slots[index] === slot && isSame(known, range))) continue;
      if (left-- <= 0) {
        refused++;
        continue;
      }
      this.#ranges.push(range);
      this.#slots.push(slot);
    }
    return refused;
  }

  /** Forgets the ranges of a copy. */
  remove(slot: number): void {
    const kept = this.#slots.map((owner) => owner !== slot);
    this.#ranges = this.#ranges.filter((_, index) => kept[index]);
    this.#slots = this.#slots.filter((_, index) => kept[index]);
  }

  /** The first range from `from` on that the packet's destination is in; -1 if there is none. */
  find(packet: Packet, from = 0): number {
    const { bytes, ip, family } = packet;
    const at = ip + (family === 4 ? 16 : 24);
    for (let index = from; index < this.#ranges.length; index++) {
      const range = this.#ranges[index]!;
      if (
        range.family === family &&
        compare(bytes, at, range.first) >= 0 &&
        compare(bytes, at, range.last) <= 0
      )
        return index;
    }
    return -1;
  }

  /** The copy that a range belongs to. */
  slotAt(index: number): number {
    return this.#slots[index]!;
  }
}

function isSame(one: AddressRange, other: AddressRange): boolean {
  return (
    one.family === other.family &&
    compare(one.first, 0, other.first) === 0 &&
    compare(one.last, 0, other.last) === 0
  );
}

/** Below, at or above 0, as the address at `at` is below, at or above the other. */
function compare(bytes: Uint8Array, at: number, address: Uint8Array): number {
  for (let index = 0; index < address.length; index++) {
    const difference = bytes[at + index]! - address[index]!;
    if (difference !== 0) return difference;
  }
  return 0;
}
