/** The rings of all CPUs as one source, merged by capture time. */
import { Packet } from "../wire/packet.ts";
import { Parts } from "./parts.ts";
import { Ring } from "./ring.ts";
import type { RequestSource } from "./source.ts";

/** A ring of which more than this share waits to be read sets `isFilling`; one that is fuller than the next is read first. */
const FILLING = 1 / 4;
const CROWDED = 1 / 2;
/** Bytes after which the kernel gets the room of what was read, and the share of a small ring. */
const RELEASED = 1 << 20;
const RELEASED_SHARE = 1 / 4;

export class RingSet implements RequestSource {
  isFilling = false;
  readonly #rings: Ring[];
  readonly #packet = new Packet(new Uint8Array(0));
  readonly #parts = new Parts();
  /** The rings that had records at the start of a drain, and the capture time of the next in each. */
  readonly #active: Ring[] = [];
  readonly #times: Float64Array;
  /** Whether an active ring was more than CROWDED full at the start of a drain. */
  #isCrowded = false;

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

  /** Whether a ring is more than half full now. */
  get isCrowded(): boolean {
    for (const ring of this.#rings) {
      ring.refresh();
      if (ring.waiting > ring.capacity * CROWDED) return true;
    }
    return false;
  }

  /** When the oldest record that waits was captured, us; Infinity if none does. */
  get oldest(): number {
    let oldest = Infinity;
    for (const ring of this.#rings) {
      ring.refresh();
      oldest = Math.min(oldest, ring.peekTime());
    }
    return oldest;
  }

  /**
   * Passes up to `limit` records (and `bytes` bytes of packets, or a packet more) that were there at the call to `sink`, in order of capture time as far as the CPUs had
   * finished them, and returns how many. The packet is the same object each time and points into the ring: it is valid
   * only during the call of `sink`. Records captured after `before` (us) stay for the next call. If `before` is earlier than
   * the call, the records of a flow that moves from one CPU to another stay in order. A ring that is more than half full is
   * read down to that first, whatever the others have: what finds no room is lost, what comes late is put in order.
   */
  drain(sink: (packet: Packet) => void, limit: number, before = Infinity, bytes = Infinity): number {
    let left = bytes;
    let count = this.#findActive(before);
    let done = 0;
    while (count > 0 && done < limit && left > 0) {
      const fullest = this.#isCrowded ? this.#fullest(count) : -1;
      const first = fullest < 0 ? this.#earliest(count) : fullest;
      const ring = this.#active[first]!;
      // Reads on from this ring until another one has an earlier record: mostly there is no other.
      const until = fullest < 0 ? this.#earliestBut(first, count) : Infinity;
      const enough = fullest < 0 ? 0 : ring.capacity * CROWDED;
      const most = Math.min(RELEASED, ring.capacity * RELEASED_SHARE);
      let time = this.#times[first]!;
      while (time <= until && time !== Infinity && done < limit && left > 0 && ring.waiting > enough) {
        ring.next(this.#packet);
        left -= this.#packet.end - this.#packet.ip;
        this.#parts.pass(this.#packet, sink);
        done++;
        if (ring.unreleased > most) ring.release();
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
    for (const ring of this.#active) ring.release();
    return done;
  }

  /** Nothing to do: the kernel programs count. */
  count(): void {}

  /** The memory stays mapped until the process ends. */
  close(): void {}

  #findActive(before: number): number {
    this.#active.length = 0;
    this.isFilling = false;
    this.#isCrowded = false;
    for (const ring of this.#rings) {
      ring.refresh();
      const time = notAfter(before, ring.peekTime());
      if (time === Infinity) {
        ring.release();
        continue;
      }
      this.#times[this.#active.push(ring) - 1] = time;
      if (ring.waiting > ring.capacity * FILLING) this.isFilling = true;
      if (ring.waiting > ring.capacity * CROWDED) this.#isCrowded = true;
    }
    return this.#active.length;
  }

  /** The fullest of the active rings that are more than CROWDED full; -1 if there is none. */
  #fullest(count: number): number {
    let best = -1;
    let most = CROWDED;
    for (let index = 0; index < count; index++) {
      const ring = this.#active[index]!;
      const share = ring.waiting / ring.capacity;
      if (share > most) [best, most] = [index, share];
    }
    return best;
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
