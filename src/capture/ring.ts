/**
 * BPF ring buffers (kernel/bpf/ringbuf.c), read in place from their mmap'd pages: records as bpf/record/record.h has them.
 *
 * The producer's page and the data are mapped read-only. They are read with plain loads, because a JIT-compiled
 * Atomics.load writes to its location. The consumer's page is writable: an Atomics operation on it is the fence that
 * arm64 needs between reading a record's header and reading its data. x86-64 does not reorder loads.
 */
import { mapShared, PROT_READ, PROT_WRITE } from "../native/libc.ts";
import { PAGE_SIZE } from "../native/page.ts";
import { copyBytes } from "../wire/copy.ts";
import type { Packet } from "../wire/packet.ts";
import { UNKNOWN_INDEX } from "./record-index.ts";

const WORD = 2 ** 32;
const WEAKLY_ORDERED = process.arch !== "x64";

/** The kernel's header of a record: 4 bytes with the length and two flags, then 4 bytes that only the kernel uses. */
const HEADER_BYTES = 8;
const BUSY = 0x80000000;
const DISCARDED = 0x40000000;
const LENGTH = 0x3fffffff;

/** struct record of bpf/record/record.h. */
const RECORD_BYTES = 32;
const TIME_LOW = 0;
const TIME_HIGH = 1;
const THINK = 2;
const LENGTH_ON_WIRE = 3;
const CAPTURED = 4;
const OFFSETS = 5;
const INDEX = 6;
const IFINDEX = 7;
/** Set in INDEX: see `isVerified` and `acksFar` of Packet. */
const VERIFIED = 0x10000000;
const ACKS_FAR = 0x08000000;
const THINK_UNKNOWN = 0xffffffff;
/** Bytes of the largest record without BIG TCP: 64 KiB (bpf/record/whole.h) and the headers, rounded up to a page. */
const LARGE_RECORD = 65536 + 4096;

/** Reads one ring buffer; a ring must have only one reader. */
export class Ring {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #words: Uint32Array;
  /** A record that wraps around the end of the ring is copied here in one piece. */
  #whole!: Uint8Array;
  #wholeView!: DataView;
  #wholeWords!: Uint32Array;
  readonly #mask: number;
  readonly #producer: Uint32Array;
  readonly #consumer: BigInt64Array;
  /** The low and the high half of `#consumer`. */
  readonly #halves: Int32Array;
  /** Bytes read since the ring was made; exact up to 2^53. */
  #position: number;
  /** `#position` as it was last released to the kernel. */
  #released: number;
  /** Low 32 bits of the kernel's producer position at the last `refresh`. */
  #end: number;
  /** Bytes of the record at `#position`, with header; 0 while none has been found. */
  #size = 0;

  /** `fd` is the map's descriptor, `capacity` its size in bytes, a power of two. */
  constructor(
    fd: number,
    readonly capacity: number,
  ) {
    const consumer = mapShared(fd, PAGE_SIZE, PROT_READ | PROT_WRITE);
    // The kernel can map the data twice in a row, which counts twice as resident memory. We map it once.
    const rest = mapShared(fd, PAGE_SIZE + capacity, PROT_READ, PAGE_SIZE).buffer;
    this.#consumer = new BigInt64Array(consumer.buffer, 0, 1);
    this.#halves = new Int32Array(consumer.buffer, 0, 2);
    this.#producer = new Uint32Array(rest, 0, 1);
    this.#bytes = new Uint8Array(rest, PAGE_SIZE, capacity);
    this.#view = new DataView(rest, PAGE_SIZE, capacity);
    this.#words = new Uint32Array(rest, PAGE_SIZE, capacity / 4);
    this.#makeRoom(Math.min(capacity, LARGE_RECORD));
    this.#mask = capacity - 1;
    this.#position = Number(Atomics.load(this.#consumer, 0));
    this.#released = this.#position;
    this.#end = this.#position >>> 0;
  }

  /** Reads how far the kernel has written. `peekTime` and `next` see no later record before the next call. */
  refresh(): void {
    this.#end = this.#producer[0]!;
    if (WEAKLY_ORDERED) Atomics.load(this.#halves, 0);
  }

  /** Capture time of the next record in us (CLOCK_MONOTONIC), Infinity if there is none. */
  peekTime(): number {
    if (this.#size === 0 && !this.#find()) return Infinity;
    const at = (((this.#position >>> 0) + HEADER_BYTES) & this.#mask) >>> 2;
    return this.#words[at + TIME_LOW]! + this.#words[at + TIME_HIGH]! * WORD;
  }

  /** Points `packet` at the next record, until `release`, and moves on to the one after it. False if there is none. */
  next(packet: Packet): boolean {
    if (this.#size === 0 && !this.#find()) return false;
    const first = (this.#position >>> 0) & this.#mask;
    const isWhole = first + this.#size <= this.capacity;
    if (!isWhole) this.#putTogether(first);
    const start = (isWhole ? first : 0) + HEADER_BYTES;
    const words = isWhole ? this.#words : this.#wholeWords;
    const at = start >>> 2;
    const ip = start + RECORD_BYTES;
    const offsets = words[at + OFFSETS]!;
    const payload = offsets >>> 16;
    const think = words[at + THINK]!;
    packet.bytes = isWhole ? this.#bytes : this.#whole;
    packet.view = isWhole ? this.#view : this.#wholeView;
    packet.ip = ip;
    packet.tcp = ip + (offsets & 0xffff);
    packet.payload = ip + payload;
    packet.end = ip + words[at + CAPTURED]!;
    packet.length = words[at + LENGTH_ON_WIRE]! - payload;
    packet.time = words[at + TIME_LOW]! + words[at + TIME_HIGH]! * WORD;
    packet.think = think === THINK_UNKNOWN ? -1 : think;
    const index = words[at + INDEX]!;
    const marks = index === UNKNOWN_INDEX ? 0 : index & (VERIFIED | ACKS_FAR);
    packet.index = (index ^ marks) >>> 0;
    packet.acksFar = (marks & ACKS_FAR) !== 0;
    packet.isVerified = (marks & VERIFIED) !== 0;
    packet.ifindex = words[at + IFINDEX]!;
    this.#position += this.#size;
    this.#size = 0;
    return true;
  }

  /** Bytes that were written up to the last `refresh`, and not read yet. */
  get waiting(): number {
    return (this.#end - this.#position) >>> 0;
  }

  /** Bytes that were read and not released. */
  get unreleased(): number {
    return this.#position - this.#released;
  }

  /** Frees the memory of all records that were read, for the kernel to write. */
  release(): void {
    if (this.#position === this.#released) return;
    // Storing the low half is enough, and allocates nothing, until the high one changes: both must then change at once.
    if (Math.floor(this.#position / WORD) === Math.floor(this.#released / WORD)) {
      Atomics.store(this.#halves, 0, this.#position | 0);
    } else Atomics.store(this.#consumer, 0, BigInt(this.#position));
    this.#released = this.#position;
  }

  /** Makes `#whole` of so many bytes. */
  #makeRoom(bytes: number): void {
    const whole = new ArrayBuffer(bytes);
    this.#whole = new Uint8Array(whole);
    this.#wholeView = new DataView(whole);
    this.#wholeWords = new Uint32Array(whole);
  }

  #putTogether(first: number): void {
    if (this.#size > this.#whole.length) this.#makeRoom(this.capacity);
    const before = this.capacity - first;
    copyBytes(this.#bytes, first, before, this.#whole, 0);
    copyBytes(this.#bytes, 0, this.#size - before, this.#whole, before);
  }

  /** Moves to the next finished record, and skips discarded ones. */
  #find(): boolean {
    while (this.#position >>> 0 !== this.#end) {
      const header = this.#words[((this.#position >>> 0) & this.#mask) >>> 2]!;
      if (header >= BUSY) return false;
      const size = ((header & LENGTH) + HEADER_BYTES + 7) & ~7;
      if ((header & DISCARDED) === 0) {
        if (WEAKLY_ORDERED) Atomics.load(this.#halves, 0);
        this.#size = size;
        return true;
      }
      this.#position += size;
    }
    return false;
  }
}
