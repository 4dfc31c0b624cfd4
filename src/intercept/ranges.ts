/** Whole pools of client addresses (`-c` of a copy), registered once: every response to one of them is that copy's. */
import type { Packet } from "../wire/packet.ts";

/** Addresses in network order, 4 or 16 bytes each, both ends included. */
export interface AddressRange {
  family: 4 | 6;
  first: Uint8Array;
  last: Uint8Array;
}

export class Ranges {
  /** Few, so that they are looked through one by one; sorted by nothing. */
  #ranges: AddressRange[] = [];
  #slots: number[] = [];

  get count(): number {
    return this.#ranges.length;
  }

  /** Replaces the ranges of a copy. */
  set(slot: number, ranges: readonly AddressRange[]): void {
    const kept = this.#slots.map((owner) => owner !== slot);
    this.#ranges = [...this.#ranges.filter((_, index) => kept[index]), ...ranges];
    this.#slots = [...this.#slots.filter((_, index) => kept[index]), ...ranges.map(() => slot)];
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

/** Below, at or above 0, as the address at `at` is below, at or above the other. */
function compare(bytes: Uint8Array, at: number, address: Uint8Array): number {
  for (let index = 0; index < address.length; index++) {
    const difference = bytes[at + index]! - address[index]!;
    if (difference !== 0) return difference;
  }
  return 0;
}
