/** Pools of client addresses (`-c` of a copy), registered as ranges: every response to one of them belongs to that copy. */
import type { Packet } from "../../wire/packet.ts";

/** Addresses in network order, 4 or 16 bytes each, both ends included. */
export interface AddressRange {
  family: 4 | 6;
  first: Uint8Array;
  last: Uint8Array;
}

interface OwnedRange extends AddressRange {
  owner: number;
  /** The highest last address of this range and all before it, of the same family. */
  reach: Uint8Array;
}

/** Most ranges that one copy may register. */
export const MOST_RANGES = 4096;

export class Ranges {
  /** IPv4 first, then by their first address. */
  #ranges: OwnedRange[] = [];

  get count(): number {
    return this.#ranges.length;
  }

  /** Adds to the ranges of a copy; returns how many were not added because it has too many. */
  add(owner: number, ranges: readonly AddressRange[]): number {
    const others = this.#ranges.filter((range) => range.owner !== owner);
    const own = this.#ranges.filter((range) => range.owner === owner);
    const wanted = [...own, ...ranges.map((range) => ({ ...range, owner, reach: range.last }))].sort(order);
    const distinct = wanted.filter((range, index) => index === 0 || order(wanted[index - 1]!, range) !== 0);
    this.#set([...others, ...distinct.slice(0, MOST_RANGES)]);
    return Math.max(0, distinct.length - MOST_RANGES);
  }

  /** Forgets the ranges of a copy; returns how many there were. */
  remove(owner: number): number {
    const before = this.count;
    if (before > 0) this.#set(this.#ranges.filter((range) => range.owner !== owner));
    return before - this.count;
  }

  /**
   * A range that the packet's destination is in; -1 if there is none. `before`: the result of the previous call, to get the
   * next range.
   */
  find(packet: Packet, before = this.#ranges.length): number {
    const { family } = packet;
    const at = packet.ip + (family === 4 ? 16 : 24);
    const start = before === this.#ranges.length ? this.#lastFrom(packet, at) : before - 1;
    for (let index = start; index >= 0; index--) {
      const range = this.#ranges[index]!;
      if (range.family !== family || compare(packet.bytes, at, range.reach) > 0) return -1;
      if (compare(packet.bytes, at, range.last) <= 0) return index;
    }
    return -1;
  }

  /** The copy that a range belongs to. */
  ownerAt(index: number): number {
    return this.#ranges[index]!.owner;
  }

  /** The last range that begins at or before the address at `at`. */
  #lastFrom({ bytes, family }: Packet, at: number): number {
    let low = 0;
    let high = this.#ranges.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const range = this.#ranges[middle]!;
      const isBefore = range.family === family ? compare(bytes, at, range.first) >= 0 : range.family < family;
      if (isBefore) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }

  #set(ranges: OwnedRange[]): void {
    this.#ranges = ranges.sort(order);
    for (const [index, range] of ranges.entries()) {
      const before = ranges[index - 1];
      const reaches = before?.family === range.family && compare(before.reach, 0, range.last) > 0;
      range.reach = reaches ? before.reach : range.last;
    }
  }
}

/** Whether an address, of 4 or 16 bytes, is in a range. */
export function holds({ first, last }: AddressRange, address: Uint8Array): boolean {
  return address.length === first.length && compare(address, 0, first) >= 0 && compare(address, 0, last) <= 0;
}

function order(one: AddressRange, other: AddressRange): number {
  return one.family - other.family || compare(one.first, 0, other.first) || compare(one.last, 0, other.last);
}

/** Below, at or above 0, as the address at `at` is below, at or above the other. */
function compare(bytes: Uint8Array, at: number, address: Uint8Array): number {
  for (let index = 0; index < address.length; index++) {
    const difference = bytes[at + index]! - address[index]!;
    if (difference !== 0) return difference;
  }
  return 0;
}
