/** Production's server, as the capture sees it: a stream of TCP segments, of which only the first bytes are captured. */
import type { Host } from "./host.ts";

/** Payload bytes of a segment that are captured, at the least (src/capture/kernel/options.ts). */
const CAPTURED = 300;

export interface Segment {
  bytes: Uint8Array;
  missing: number;
  seq: number;
  ack: number;
}

export class Online {
  /** Number of the next byte of the server. */
  seq: number;

  constructor(
    private readonly host: Host,
    readonly first = 0x7fff_fff0,
  ) {
    this.seq = first;
    host.ack = first;
  }

  /** The SYN-ACK. */
  open(): this {
    this.host.session.productionOpened!(this.first | 0);
    return this;
  }

  /** The segments in which the server says this, `size` bytes in each; the client has read them when it sends again. */
  segments(bytes: Uint8Array, size = bytes.length, ack = this.host.seq): Segment[] {
    const made: Segment[] = [];
    for (let from = 0; from < bytes.length; from += size) {
      const part = Uint8Array.from(bytes.subarray(from, from + size));
      const captured = part.subarray(0, CAPTURED);
      made.push({ bytes: captured, missing: part.length - captured.length, seq: this.seq | 0, ack: ack | 0 });
      this.seq = (this.seq + part.length) | 0;
    }
    this.host.ack = this.seq;
    return made;
  }

  /** A segment is captured. */
  capture({ bytes, missing, seq, ack }: Segment, time = 1e6): void {
    const placed = Uint8Array.of(0, 0, ...bytes, 0);
    this.host.session.production!(placed, 2, 2 + bytes.length, missing, seq, ack, time);
    placed.fill(0xee);
    this.host.settle();
  }

  say(bytes: Uint8Array, size = bytes.length, ack = this.host.seq): void {
    for (const segment of this.segments(bytes, size, ack)) this.capture(segment);
  }

  end(): void {
    this.host.session.productionEnded!(this.seq | 0, false);
    this.host.settle();
  }
}
