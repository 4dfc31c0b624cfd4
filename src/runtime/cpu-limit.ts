/**
 * Keeps xcopy below a share of the CPU by pauses of the workers. Unlike a cgroup this needs no privilege. It counts the CPU time
 * of the whole process, in user space and in the kernel, so that all workers together keep the limit.
 */

/** us of idle time for which unused CPU time is saved: at most so much, times the share, can be used at once. */
const SAVED = 100_000;

export class CpuLimit {
  private credit: number;

  /** `share`: CPUs that may be used, 0.5 for half of one. In us: `at`, the time now; `used`, CPU time of the process so far. */
  constructor(
    private readonly share: number,
    private at: number,
    private used: number,
  ) {
    this.credit = share * SAVED;
  }

  /** us to pause, 0 for none; `now` and `used` are in us as in the constructor. */
  wait(now: number, used: number): number {
    this.credit += (now - this.at) * this.share - (used - this.used);
    this.credit = Math.min(this.credit, this.share * SAVED);
    this.at = now;
    this.used = used;
    return this.credit >= 0 ? 0 : -this.credit / this.share;
  }
}
