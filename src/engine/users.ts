/**
 * Sessions as the users of a load test: only so many have connections at a time, the others wait in the order in which they
 * came. A session is a user from its first connection to its end.
 */
import { NONE } from "./table.ts";

const IDLE = 0;
const WAITING = 1;
/** Its turn has come, and a place is kept for it. */
const INVITED = 2;
const USER = 3;

export class Users {
  private count = 0;
  /** By session. */
  private readonly states: Uint8Array;
  private readonly queue: Int32Array;
  private head = 0;
  private tail = 0;

  /** `capacity`: sessions there can be; `limit`: most users at a time. */
  constructor(
    capacity: number,
    private readonly limit: number,
  ) {
    this.states = new Uint8Array(capacity);
    // A session that ended while it waited leaves a stale entry, and may come to wait again.
    this.queue = new Int32Array(2 ** Math.ceil(Math.log2(2 * capacity)));
  }

  /** Whether the session may open a connection; if not it waits for `invite`. */
  admit(s: number): boolean {
    const state = this.states[s]!;
    if (state === USER) return true;
    if (state === INVITED || (state === IDLE && this.head === this.tail && this.count < this.limit)) {
      if (state === IDLE) this.count++;
      this.states[s] = USER;
      return true;
    }
    if (state === IDLE) {
      this.states[s] = WAITING;
      this.queue[this.tail++ & (this.queue.length - 1)] = s;
    }
    return false;
  }

  /** The next session whose turn it is, or NONE. */
  invite(): number {
    while (this.count < this.limit && this.head !== this.tail) {
      const s = this.queue[this.head++ & (this.queue.length - 1)]!;
      if (this.states[s] !== WAITING) continue;
      this.states[s] = INVITED;
      this.count++;
      return s;
    }
    return NONE;
  }

  /** The session has ended. */
  leave(s: number): void {
    if (this.states[s]! >= INVITED) this.count--;
    this.states[s] = IDLE;
  }
}
