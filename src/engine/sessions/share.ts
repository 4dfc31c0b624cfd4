/**
 * What several engines have of a whole, each with the clients that are its own: the bounds that they keep together, and
 * the ports that are only its own. They share a few words of memory, and whatever they do there is atomic.
 */
import { workerOfClient, workerOfPort } from "../../wire/shard.ts";

/** One engine of several. */
export interface Share {
  /** Its index, and how many there are. */
  worker: number;
  workers: number;
  /** Memory of all of them, `shareWords` long, zero at the start. */
  words: Int32Array;
  /** When the first of them began, us: the same for all. */
  since: number;
}

/** Words of memory that so many engines share: turns, sessions, and the sessions of each. */
export function shareWords(workers: number): number {
  return OWN_SESSIONS + workers;
}

const TURNS = 0;
const SESSIONS = 1;
const OWN_SESSIONS = 2;

/** An engine that shares with nobody. `now`: us. */
export function alone(now: number): Share {
  return { worker: 0, workers: 1, words: new Int32Array(shareWords(1)), since: now };
}

/** Sessions that one of several engines may have: more than its part, because clients are never spread quite evenly. */
export function capacityOf({ workers }: Share, maxSessions: number): number {
  if (workers === 1) return maxSessions;
  const part = Math.ceil(maxSessions / workers);
  return Math.min(maxSessions, part + Math.max(1024, part >>> 2));
}

/** Sessions that there are at a time, over all engines. */
export class SessionBudget {
  constructor(
    private readonly share: Share,
    private readonly most: number,
  ) {}

  /** Whether there may be one more; it is counted then. */
  take(): boolean {
    const { words, worker } = this.share;
    if (Atomics.add(words, SESSIONS, 1) >= this.most) {
      Atomics.sub(words, SESSIONS, 1);
      return false;
    }
    Atomics.add(words, OWN_SESSIONS + worker, 1);
    return true;
  }

  give(): void {
    const { words, worker } = this.share;
    Atomics.sub(words, SESSIONS, 1);
    Atomics.sub(words, OWN_SESSIONS + worker, 1);
  }
}

/** Lets the others have the sessions of an engine that is gone. */
export function releaseSessions(words: Int32Array, worker: number): void {
  Atomics.sub(words, SESSIONS, Atomics.exchange(words, OWN_SESSIONS + worker, 0));
}

/** Turns per second, over all engines: a token bucket, which holds the turns of 50 ms. */
export class TurnLimit {
  private readonly burst: number;

  /** `rate`: turns per second; 0: no limit. */
  constructor(
    private readonly share: Share,
    private readonly rate: number,
  ) {
    this.burst = Math.max(1, Math.floor(rate / 20));
  }

  /** Takes one turn; false if there is none left. `now`: us. */
  take(now: number): boolean {
    if (this.rate === 0) return true;
    for (;;) {
      const used = Atomics.load(this.share.words, TURNS);
      const left = this.left(now, used);
      if (left < 1) return false;
      if (this.replace(used, used + 1 + Math.max(0, left - this.burst))) return true;
    }
  }

  /** Lets go what nobody has taken in time; often enough that 32 bits tell before from after. */
  settle(now: number): void {
    if (this.rate === 0) return;
    const used = Atomics.load(this.share.words, TURNS);
    const left = this.left(now, used);
    if (left > this.burst) this.replace(used, used + left - this.burst);
  }

  /** Turns that were earned since the start, the first burst included, and not taken. Counts wrap. */
  private left(now: number, used: number): number {
    const earned = this.burst + Math.floor(((now - this.share.since) * this.rate) / 1e6);
    return ((earned | 0) - used) | 0;
  }

  private replace(used: number, by: number): boolean {
    return Atomics.compareExchange(this.share.words, TURNS, used, by | 0) === used;
  }
}

/** Whether connections from a port of this host's own are this engine's to open. */
export function ownsPort({ worker, workers }: Share, port: number): boolean {
  return workerOfPort(port, workers) === worker;
}

/** Whether those from a client's address are, four words in `words` at `at`. */
export function ownsClient({ worker, workers }: Share, words: Int32Array, at: number, port: number): boolean {
  return workerOfClient(words, at, port, workers) === worker;
}
