/**
 * The stream of production's server, put in order by the sequence numbers of its captured segments from its first byte on: where
 * in it something stands does not depend on how it was cut into segments, which the client can decide (by its window and MSS).
 */

/** Most segments that wait for the ones before them, their bytes, and bytes by which they may be ahead. */
const MOST_HELD = 32;
const MOST_HELD_BYTES = 1 << 18;
const FARTHEST = 1 << 20;

const NOTHING = new Uint8Array(0);

/**
 * Takes the next bytes of the stream: `bytes` from `from` to `to`, then `missing` that were not captured. `ack`: the acknowledgement
 * number of the segment; `time`: when it was captured, us. It may leave the last of them for later: see `leave`.
 */
export type StreamSink = (
  bytes: Uint8Array,
  from: number,
  to: number,
  missing: number,
  ack: number,
  time: number,
) => void;

/** Memory for segments that wait, which several streams share. */
export interface StreamMemory {
  /** False if there is none. */
  reserve(bytes: number): boolean;
  release(bytes: number): void;
}

/** Bytes that a segment that waits takes itself. */
const SEGMENT = 200;

interface Held {
  seq: number;
  ack: number;
  bytes: Uint8Array;
  missing: number;
  time: number;
}

export class ServerStream {
  /** Whether the number of the first byte is known. */
  isBegun = false;
  /** Number of the next byte; while the sink is called, of the one after what it is given. */
  next = 0;
  /** Whether what comes waits for `resume`. */
  isPaused = false;
  private held: Held[] = [];
  private heldBytes = 0;
  private left = 0;
  private end: number | null = null;
  private isStopped = false;

  /**
   * `ended`: called when the server has ended its stream, or reset the connection, behind the last byte. `memory`: what does not fit
   * does not wait; it is given back by `stop`.
   */
  constructor(
    private readonly sink: StreamSink,
    private readonly ended: () => void,
    private readonly memory: StreamMemory | null = null,
  ) {}

  /** Whether a segment was captured, and not the one before it. */
  get hasGap(): boolean {
    return this.held.length > 0;
  }

  /** Whether no more segments can wait. */
  get isFull(): boolean {
    return this.held.length >= MOST_HELD || this.heldBytes >= MOST_HELD_BYTES;
  }

  /** When the segment that has waited longest was captured, us; Infinity if none waits. */
  get heldSince(): number {
    return this.held[0]?.time ?? Number.POSITIVE_INFINITY;
  }

  /** Bytes that are missing before the first segment that waits; Infinity if none waits. */
  get gap(): number {
    let least = Number.POSITIVE_INFINITY;
    for (const { seq } of this.held) least = Math.min(least, (seq - this.next) | 0);
    return least;
  }

  /** The number of the server's first byte is known. */
  begin(seq: number): void {
    if (this.isBegun || this.isStopped) return;
    this.isBegun = true;
    this.next = seq;
    this.goOn();
  }

  /** Takes a captured segment. */
  take(
    bytes: Uint8Array,
    from: number,
    to: number,
    missing: number,
    seq: number,
    ack: number,
    time = 0,
  ): void {
    if (this.isStopped) return;
    const ahead = this.isBegun ? (seq - this.next) | 0 : 1;
    if (ahead <= 0 && !this.isPaused) {
      if (this.pass(bytes, from, to, missing, -ahead, ack, time)) this.goOn();
    } else if (ahead < FARTHEST && ahead + to - from + missing > 0 && !this.isFull) {
      this.hold({ seq, ack, bytes: bytes.slice(from, to), missing, time });
    }
  }

  /** Within the sink: the last `count` of the bytes that it was given are given again after `resume`; nothing is before. */
  leave(count: number): void {
    this.left = count;
  }

  /** Ends the pause that `leave` began. */
  resume(): void {
    if (!this.isPaused) return;
    this.isPaused = false;
    this.goOn();
  }

  /** The next `count` bytes were not captured and will not be: the sink gets them as missing. `time`: us. */
  skip(count: number, time: number): void {
    if (this.isStopped || this.isPaused) return;
    if (this.pass(NOTHING, 0, 0, count, 0, 0, time)) this.goOn();
  }

  /** Nothing before the byte with this number is wanted. */
  skipTo(seq: number): void {
    if (this.isStopped || ((seq - this.next) | 0) <= 0) return;
    this.next = seq;
    this.goOn();
  }

  /** The server's FIN, or RST, stands behind the byte before this number. */
  endAt(seq: number): void {
    this.end = seq;
    this.lookForEnd();
  }

  /** Nothing of it is wanted any more. */
  stop(): void {
    this.isStopped = true;
    this.memory?.release(this.heldBytes + this.held.length * SEGMENT);
    this.held = [];
    this.heldBytes = 0;
  }

  /** Passes a segment on of which the first `known` bytes were passed on before; false if that is all of it. */
  private pass(
    bytes: Uint8Array,
    from: number,
    to: number,
    missing: number,
    known: number,
    ack: number,
    time: number,
  ): boolean {
    const fresh = to - from + missing - known;
    if (fresh <= 0) return false;
    this.next = (this.next + fresh) | 0;
    const first = Math.min(to, from + known);
    const rest = Math.min(missing, fresh);
    this.sink(bytes, first, to, rest, ack, time);
    if (this.left > 0) {
      const { left } = this;
      this.left = 0;
      this.next = (this.next - left) | 0;
      this.isPaused = true;
      const kept = Math.max(0, left - rest);
      this.hold({ seq: this.next, ack, bytes: bytes.slice(to - kept, to), missing: left - kept, time });
    }
    return true;
  }

  private hold(segment: Held): void {
    if (this.memory && !this.memory.reserve(segment.bytes.length + SEGMENT)) return;
    this.held.push(segment);
    this.heldBytes += segment.bytes.length;
  }

  /** Passes on what waited for the bytes before it. */
  private goOn(): void {
    for (let index = 0; index < this.held.length && !this.isPaused; ) {
      const { seq, ack, bytes, missing, time } = this.held[index]!;
      const ahead = (seq - this.next) | 0;
      if (ahead > 0) {
        index++;
        continue;
      }
      this.held.splice(index, 1);
      this.heldBytes -= bytes.length;
      this.memory?.release(bytes.length + SEGMENT);
      if (this.pass(bytes, 0, bytes.length, missing, -ahead, ack, time)) index = 0;
    }
    this.lookForEnd();
  }

  private lookForEnd(): void {
    if (this.isBegun && !this.isStopped && !this.isPaused && this.end === this.next) this.ended();
  }
}
