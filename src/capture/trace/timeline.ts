/**
 * Makes one timeline of the stamps of a trace, whose clock may have been set while it was made. Without a clock that nobody
 * sets, only the stamps tell: a step back, or one of more than LONGEST_PAUSE ahead, is none of traffic. After it the timeline
 * goes on from the packet before.
 */

/** us by which packets may be written in another order than they came: buffers of CPUs and interfaces, read in turn. */
const REORDERING = 1e6;
/** us: a longer way ahead is a clock that was set, or another recording. Nobody waits for it. */
const LONGEST_PAUSE = 24 * 3600e6;
/** us before and after 1970 from which on a stamp is no time: a double does not have its microseconds. */
const NO_TIME = 2 ** 53;
/** Clocks that are told apart in one trace: pcapng has one for each interface. */
const MOST_CLOCKS = 64;
/** Weight of the newest pause in the usual one: 1 in so many. */
const MEMORY = 16;

/** What a clock did between two packets: stamps in us since 1970, of the packet before and of this one. */
export interface ClockStep {
  from: number;
  to: number;
}

/** A clock of the trace. */
interface Clock {
  /** us to add to its stamps, and what they were before its last step. */
  offset: number;
  before: number;
}

export class Timeline {
  /** The last stamp was that of a packet alone: those around it go on without it. */
  isStray = false;
  /** The latest time that was given. */
  #last = -Infinity;
  #stamp = -Infinity;
  /** us between two packets, on average of the last ones. */
  #pause = 0;
  readonly #clocks = new Map<number, Clock>();
  #clock: Clock = { offset: 0, before: 0 };
  #clockOf = -1;

  /** `onStep` is called with each step of a clock. */
  constructor(private readonly onStep: (step: ClockStep) => void) {}

  /** The stamp of the packet with the latest time. */
  get stamp(): number {
    return this.#stamp;
  }

  /** Whether `place` needs the next stamp to tell what this one is. `clock`: number of the interface. */
  isJump(stamp: number, clock: number): boolean {
    const ahead = stamp + this.#find(clock).offset - this.#last;
    return !(ahead >= -REORDERING && ahead <= REORDERING);
  }

  /**
   * The time of a packet on the timeline, us since 1970: that of its stamp while no clock was set. `next` and `nextClock` are
   * those of the packet after it; NaN where that is not known.
   */
  place(stamp: number, clock: number, next = Number.NaN, nextClock = clock): number {
    this.isStray = false;
    if (this.#last === -Infinity) return this.#begin(stamp, next);
    const own = this.#find(clock);
    const time = stamp + own.offset;
    const ahead = time - this.#last;
    if (ahead >= -REORDERING && ahead <= REORDERING) {
      if (ahead > 0) this.#pause += (ahead - this.#pause) / MEMORY;
      return this.#give(time, stamp);
    }
    const nextTime = next + this.#offsetOf(nextClock);
    const isBetween = nextTime >= this.#last - REORDERING && nextTime < time - REORDERING;
    const isLeftBehind = ahead < 0 && this.#follows(nextTime);
    if (!isTime(stamp) || (nextClock === clock && (isBetween || isLeftBehind))) {
      this.isStray = true;
      return this.#last;
    }
    if (ahead > 0 && ahead <= LONGEST_PAUSE && !isBetween) return this.#give(time, stamp);
    return this.#step(own, stamp);
  }

  /** The first packet: its time is that of the second where the two do not follow each other. */
  #begin(stamp: number, next: number): number {
    const isAlone = isTime(next) && (next < stamp - REORDERING || next > stamp + LONGEST_PAUSE);
    this.isStray = isAlone;
    if (isAlone) return this.#give(next, next);
    return this.#give(isTime(stamp) ? stamp : 0, stamp);
  }

  #step(clock: Clock, stamp: number): number {
    const { offset, before } = clock;
    clock.before = offset;
    // A clock that was set wrongly and then right goes on as before.
    clock.offset = this.#follows(stamp + before) ? before : this.#last + this.#pause - stamp;
    this.onStep({ from: this.#stamp, to: stamp });
    return this.#give(stamp + clock.offset, stamp);
  }

  #follows(time: number): boolean {
    return time >= this.#last - REORDERING && time <= this.#last + LONGEST_PAUSE;
  }

  #give(time: number, stamp: number): number {
    if (time > this.#last) {
      this.#last = time;
      this.#stamp = stamp;
    }
    return time;
  }

  #offsetOf(clock: number): number {
    return clock === this.#clockOf ? this.#clock.offset : (this.#clocks.get(clock)?.offset ?? 0);
  }

  #find(clock: number): Clock {
    if (clock === this.#clockOf) return this.#clock;
    let found = this.#clocks.get(clock);
    if (!found && this.#clocks.size >= MOST_CLOCKS) found = this.#clocks.values().next().value;
    if (!found) {
      found = { offset: 0, before: 0 };
      this.#clocks.set(clock, found);
    }
    this.#clock = found;
    this.#clockOf = clock;
    return found;
  }
}

function isTime(stamp: number): boolean {
  return Math.abs(stamp) < NO_TIME;
}
