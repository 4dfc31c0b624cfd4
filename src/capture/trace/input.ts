/** One trace as the merge reads it: its next packet, and a file that is open only while it is needed. */
import { Frame, MAX_SNAPLEN, TraceError } from "./frame.ts";
import { TraceParser } from "./parser.ts";
import { isOfFile, isStream, openSource, reasonOf, type Source } from "./source.ts";
import { type ClockStep, Timeline } from "./timeline.ts";
import type { Window } from "./window.ts";

/** Bytes of the windows of all files together, and bounds for that of one, which holds what is read ahead. */
const MEMORY = 32 << 20;
const SMALLEST_WINDOW = 65_536;
const LARGEST_WINDOW = 2 * MAX_SNAPLEN;

/** Bytes of the window of each of so many files. */
export function windowFor(files: number): number {
  return Math.min(LARGEST_WINDOW, Math.max(SMALLEST_WINDOW, Math.floor(MEMORY / files)));
}

/** What an input tells about the clock of its trace. */
export interface ClockEvents {
  onStep(input: Input, step: ClockStep): void;
  /** A packet whose stamp fits none around it. */
  onStray(input: Input): void;
}

export class Input {
  /** The next packet. It is another object after each packet that `advance` had to look behind. */
  frame = new Frame();
  /** The packet after it, where that was looked at. */
  #ahead = new Frame();
  #isAhead = false;
  #isStream = false;
  #timeline: Timeline;
  /** Time of the first packet (us since 1970), Infinity if there is none. Known once `peek` has resolved. */
  firstTime = Infinity;
  /** Time of the packet in `frame`, Infinity after the last one; `firstTime` before `open`. */
  time = Infinity;
  /** Requests with right checksums, and with wrong ones. */
  right = 0;
  wrong = 0;
  #source: Source | null = null;
  #parser: TraceParser | null = null;
  /** Bytes of the source that `countBytes` has returned. */
  #counted = 0;

  /** `number` tells the inputs apart, `size` is the bytes of the window. */
  constructor(
    readonly path: string,
    readonly number: number,
    private readonly size: number,
    private readonly clock: ClockEvents,
  ) {
    this.#timeline = this.#begin();
  }

  get isOpen(): boolean {
    return this.#source !== null;
  }

  /** Bytes read since the last call, as stored (compressed). */
  countBytes(): number {
    const taken = this.#source?.taken ?? 0;
    const more = taken - this.#counted;
    this.#counted = taken;
    return more;
  }

  /**
   * Finds the first packet, and closes the file again unless it is a stream. Throws what `openSource` and the parser throw if
   * there is no such file or it is not a trace. Later errors in it are thrown when it is read.
   */
  async peek(): Promise<void> {
    try {
      await this.open();
      this.firstTime = this.time;
    } catch (error) {
      this.close();
      if (!(error instanceof TraceError) || error.offset === 0 || isStream(this.path)) throw error;
    }
    // A stream cannot be opened again.
    if (!isStream(this.path)) this.close();
  }

  /** Opens it anew and reads up to its first packet. */
  async open(): Promise<void> {
    const { source, window } = await openSource(this.path, this.size);
    this.#source = source;
    this.#isStream = isStream(this.path);
    this.#parser = new TraceParser(window);
    this.#timeline = this.#begin();
    await this.advance();
  }

  /**
   * Moves to the next packet. Returns true if it is in the window; else reads, and returns a promise of whether there is one.
   * Throws or rejects with what is wrong with the file.
   */
  advance(): true | Promise<boolean> {
    if (this.#isAhead) {
      const { frame } = this;
      this.frame = this.#ahead;
      this.#ahead = frame;
      this.#isAhead = false;
      return this.#settle();
    }
    return this.#parser!.next(this.frame) ? this.#settle() : this.#readOn();
  }

  async #readOn(): Promise<boolean> {
    return (await this.#fill(this.frame)) && (await this.#settle());
  }

  /** Reads until there is a packet for `frame`; false if there is none. */
  async #fill(frame: Frame): Promise<boolean> {
    const parser = this.#parser!;
    do {
      // What is left is less than a packet: it moves to the front, so that the rest of the window is free for reading.
      parser.window.reserve(Math.max(parser.wanted, parser.window.bytes.length));
      const count = await this.#read(parser.window);
      if (count === 0) {
        if (frame === this.frame) this.time = Infinity;
        parser.finish();
        return false;
      }
    } while (!parser.next(frame));
    return true;
  }

  /** Puts the packet in `frame` onto the timeline, with a look at the next one where that tells whether its stamp is right. */
  #settle(): true | Promise<boolean> {
    const { frame } = this;
    if (!this.#timeline.isJump(frame.time, frame.interface)) return this.#place();
    try {
      this.#isAhead = this.#parser!.next(this.#ahead);
      // The next packet of a stream may be long in coming.
      if (!this.#isAhead && !this.#isStream) return this.#lookAhead();
    } catch {
      // What is wrong with the next packet is found again when it is its turn.
    }
    return this.#place();
  }

  async #lookAhead(): Promise<boolean> {
    const { frame } = this;
    // Reading moves what is in the window.
    frame.bytes = frame.bytes.slice(frame.start, frame.end);
    frame.view = new DataView(frame.bytes.buffer);
    frame.end -= frame.start;
    frame.start = 0;
    try {
      this.#isAhead = await this.#fill(this.#ahead);
    } catch {
      // As above.
    }
    return this.#place();
  }

  #place(): true {
    const { frame } = this;
    const timeline = this.#timeline;
    frame.stamp = frame.time;
    frame.time = this.#isAhead
      ? timeline.place(frame.stamp, frame.interface, this.#ahead.time, this.#ahead.interface)
      : timeline.place(frame.stamp, frame.interface);
    if (timeline.isStray) {
      frame.stamp = timeline.stamp;
      this.clock.onStray(this);
    }
    this.time = frame.time;
    return true;
  }

  #begin(): Timeline {
    this.#isAhead = false;
    return new Timeline((step) => this.clock.onStep(this, step));
  }

  /** Reads from the source. Rejects with a TraceError at this position where the file is at fault. */
  async #read(window: Window): Promise<number> {
    try {
      return await this.#source!.read(window);
    } catch (error) {
      throw isOfFile(error) ? new TraceError(window.position + window.available, reasonOf(error)) : error;
    }
  }

  /** Closes the file; the input is then as before `open`. */
  close(): void {
    this.#source?.close();
    this.#source = null;
    this.#counted = 0;
    this.#parser = null;
    this.#isAhead = false;
    this.time = this.firstTime;
  }
}
