/**
 * Datagrams that were sent and have no answer yet, in the order in which they were sent; those of a flow are linked. UDP does
 * not say which question an answer is to: the oldest of its flow is taken.
 */
import { FIRST_WAITING, type FlowTable, LAST_WAITING, NONE, ROW } from "./table.ts";

export class AwaitingAnswers {
  private readonly flow: Int32Array;
  private readonly next: Int32Array;
  private readonly sentAt: Float64Array;
  private head = 0;
  private size = 0;
  /** Of these, those that are not settled. */
  count = 0;

  /** `capacity`: how many are remembered; the oldest is given up for one more. */
  constructor(
    private readonly table: FlowTable,
    private readonly capacity: number,
  ) {
    this.flow = new Int32Array(capacity);
    this.next = new Int32Array(capacity);
    this.sentAt = new Float64Array(capacity);
  }

  /** When the oldest was sent, us; Infinity if there is none. */
  get oldest(): number {
    this.skipSettled();
    return this.size === 0 ? Number.POSITIVE_INFINITY : this.sentAt[this.head]!;
  }

  get isFull(): boolean {
    this.skipSettled();
    return this.size === this.capacity;
  }

  /** One was sent on a flow; there must be room. */
  add(s: number, now: number): void {
    const { words } = this.table;
    const place = (this.head + this.size++) % this.capacity;
    this.flow[place] = s;
    this.next[place] = NONE;
    this.sentAt[place] = now;
    const last = words[s * ROW + LAST_WAITING]!;
    if (last === NONE) words[s * ROW + FIRST_WAITING] = place;
    else this.next[last] = place;
    words[s * ROW + LAST_WAITING] = place;
    this.count++;
  }

  /** Settles the oldest of a flow: when it was sent, us; -1 if there is none. */
  settle(s: number): number {
    const { words } = this.table;
    const place = words[s * ROW + FIRST_WAITING]!;
    if (place === NONE) return -1;
    words[s * ROW + FIRST_WAITING] = this.next[place]!;
    if (this.next[place] === NONE) words[s * ROW + LAST_WAITING] = NONE;
    this.flow[place] = NONE;
    this.count--;
    return this.sentAt[place]!;
  }

  /** Settles the oldest of all, if there is one. */
  settleOldest(): void {
    this.skipSettled();
    if (this.size > 0) this.settle(this.flow[this.head]!);
  }

  private skipSettled(): void {
    while (this.size > 0 && this.flow[this.head] === NONE) {
      this.head = this.head + 1 === this.capacity ? 0 : this.head + 1;
      this.size--;
    }
  }
}
