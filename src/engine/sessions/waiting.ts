/** The sessions with turns that wait to be sent: only these are looked at to tell how many turns wait, and for how long. */
export class WaitingSessions {
  /** The sessions that may have such turns, in any order: the first `count` of `rows`. */
  private readonly rows: Int32Array;
  private count = 0;
  /** By session: whether it is in `rows`. It stays there when its row is used again. */
  private readonly isListed: Uint8Array;

  /** `capacity`: sessions there can be. */
  constructor(capacity: number) {
    this.rows = new Int32Array(capacity);
    this.isListed = new Uint8Array(capacity);
  }

  /** The session has a turn that was not sent. */
  note(s: number): void {
    if (this.isListed[s] === 1) return;
    this.isListed[s] = 1;
    this.rows[this.count++] = s;
  }

  /** Calls `waits` for every session that was noted; those for which it returns false are forgotten. */
  keep(waits: (s: number) => boolean): void {
    for (let i = 0; i < this.count; ) {
      const s = this.rows[i]!;
      if (waits(s)) {
        i++;
        continue;
      }
      this.isListed[s] = 0;
      this.rows[i] = this.rows[--this.count]!;
    }
  }
}
