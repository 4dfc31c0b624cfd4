/**
 * The stream of production's server, put in order by the sequence numbers of its captured segments from its first byte on: where
 * in it something stands does not depend on how it was cut into segments, which the client can decide (by its window and MSS).
 */

/** Most segments that wait for the ones before them, and bytes by which they may be ahead. */
const MOST_HELD = 32;
const FARTHEST = 1 << 20;

/**
 * Takes the next bytes of the stream: `bytes` from `from` to `to`, then `missing` that were not captured. `ack`: the acknowledgement
 * number of the segment.
 */
export type StreamSink = (bytes: Uint8Array, from: number, to: number, missing: number, ack: number) => void;

interface Held {
  seq: number;
  ack: number;
  bytes: Uint8Array;
  missing: number;
}

export class ServerStream {
  /** Whether the number of the first byte is known. */
  isBegun = false;
  /** Number of the next byte. */
  private next = 0;
  private held: Held[] = [];
  private end: number | null = null;
  private isStopped = false;

  /** `ended`: called when the server has ended its stream, or reset the connection, behind the last byte. */
  constructor(
    private readonly sink: StreamSink,
    private readonly ended: () => void,
  ) {}

  /** Whether a segment was captured, and not the one before it. */
  get hasGap(): boolean {
    return this.held.length > 0;
  }

  /** The number of the server's first byte is known. */
  begin(seq: number): void {
    if (this.isBegun || this.isStopped) return;
    this.isBegun = true;
    this.next = seq;
    this.goOn();
  }

  /** Takes a captured segment. */
  take(bytes: Uint8Array, from: number, to: number, missing: number, seq: number, ack: number): void {
    if (this.isStopped) return;
    const ahead = this.isBegun ? (seq - this.next) | 0 : 1;
    if (ahead <= 0) {
      if (this.pass(bytes, from, to, missing, -ahead, ack)) this.goOn();
    } else if (ahead < FARTHEST && this.held.length < MOST_HELD) {
      this.held.push({ seq, ack, bytes: bytes.slice(from, to), missing });
    }
  }

  /** The server's FIN, or RST, stands behind the byte before this number. */
  endAt(seq: number): void {
    this.end = seq;
    this.lookForEnd();
  }

  /** Nothing of it is wanted any more. */
  stop(): void {
    this.isStopped = true;
    this.held = [];
  }

  /** Passes a segment on of which the first `known` bytes were passed on before; false if that is all of it. */
  private pass(
    bytes: Uint8Array,
    from: number,
    to: number,
    missing: number,
    known: number,
    ack: number,
  ): boolean {
    const fresh = to - from + missing - known;
    if (fresh <= 0) return false;
    this.next = (this.next + fresh) | 0;
    const first = Math.min(to, from + known);
    this.sink(bytes, first, to, Math.min(missing, fresh), ack);
    return true;
  }

  /** Passes on what waited for the bytes before it. */
  private goOn(): void {
    for (let index = 0; index < this.held.length; ) {
      const { seq, ack, bytes, missing } = this.held[index]!;
      const ahead = (seq - this.next) | 0;
      if (ahead > 0) {
        index++;
        continue;
      }
      this.held.splice(index, 1);
      if (this.pass(bytes, 0, bytes.length, missing, -ahead, ack)) index = 0;
    }
    this.lookForEnd();
  }

  private lookForEnd(): void {
    if (this.isBegun && !this.isStopped && this.end === this.next) this.ended();
  }
}
