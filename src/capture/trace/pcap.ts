/** Parses pcap files (draft-ietf-opsawg-pcap): a file header, then packets, each with a header of 16 or 24 bytes. */
import { type Frame, MAX_BLOCK, MAX_SNAPLEN, TraceError } from "./frame.ts";
import type { Window } from "./window.ts";

const MICROSECONDS = 0xa1b2c3d4;
const NANOSECONDS = 0xa1b23c4d;
/** Alexey Kuznetzov's format: interface, protocol and packet type in every packet header (libpcap's sf-pcap.c). */
const MODIFIED = 0xa1b2cd34;

const FILE_HEADER = 24;
const PACKET_HEADER = 16;
const MODIFIED_PACKET_HEADER = 24;

/** Whether a file may begin with this word (read in network order). */
export function isPcapMagic(magic: number): boolean {
  return isOneOfOurs(magic) || isOneOfOurs(swap(magic));
}

function isOneOfOurs(magic: number): boolean {
  return magic === MICROSECONDS || magic === NANOSECONDS || magic === MODIFIED;
}

function swap(word: number): number {
  return (((word & 0xff) << 24) | ((word & 0xff00) << 8) | ((word >>> 8) & 0xff00) | (word >>> 24)) >>> 0;
}

export class PcapParser {
  /** Bytes that must be in the window, from its start, for the next step. */
  wanted = FILE_HEADER;
  #isStarted = false;
  #isLittle = false;
  /** Divisor that makes us of the second word of a timestamp. Some writers put nanoseconds into files that promise us. */
  #divisor = 1;
  #linkType = 0;
  #limit = 0;
  #header = PACKET_HEADER;

  constructor(private readonly window: Window) {}

  /** Moves `frame` to the next packet; false if the window does not have all of it. Throws a TraceError. */
  next(frame: Frame): boolean {
    const { window } = this;
    if (!this.#isStarted) {
      if (window.available < FILE_HEADER) return false;
      this.#start();
    }
    const header = this.#header;
    if (window.available < header) {
      this.wanted = header;
      return false;
    }
    const { view, start } = window;
    const isLittle = this.#isLittle;
    const captured = view.getUint32(start + 8, isLittle);
    if (captured > this.#limit) {
      throw new TraceError(
        window.position,
        `a packet of ${captured} bytes, more than the file says it has (${this.#limit})`,
      );
    }
    this.wanted = header + captured;
    if (window.available < this.wanted) return false;
    const length = view.getUint32(start + 12, isLittle);
    frame.bytes = window.bytes;
    frame.view = view;
    frame.start = start + header;
    frame.end = frame.start + captured;
    frame.length = Math.max(length, captured);
    const fraction = view.getUint32(start + 4, isLittle);
    if (fraction >= 1e6) this.#divisor = 1000;
    frame.time = view.getUint32(start, isLittle) * 1e6 + Math.min(fraction / this.#divisor, 999_999);
    frame.linkType = this.#linkType;
    frame.interface = header === PACKET_HEADER ? 0 : view.getUint32(start + 16, isLittle);
    window.skip(this.wanted);
    this.wanted = header;
    return true;
  }

  #start(): void {
    const { window } = this;
    const { view, start } = window;
    this.#isLittle = !isOneOfOurs(view.getUint32(start));
    const magic = view.getUint32(start, this.#isLittle);
    const major = view.getUint16(start + 4, this.#isLittle);
    if (major !== 2) throw new TraceError(window.position, `pcap of version ${major}, not 2`);
    const snaplen = view.getUint32(start + 16, this.#isLittle);
    this.#divisor = magic === NANOSECONDS ? 1000 : 1;
    this.#header = magic === MODIFIED ? MODIFIED_PACKET_HEADER : PACKET_HEADER;
    // Some files have packets above their snapshot length, or a snapshot length of 0.
    this.#limit = Math.min(Math.max(snaplen, MAX_SNAPLEN), MAX_BLOCK);
    // The high bits describe the frame check sequence.
    this.#linkType = view.getUint32(start + 20, this.#isLittle) & 0xffff;
    window.skip(FILE_HEADER);
    this.#isStarted = true;
  }
}
