/**
 * The memory that the reader of traces and the data plane share: a ring of records with one producer and one consumer,
 * and counters. A record never wraps: one that does not fit before the ring's end is written at its start.
 */
import { TRACE_COUNTERS } from "./counters.ts";

/** Indexes of words, grouped in cache lines by the thread that writes them. Positions count bytes, modulo 2^32. */
export const PRODUCED = 0;
/** 1 when all records are in. */
export const ENDED = 1;
export const CONSUMED = 16;
/** 1 while the producer waits for room; the consumer then wakes it. */
export const PRODUCER_WAITS = 32;
/** 1: write to the eventfd at the next record; the producer that does so clears it. */
export const CONSUMER_WAITS = 33;
/** 1: stop reading. */
export const STOP = 34;
const WORDS = 48;

/** Layout of a record, offsets in bytes; the IP packet follows. Sizes are multiples of 8. */
export const RECORD = {
  size: 0,
  /** 0: a record; 1: padding up to the end of the ring. */
  isPadding: 4,
  time: 8,
  /** us; -1: not known. */
  think: 16,
  /** Bytes of the IP packet on the wire, and of it that follow. */
  length: 24,
  captured: 28,
  /** From the IP header. */
  tcp: 32,
  payload: 34,
  index: 36,
  loop: 40,
} as const;
export const RECORD_BYTES = 48;
/** Set in `index`: see Packet. */
export const ACKS_FAR = 0x08000000;

/** Bytes: room for several of the largest records. */
export const SMALLEST_RING = 1 << 19;

const COUNTERS_AT = WORDS * 4;
const HEADER_BYTES = (COUNTERS_AT + TRACE_COUNTERS.length * 8 + 63) & ~63;

export interface TraceMemory {
  words: Int32Array;
  counters: Float64Array;
  bytes: Uint8Array;
  view: DataView;
}

/** `ringBytes`: a power of two from SMALLEST_RING to 2^30. */
export function createTraceMemory(ringBytes = 16 << 20): SharedArrayBuffer {
  if (ringBytes < SMALLEST_RING || ringBytes > 1 << 30 || (ringBytes & (ringBytes - 1)) !== 0) {
    throw new RangeError(`A ring of ${ringBytes} bytes`);
  }
  return new SharedArrayBuffer(HEADER_BYTES + ringBytes);
}

export function viewTraceMemory(memory: SharedArrayBuffer): TraceMemory {
  return {
    words: new Int32Array(memory, 0, WORDS),
    counters: new Float64Array(memory, COUNTERS_AT, TRACE_COUNTERS.length),
    bytes: new Uint8Array(memory, HEADER_BYTES),
    view: new DataView(memory, HEADER_BYTES),
  };
}
