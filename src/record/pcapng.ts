/**
 * Writes blocks of a pcapng file (draft-ietf-opsawg-pcapng) one after the other into a buffer. All blocks, and all that
 * is in them, begin at multiples of 4 bytes; numbers are in the order of this host, little endian on all that xcopy runs
 * on.
 */
import { copyBytes } from "../wire/copy.ts";

const WORD = 2 ** 32;

const SECTION_HEADER = 0x0a0d0d0a;
const INTERFACE_DESCRIPTION = 1;
const INTERFACE_STATISTICS = 5;
const ENHANCED_PACKET = 6;
const BYTE_ORDER_MAGIC = 0x1a2b3c4d;
const VERSION = 1; // major 1, minor 0

/** Packets begin with their IP header, IPv4 or IPv6. */
const LINKTYPE_RAW = 101;

const OPTION_END = 0;
const OPTION_COMMENT = 1;
const SECTION_HARDWARE = 2;
const SECTION_OS = 3;
const SECTION_APPLICATION = 4;
const INTERFACE_NAME = 2;
const INTERFACE_RESOLUTION = 9;
const INTERFACE_FILTER = 11;
const STATISTICS_START = 2;
const STATISTICS_END = 3;
const STATISTICS_RECEIVED = 4;
const STATISTICS_DROPPED = 5;
const STATISTICS_DELIVERED = 8;
const PACKET_FLAGS = 2;

/** Ticks of 10^-6 s. */
const MICROSECONDS = 6;

/** Bytes of a packet's block around the packet: without options, and with its direction. */
export const PACKET_OVERHEAD = 32;
const DIRECTION_BYTES = 12;
/** Bytes of the largest packet block. */
export const LARGEST_PACKET = PACKET_OVERHEAD + DIRECTION_BYTES + 65536;
/** More than the other blocks take, as long as their texts have less than 32 KB together. */
export const LARGEST_OTHER = 65536;
const MOST_TEXT = 8192;

/** The direction of a packet as its flags say it (section 4.3.1 of the draft). */
export const INBOUND = 1;
export const OUTBOUND = 2;

export interface Section {
  hardware: string;
  os: string;
  application: string;
  comments: string[];
}

export interface Statistics {
  /** us since 1970. */
  start: number;
  end: number;
  /** Packets: seen, of these not recorded for lack of room, and recorded. */
  received: number;
  dropped: number;
  delivered: number;
  comments: string[];
}

/** Cuts a text to what a block has room for. */
function encode(text: string): Uint8Array {
  return new TextEncoder().encode(text).subarray(0, MOST_TEXT);
}

export class Blocks {
  readonly bytes: Uint8Array;
  /** Bytes written so far; set it to 0 to begin anew. */
  length = 0;
  readonly #words: Uint32Array;
  /** Where the block that is being written began. */
  #begin = 0;

  /** `capacity`: bytes, a multiple of 4. */
  constructor(readonly capacity: number) {
    this.bytes = new Uint8Array(new ArrayBuffer(capacity));
    this.#words = new Uint32Array(this.bytes.buffer);
  }

  /** Whether a block of `bytes` bytes still fits. */
  hasRoom(bytes: number): boolean {
    return this.length + bytes <= this.capacity;
  }

  /** The first block of a file. Needs room for LARGEST_OTHER, as the two below. */
  section({ hardware, os, application, comments }: Section): void {
    this.#open(SECTION_HEADER);
    this.#word(BYTE_ORDER_MAGIC);
    this.#word(VERSION);
    // The length of the section: not known.
    this.#word(0xffffffff);
    this.#word(0xffffffff);
    for (const comment of comments) this.#text(OPTION_COMMENT, comment);
    this.#text(SECTION_HARDWARE, hardware);
    this.#text(SECTION_OS, os);
    this.#text(SECTION_APPLICATION, application);
    this.#close(true);
  }

  /** An interface; its number is how many came before it in the file. `snaplen`: bytes, 0 for no limit. */
  interface(name: string, filter: string, snaplen: number): void {
    this.#open(INTERFACE_DESCRIPTION);
    this.#word(LINKTYPE_RAW);
    this.#word(snaplen);
    this.#text(INTERFACE_NAME, name);
    this.#option(INTERFACE_RESOLUTION, Uint8Array.of(MICROSECONDS));
    // The byte in front says that it is in the pcap-filter language.
    this.#text(INTERFACE_FILTER, `\0${filter}`);
    this.#close(true);
  }

  /** The counts of an interface's packets. */
  statistics(number: number, { start, end, received, dropped, delivered, comments }: Statistics): void {
    this.#open(INTERFACE_STATISTICS);
    this.#word(number);
    this.#time(end);
    for (const comment of comments) this.#text(OPTION_COMMENT, comment);
    for (const [code, time] of [
      [STATISTICS_START, start],
      [STATISTICS_END, end],
    ] as const) {
      this.#word(code | (8 << 16));
      this.#time(time);
    }
    for (const [code, count] of [
      [STATISTICS_RECEIVED, received],
      [STATISTICS_DROPPED, dropped],
      [STATISTICS_DELIVERED, delivered],
    ] as const) {
      this.#word(code | (8 << 16));
      this.#word(count);
      this.#word(Math.floor(count / WORD));
    }
    this.#close(true);
  }

  /**
   * A packet of `captured` bytes from `at` on, `length` on the wire; `time` in us since 1970. `direction`: INBOUND or
   * OUTBOUND, 0 to say nothing of it. Needs room for PACKET_OVERHEAD, 15 and the packet; allocates nothing.
   */
  packet(
    number: number,
    time: number,
    direction: number,
    from: Uint8Array,
    at: number,
    captured: number,
    length: number,
  ): void {
    this.#open(ENHANCED_PACKET);
    this.#word(number);
    this.#time(time);
    this.#word(captured);
    this.#word(length);
    const padded = (captured + 3) & ~3;
    if (padded > captured) this.#words[(this.length + padded - 4) >>> 2] = 0;
    copyBytes(from, at, captured, this.bytes, this.length);
    this.length += padded;
    if (direction !== 0) {
      this.#word(PACKET_FLAGS | (4 << 16));
      this.#word(direction);
    }
    this.#close(direction !== 0);
  }

  /** Bytes of all blocks that end within the first `bytes`: the whole ones of a write that was cut short. */
  wholeWithin(bytes: number): number {
    let whole = 0;
    while (whole < this.length) {
      const next = whole + this.#words[(whole + 4) >>> 2]!;
      if (next > bytes) break;
      whole = next;
    }
    return whole;
  }

  /** How many packets there are within the first `bytes`, where a block ends. */
  packetsWithin(bytes: number): number {
    let count = 0;
    for (let at = 0; at < bytes; at += this.#words[(at + 4) >>> 2]!) {
      if (this.#words[at >>> 2] === ENHANCED_PACKET) count++;
    }
    return count;
  }

  #open(type: number): void {
    this.#begin = this.length;
    this.#word(type);
    this.length += 4;
  }

  #close(hasOptions: boolean): void {
    if (hasOptions) this.#word(OPTION_END);
    const size = this.length + 4 - this.#begin;
    this.#words[(this.#begin + 4) >>> 2] = size;
    this.#word(size);
  }

  #word(value: number): void {
    this.#words[this.length >>> 2] = value;
    this.length += 4;
  }

  #time(us: number): void {
    this.#word(Math.floor(us / WORD));
    this.#word(us % WORD);
  }

  #text(code: number, text: string): void {
    this.#option(code, encode(text));
  }

  #option(code: number, value: Uint8Array): void {
    this.#word(code | (value.length << 16));
    const padded = (value.length + 3) & ~3;
    this.bytes.fill(0, this.length, this.length + padded);
    this.bytes.set(value, this.length);
    this.length += padded;
  }
}
