/**
 * Limits that the engines of several workers keep together (sessions, turns per second), and which clients and ports belong
 * to which engine. The engines share a few words of memory, which they only change atomically.
 */
import { workerOfClient, workerOfPort } from "../../wire/shard.ts";

/** The part of one engine. */
export interface Share {
  /** Its index, and how many there are. */
  worker: number;
  workers: number;
  /** Memory that all engines share: `shareWords` words, zero at the start. */
  words: Int32Array;
  /** When the run began, us: the same for all engines. */
  since: number;
}

/** Words of memory that the engines share: turns taken (two, see TurnLimit), sessions of all engines, sessions of each. */
export function shareWords(workers: number): number {
  return OWN_SESSIONS + workers;
}

const TURNS = 0;
const SESSIONS = 2;
const OWN_SESSIONS = 3;

/** The share of an engine that is the only one. `now`: us. */
export function alone(now: number): Share {
  return { worker: 0, workers: 1, words: new Int32Array(shareWords(1)), since: now };
}

/** Most sessions of one engine: more than its equal part, because clients are never spread evenly. */
export function capacityOf({ workers }: Share, maxSessions: number): number {
  if (workers === 1) return maxSessions;
  const part = Math.ceil(maxSessions / workers);
  return Math.min(maxSessions, part + Math.max(1024, part >>> 2));
}

/** The bound of sessions at a time, over all engines. */
export class SessionBudget {
  constructor(
    private readonly share: Share,
    private readonly most: number,
  ) {}

  /** Counts one more session; false if the bound is reached. */
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

/** Gives the sessions of an engine whose worker has died back to the bound. */
export function releaseSessions(words: Int32Array, worker: number): void {
  Atomics.sub(words, SESSIONS, Atomics.exchange(words, OWN_SESSIONS + worker, 0));
}

/**
 * The limit of turns per second, over all engines: a token bucket that holds the turns of 50 ms, at least one. When the limit
 * changes, each engine changes over at its own time: the next limit counts in another word, which `clearTurns` has made ready.
 */
export class TurnLimit {
  private readonly burst: number;
  private readonly turns: number;

  /** `rate`: turns per second; 0: no limit. `round`: how often the limit has changed. */
  constructor(
    private readonly share: Share,
    private readonly rate: number,
    round = 0,
  ) {
    this.turns = TURNS + (round & 1);
    this.burst = Math.max(1, Math.floor(rate / 20));
  }

  /** Takes one turn; false if the bucket is empty. `now`: us. */
  take(now: number): boolean {
    if (this.rate === 0) return true;
    for (;;) {
      const used = Atomics.load(this.share.words, this.turns);
      const left = this.left(now, used);
      if (left < 1) return false;
      if (this.replace(used, used + 1 + Math.max(0, left - this.burst))) return true;
    }
  }

  /** Discards what is beyond the bucket's size. Must be called often enough that the difference of counts fits 31 bits. */
  settle(now: number): void {
    if (this.rate === 0) return;
    const used = Atomics.load(this.share.words, this.turns);
    const left = this.left(now, used);
    if (left > this.burst) this.replace(used, used + left - this.burst);
  }

  /** Turns earned since the start (the first burst included) and not taken. Both counts wrap at 32 bits. */
  private left(now: number, used: number): number {
    const earned = this.burst + Math.floor(((now - this.share.since) * this.rate) / 1e6);
    return ((earned | 0) - used) | 0;
  }

  private replace(used: number, by: number): boolean {
    return Atomics.compareExchange(this.share.words, this.turns, used, by | 0) === used;
  }
}

/** No turns were taken yet of a limit that is about to hold, with this `round` (see TurnLimit). */
export function clearTurns(words: Int32Array, round: number): void {
  Atomics.store(words, TURNS + (round & 1), 0);
}

/** Whether connections from this port of an address of this host belong to this engine. */
export function ownsPort({ worker, workers }: Share, port: number): boolean {
  return workerOfPort(port, workers) === worker;
}

/** Whether connections from this port of a client's address belong to this engine. The address: four `words` at `at`. */
export function ownsClient({ worker, workers }: Share, words: Int32Array, at: number, port: number): boolean {
  return workerOfClient(words, at, port, workers) === worker;
}
