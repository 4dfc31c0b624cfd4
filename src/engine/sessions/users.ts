/**
 * The limit of users of a load test: at most `limit` sessions have a connection at a time, the others wait in the order in
 * which they asked. A session is a user from its first connection until TIME_WAIT or its end, also while it has no connection
 * in between.
 */
import { NONE } from "./table.ts";

const IDLE = 0;
const WAITING = 1;
/** It may connect: it is counted as a user already. */
const INVITED = 2;
const USER = 3;

export class Users {
  private count = 0;
  private waiting = 0;
  /** By session: IDLE, WAITING, INVITED or USER. */
  private readonly states: Uint8Array;
  private readonly queue: Int32Array;
  /** By session: its place in the queue, if it waits. */
  private readonly places: Int32Array;
  private head = 0;
  private tail = 0;

  /** `capacity`: sessions there can be; `limit`: most users at a time. */
  constructor(
    capacity: number,
    private limit: number,
  ) {
    this.states = new Uint8Array(capacity);
    this.places = new Int32Array(capacity);
    // A session that ended while it waited leaves a stale entry.
    this.queue = new Int32Array(2 ** Math.ceil(Math.log2(2 * capacity)));
  }

  /** Another limit holds, 0 for none; users that are too many stay. */
  setLimit(limit: number): void {
    this.limit = limit === 0 ? Number.POSITIVE_INFINITY : limit;
  }

  /** The session has a connection already. */
  adopt(s: number): void {
    this.states[s] = USER;
    this.count++;
  }

  /** Whether the session may open a connection; if not, it is queued for `invite`. */
  admit(s: number): boolean {
    const state = this.states[s]!;
    if (state === USER) return true;
    if (state === INVITED || (state === IDLE && this.waiting === 0 && this.count < this.limit)) {
      if (state === IDLE) this.count++;
      this.states[s] = USER;
      return true;
    }
    if (state === IDLE) {
      if (this.tail - this.head === this.queue.length) this.forgetStale();
      this.states[s] = WAITING;
      this.waiting++;
      this.places[s] = this.tail;
      this.queue[this.tail++ & (this.queue.length - 1)] = s;
    }
    return false;
  }

  /** The next waiting session that may connect now, or NONE. */
  invite(): number {
    while (this.count < this.limit && this.head !== this.tail) {
      const place = this.head++;
      const s = this.queue[place & (this.queue.length - 1)]!;
      if (this.states[s] !== WAITING || this.places[s] !== place) continue;
      this.states[s] = INVITED;
      this.waiting--;
      this.count++;
      return s;
    }
    return NONE;
  }

  /** The session has ended, or needs no connection for now. */
  leave(s: number): void {
    if (this.states[s]! >= INVITED) this.count--;
    else if (this.states[s] === WAITING) this.waiting--;
    this.states[s] = IDLE;
  }

  /** Makes room in a full queue by removing stale entries, which are at least half of it. */
  private forgetStale(): void {
    const mask = this.queue.length - 1;
    const { head, tail } = this;
    this.tail = head;
    for (let place = head; place !== tail; place++) {
      const s = this.queue[place & mask]!;
      if (this.states[s] !== WAITING || this.places[s] !== place) continue;
      this.places[s] = this.tail;
      this.queue[this.tail++ & mask] = s;
    }
  }
}
