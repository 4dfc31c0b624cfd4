/**
 * A timing wheel for the rows of a table: one deadline per row, arming and disarming in constant time without allocation.
 *
 * Deadlines up to 8 s ahead are in slots of 1 ms. Later ones are in slots of 1 s and expire up to 1 s late, so that
 * thousands of idle sessions cause no wake-ups. Arming a row for a later time than before does nothing: the row expires at
 * the earlier time, and the owner arms it again. So moving a deadline back costs nothing.
 */
const FINE_SLOTS = 8192;
const FINE_TICK = 1000;
const COARSE_SLOTS = 4096;
const COARSE_TICK = 1_000_000;
/** The longest time ahead, us, that does not wrap onto the slot that is being read. */
const FINE_SPAN = (FINE_SLOTS - 2) * FINE_TICK;
const NONE = -1;

const LINK = 4;
const NEXT = 0;
const PREVIOUS = 1;
/** Slot + 1 of an armed row (coarse ones from FINE_SLOTS up), 0 if it is not armed. */
const SLOT = 2;
/** The fine tick that the row is armed for, low 32 bits. */
const TICK = 3;

export class Wheel {
  private readonly fine = new Int32Array(FINE_SLOTS).fill(NONE);
  private readonly coarse = new Int32Array(COARSE_SLOTS).fill(NONE);
  /** LINK words per row, together in one cache line. */
  private readonly links: Int32Array;
  private fineTick: number;
  private coarseTick: number;
  private due = new Int32Array(1024);

  /** `rows`: rows are 0 to rows - 1. `now`: us. */
  constructor(rows: number, now: number) {
    this.links = new Int32Array(rows * LINK);
    this.fineTick = Math.floor(now / FINE_TICK);
    this.coarseTick = Math.floor(now / COARSE_TICK);
  }

  /** Makes `row` expire at `at` (us), or earlier if it is armed for an earlier time. */
  arm(row: number, at: number): void {
    const tick = Math.max(Math.ceil(at / FINE_TICK), this.fineTick + 1);
    if (this.links[row * LINK + SLOT] !== 0) {
      if (((this.links[row * LINK + TICK]! - tick) | 0) <= 0) return;
      this.disarm(row);
    }
    this.links[row * LINK + TICK] = tick;
    if ((tick - this.fineTick) * FINE_TICK <= FINE_SPAN) {
      this.link(row, tick % FINE_SLOTS);
      return;
    }
    const second = Math.min(Math.ceil(at / COARSE_TICK), this.coarseTick + COARSE_SLOTS - 1);
    this.link(row, FINE_SLOTS + (second % COARSE_SLOTS));
  }

  disarm(row: number): void {
    const { links } = this;
    const slot = links[row * LINK + SLOT]! - 1;
    if (slot < 0) return;
    const next = links[row * LINK + NEXT]!;
    const previous = links[row * LINK + PREVIOUS]!;
    if (previous === NONE) this.setHead(slot, next);
    else links[previous * LINK + NEXT] = next;
    if (next !== NONE) links[next * LINK + PREVIOUS] = previous;
    links[row * LINK + SLOT] = 0;
  }

  /** Calls `expire` once for every row whose deadline has passed; it may arm rows again. */
  advance(now: number, expire: (row: number) => void): void {
    let count = 0;
    const fineTick = Math.floor(now / FINE_TICK);
    const first = Math.max(this.fineTick + 1, fineTick - FINE_SLOTS + 1);
    for (let tick = first; tick <= fineTick; tick++) count = this.collect(tick % FINE_SLOTS, count);
    this.fineTick = Math.max(fineTick, this.fineTick);
    const coarseTick = Math.floor(now / COARSE_TICK);
    for (let tick = this.coarseTick + 1; tick <= coarseTick; tick++) {
      count = this.collect(FINE_SLOTS + (tick % COARSE_SLOTS), count);
    }
    this.coarseTick = Math.max(coarseTick, this.coarseTick);
    for (let i = 0; i < count; i++) expire(this.due[i]!);
  }

  /** us until the next slot of 1 ms that is not empty, at most `limit`. */
  wait(now: number, limit: number): number {
    const last = Math.min(Math.floor((now + limit) / FINE_TICK), this.fineTick + FINE_SLOTS - 1);
    for (let tick = this.fineTick + 1; tick <= last; tick++) {
      if (this.fine[tick % FINE_SLOTS] !== NONE) return Math.max(0, tick * FINE_TICK - now);
    }
    return limit;
  }

  private collect(slot: number, count: number): number {
    let row = this.head(slot);
    if (row === NONE) return count;
    this.setHead(slot, NONE);
    while (row !== NONE) {
      if (count === this.due.length) {
        const larger = new Int32Array(count * 2);
        larger.set(this.due);
        this.due = larger;
      }
      this.due[count++] = row;
      this.links[row * LINK + SLOT] = 0;
      row = this.links[row * LINK + NEXT]!;
    }
    return count;
  }

  private link(row: number, slot: number): void {
    const { links } = this;
    const head = this.head(slot);
    links[row * LINK + NEXT] = head;
    links[row * LINK + PREVIOUS] = NONE;
    if (head !== NONE) links[head * LINK + PREVIOUS] = row;
    this.setHead(slot, row);
    links[row * LINK + SLOT] = slot + 1;
  }

  private head(slot: number): number {
    return slot < FINE_SLOTS ? this.fine[slot]! : this.coarse[slot - FINE_SLOTS]!;
  }

  private setHead(slot: number, row: number): void {
    if (slot < FINE_SLOTS) this.fine[slot] = row;
    else this.coarse[slot - FINE_SLOTS] = row;
  }
}
