/**
 * Datagrams that were sent and have no answer yet, in the order in which they were sent; those of a flow are linked. UDP does
 * not tell which datagram an answer is for: the oldest of the flow is taken.
 */
import { FIRST_WAITING, type FlowTable, LAST_WAITING, NONE, ROW } from "./table.ts";

export class AwaitingAnswers {
  private readonly flow: Int32Array;
  private readonly next: Int32Array;
  private readonly sentAt: Float64Array;
  private head = 0;
  private size = 0;
  /** Entries that are not settled. */
  count = 0;

  /** `capacity`: most entries; when it is full, the caller must settle the oldest before it adds another. */
  constructor(
    private readonly table: FlowTable,
    private readonly capacity: number,
  ) {
    this.flow = new Int32Array(capacity);
    this.next = new Int32Array(capacity);
    this.sentAt = new Float64Array(capacity);
  }

  /** When the oldest unanswered datagram was sent, us; Infinity if there is none. */
  get oldest(): number {
    this.skipSettled();
    return this.size === 0 ? Number.POSITIVE_INFINITY : this.sentAt[this.head]!;
  }

  get isFull(): boolean {
    this.skipSettled();
    return this.size === this.capacity;
  }

  /** Adds a datagram that was sent on flow `s` at `now` (us); there must be room. */
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

  /** Settles the oldest datagram of a flow and returns when it was sent, us; -1 if there is none. */
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
