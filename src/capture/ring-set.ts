/** The rings of all CPUs as one source, merged by capture time. */
import { Packet } from "../wire/packet.ts";
import { Ring } from "./ring.ts";
import type { RequestSource } from "./source.ts";

/** A ring of which more than this share filled up between two drains sets `isFilling`. */
const FILLING = 1 / 4;

export class RingSet implements RequestSource {
  isFilling = false;
  readonly #rings: Ring[];
  readonly #packet = new Packet(new Uint8Array(0));
  /** The rings that had records at the start of a drain, and the capture time of the next in each. */
  readonly #active: Ring[] = [];
  readonly #times: Float64Array;

  /** `descriptors` are those of the rings, `bytes` the size of each. */
  constructor(
    readonly descriptors: readonly number[],
    bytes: number,
  ) {
    this.#rings = descriptors.map((fd) => new Ring(fd, bytes));
    this.#times = new Float64Array(descriptors.length);
  }

  /** Whether no record waits. After Control.setWaiting(true) this decides whether the worker may sleep. */
  get isEmpty(): boolean {
    for (const ring of this.#rings) {
      ring.refresh();
      if (ring.peekTime() !== Infinity) return false;
      ring.release();
    }
    return true;
  }

  /**
   * Passes up to `limit` records that were there at the call to `sink`, in order of capture time as far as the CPUs had
   * finished them, and returns how many. The packet is the same object each time and points into the ring: it is valid
   * only during the call of `sink`. Records captured after `before` (us) stay for the next call. If `before` is earlier than
   * the call, the records of a flow that moves from one CPU to another stay in order.
   */
  drain(sink: (packet: Packet) => void, limit: number, before = Infinity): number {
    let count = this.#findActive(before);
    let done = 0;
    while (count > 0 && done < limit) {
      const first = this.#earliest(count);
      const ring = this.#active[first]!;
      // Reads on from this ring until another one has an earlier record: mostly there is no other.
      const until = this.#earliestBut(first, count);
      let time = this.#times[first]!;
      while (time <= until && time !== Infinity && done < limit) {
        ring.next(this.#packet);
        sink(this.#packet);
        done++;
        if (ring.unreleased > ring.capacity >>> 2) ring.release();
        time = notAfter(before, ring.peekTime());
      }
      this.#times[first] = time;
      if (time === Infinity) {
        count--;
        this.#active[first] = this.#active[count]!;
        this.#times[first] = this.#times[count]!;
        this.#active[count] = ring;
      }
    }
    this.isFilling = false;
    for (const ring of this.#active) {
      if (ring.taken > ring.capacity * FILLING) this.isFilling = true;
      ring.release();
    }
    return done;
  }

  /** Nothing to do: the kernel programs count. */
  count(): void {}

  /** The memory stays mapped until the process ends. */
  close(): void {}

  #findActive(before: number): number {
    this.#active.length = 0;
    for (const ring of this.#rings) {
      ring.refresh();
      const time = notAfter(before, ring.peekTime());
      if (time === Infinity) ring.release();
      else this.#times[this.#active.push(ring) - 1] = time;
    }
    return this.#active.length;
  }

  #earliest(count: number): number {
    let best = 0;
    for (let index = 1; index < count; index++) {
      if (this.#times[index]! < this.#times[best]!) best = index;
    }
    return best;
  }

  /** The earliest time of all active rings but the one at index `but`. */
  #earliestBut(but: number, count: number): number {
    let best = Infinity;
    for (let index = 0; index < count; index++) {
      if (index !== but && this.#times[index]! < best) best = this.#times[index]!;
    }
    return best;
  }
}

/** `time`, or Infinity (no record) where it is later than `before`. */
function notAfter(before: number, time: number): number {
  return time > before ? Infinity : time;
}
