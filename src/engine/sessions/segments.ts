/**
 * The captured segments of all sessions: descriptors in typed arrays, payload in the arena. A segment keeps its
 * boundaries, capture time and acknowledgement number; the sessions link segments by NEXT.
 */
import { copyBytes } from "../../wire/copy.ts";
import type { Packet } from "../../wire/packet.ts";
import { Arena } from "./arena.ts";
import { NONE } from "./table.ts";

/** Words of a descriptor: a field of segment `g` is `words[g * SEGMENT + FIELD]`. */
export const SEGMENT = 8;
export const NEXT = 0;
/** The client's sequence number of its first byte. */
export const SEQ = 1;
export const LENGTH = 2;
export const ACK_NUMBER = 3;
const CHUNK = 4;
/** Bytes at the start of the chunk that do not count any more (an overlap that was cut off). */
const SKIP = 5;
/** us, -1 if not known: see Packet.think. */
export const THINK = 6;
export const MARKS = 7;

/** MARKS: first of a turn that waits for the answer of the turn before. */
export const TURN_START = 1;
/** MARKS: its last byte is sent with PSH. */
export const PUSH = 2;
/** MARKS: bytes of our own before the client's (a PROXY protocol header, what a protocol module inserts). */
export const PREFIX = 4;
/** MARKS: the first segment of a turn that has begun to be sent. */
export const BEGUN = 8;
/** MARKS: the protocol module was asked about this segment (`begin` or `more`). */
export const ASKED = 16;
/** MARKS: the request goes on with it only when the protocol module allows it. */
export const PAUSED = 32;
/** MARKS: it was held, so that what is before it in the stream may have been captured after it. */
export const HELD_BACK = 64;
/** MARKS: the bits from this one on are the tag that the protocol module has given the request. */
export const TAG_SHIFT = 8;

/** Bytes that each segment takes besides its payload: the descriptor and the time. */
const DESCRIPTOR_BYTES = SEGMENT * 4 + 8;

export class Segments {
  readonly words: Int32Array;
  /** Capture time of each, us. */
  readonly times: Float64Array;
  private readonly arena: Arena;
  private free = NONE;
  private fresh = 0;
  private count = 0;
  private readonly capacity: number;

  /** `memory`: bytes for payload and descriptors together; `takePiece`: see Arena. */
  constructor(memory: number, takePiece?: () => ArrayBuffer) {
    this.capacity = Math.max(1024, Math.floor(memory / 256));
    this.words = new Int32Array(this.capacity * SEGMENT);
    this.times = new Float64Array(this.capacity);
    this.arena = new Arena(memory - this.capacity * DESCRIPTOR_BYTES, takePiece);
  }

  /** Bytes in use: pages of payload and descriptors. */
  get used(): number {
    return this.arena.used + this.count * DESCRIPTOR_BYTES;
  }

  /** Stores a copy of `length` payload bytes at `from` (an offset into the packet's bytes); NONE if there is no memory. */
  add(packet: Packet, from: number, length: number, seq: number, marks: number): number {
    const g = this.store(packet.bytes, from, length, seq, marks);
    if (g === NONE) return NONE;
    this.words[g * SEGMENT + ACK_NUMBER] = packet.ack;
    this.words[g * SEGMENT + THINK] = packet.think;
    this.times[g] = packet.time;
    return g;
  }

  /** Stores a copy of bytes that were not captured; NONE if there is no memory. */
  store(bytes: Uint8Array, from: number, length: number, seq: number, marks: number): number {
    if (this.free === NONE && this.fresh === this.capacity) return NONE;
    const chunk = this.arena.allocate(length);
    if (chunk < 0) return NONE;
    let g = this.free;
    if (g !== NONE) this.free = this.words[g * SEGMENT + NEXT]!;
    else g = this.fresh++;
    this.count++;
    const offset = this.arena.offset(chunk);
    copyBytes(bytes, from, length, this.arena.memory(chunk), offset);
    const { words } = this;
    const row = g * SEGMENT;
    words[row + NEXT] = NONE;
    words[row + SEQ] = seq;
    words[row + LENGTH] = length;
    words[row + ACK_NUMBER] = 0;
    words[row + CHUNK] = chunk;
    words[row + SKIP] = 0;
    words[row + THINK] = -1;
    words[row + MARKS] = marks;
    this.times[g] = 0;
    return g;
  }

  /** Removes the first `bytes` bytes of a segment (fewer than LENGTH). */
  trimFront(g: number, bytes: number): void {
    const row = g * SEGMENT;
    this.words[row + SEQ] = (this.words[row + SEQ]! + bytes) | 0;
    this.words[row + LENGTH]! -= bytes;
    this.words[row + SKIP]! += bytes;
  }

  /** Copies `length` payload bytes, beginning `from` bytes into the segment, to `to` at `at`. */
  read(g: number, from: number, length: number, to: Uint8Array, at: number): void {
    const chunk = this.words[g * SEGMENT + CHUNK]!;
    const offset = this.arena.offset(chunk) + this.words[g * SEGMENT + SKIP]! + from;
    copyBytes(this.arena.memory(chunk), offset, length, to, at);
  }

  /** The memory that holds the bytes of a segment, from `offset(g)` on. Valid until the segment is released. */
  memory(g: number): Uint8Array {
    return this.arena.memory(this.words[g * SEGMENT + CHUNK]!);
  }

  offset(g: number): number {
    return this.arena.offset(this.words[g * SEGMENT + CHUNK]!) + this.words[g * SEGMENT + SKIP]!;
  }

  release(g: number): void {
    this.arena.release(this.words[g * SEGMENT + CHUNK]!);
    this.words[g * SEGMENT + NEXT] = this.free;
    this.free = g;
    this.count--;
  }
}
