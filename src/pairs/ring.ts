/**
 * The ring by which one worker (PairWriter) hands pairs to the main thread (PairReader), in shared memory. Neither waits for the
 * other: what does not fit is counted, and its bytes are dropped.
 *
 * A record is contiguous and begins at a multiple of 8: its words, `at`, up to two answers, then all bytes one behind the other. Where
 * one does not fit before the end of the ring, SKIP stands there and it begins at 0. Positions are bytes; equal ones: empty.
 */
import {
  type Answer,
  ENDS,
  MOST_BODY,
  MOST_HEAD,
  MOST_NAME,
  MOST_REQUEST_BODY,
  OUTCOMES,
  PAIR_PROTOCOLS,
  type Pair,
  type PairSink,
} from "./pair.ts";

/** What stands before the records: the positions of writer and reader (words), and pairs lost (a double). */
const HEADER = 16;
const WRITTEN = 0;
const READ = 1;
const LOST = 0;

const SKIP = -1;
/** Bytes of a record before its answers, and of an answer. */
const PAIR = 48;
const ANSWER = 64;
/** Longest name of a method, characters. */
const MOST_METHOD = 64;
const DIGEST = 32;

const HAS_PRODUCTION = 1;
const HAS_TARGET = 2;
const HEAD_IS_WHOLE = 1;

const PROTOCOL_INDEX = indexes(PAIR_PROTOCOLS);
const OUTCOME_INDEX = indexes(OUTCOMES);
const END_INDEX = indexes(ENDS);

function indexes<T extends string>(names: readonly T[]): Record<T, number> {
  return Object.fromEntries(names.map((name, index) => [name, index])) as Record<T, number>;
}

/** Memory of a ring of about `bytes`, at least 4096. A pair whose record is longer than half of it may never fit. */
export function createPairMemory(bytes: number): SharedArrayBuffer {
  return new SharedArrayBuffer(HEADER + (Math.max(4096, bytes) & ~7));
}

/** Views of the memory of a ring. */
class Ring {
  /** Bytes of all records. */
  readonly size: number;
  readonly positions: Int32Array;
  readonly lost: Float64Array;
  readonly words: Int32Array;
  readonly doubles: Float64Array;
  readonly bytes: Uint8Array;

  constructor(memory: SharedArrayBuffer) {
    this.size = (memory.byteLength - HEADER) & ~7;
    this.positions = new Int32Array(memory, 0, 2);
    this.lost = new Float64Array(memory, 8, 1);
    this.words = new Int32Array(memory, HEADER, this.size / 4);
    this.doubles = new Float64Array(memory, HEADER, this.size / 8);
    this.bytes = new Uint8Array(memory, HEADER, this.size);
  }
}

/** The worker's end. One per memory. */
export class PairWriter implements PairSink {
  private readonly ring: Ring;
  /** Where the next bytes of the record go that is being written. */
  private at = 0;

  /** `speed`: multiple of the recorded speed at which the clock of production runs; Infinity: it does not run. */
  constructor(
    memory: SharedArrayBuffer,
    private readonly speed = 1,
  ) {
    this.ring = new Ring(memory);
  }

  /** Never waits, never throws: a pair that does not fit counts as lost. What is longer than pair.ts allows is cut. */
  take(pair: Pair): void {
    const { ring } = this;
    const { production, target, request, requestBody } = pair;
    let most = PAIR + 3 * (Math.min(pair.method.length, MOST_METHOD) + Math.min(pair.name.length, MOST_NAME));
    most += Math.min(request.length, MOST_HEAD);
    if (requestBody) most += Math.min(requestBody.length, MOST_REQUEST_BODY);
    if (production) most += mostOf(production);
    if (target) most += mostOf(target);
    const begin = this.place((most + 7) & ~7);
    if (begin < 0) {
      ring.lost[LOST]!++;
      return;
    }
    const { words } = ring;
    const at = begin >>> 2;
    this.at = begin + PAIR + (production ? ANSWER : 0) + (target ? ANSWER : 0);
    words[at + 1] =
      PROTOCOL_INDEX[pair.protocol] |
      (OUTCOME_INDEX[pair.outcome] << 8) |
      ((production ? HAS_PRODUCTION : 0) << 16) |
      ((target ? HAS_TARGET : 0) << 16);
    words[at + 2] = pair.service;
    words[at + 3] = pair.copy;
    words[at + 4] = pair.path;
    words[at + 5] = this.putText(pair.method, MOST_METHOD);
    words[at + 6] = this.putText(pair.name, MOST_NAME);
    words[at + 7] = this.put(request, MOST_HEAD);
    words[at + 8] = this.put(requestBody, MOST_REQUEST_BODY);
    ring.doubles[(begin + 40) >>> 3] = pair.at;
    if (production) this.putAnswer(production, begin + PAIR, this.speed);
    if (target) this.putAnswer(target, begin + PAIR + (production ? ANSWER : 0), 1);
    const end = (this.at + 7) & ~7;
    words[at] = end - begin;
    Atomics.store(ring.positions, WRITTEN, end === ring.size ? 0 : end);
  }

  /** Where a record of at most this many bytes may begin; -1: there is no room. */
  private place(most: number): number {
    const { size, positions, words } = this.ring;
    const written = positions[WRITTEN]!;
    const read = Atomics.load(positions, READ);
    if (written < read) return written + most < read ? written : -1;
    if (written + most < size || (written + most === size && read > 0)) return written;
    if (most >= read) return -1;
    words[written >>> 2] = SKIP;
    return 0;
  }

  private putAnswer(answer: Answer, begin: number, speed: number): void {
    const { words, doubles } = this.ring;
    let at = begin >>> 3;
    doubles[at++] = answer.bytes;
    doubles[at++] = answer.count;
    const isKnown = speed !== Number.POSITIVE_INFINITY;
    doubles[at++] = isKnown ? answer.firstByte * speed : -1;
    doubles[at++] = isKnown ? answer.lastByte * speed : -1;
    doubles[at++] = answer.fields;
    at <<= 1;
    words[at++] = answer.status;
    words[at++] = END_INDEX[answer.end] | ((answer.isHeadWhole ? HEAD_IS_WHOLE : 0) << 8);
    words[at++] = this.put(answer.head, MOST_HEAD);
    words[at++] = this.put(answer.digest, DIGEST);
    words[at] = this.put(answer.body, MOST_BODY);
  }

  /** Appends at most so many of the bytes; returns how many, -1 for null. */
  private put(bytes: Uint8Array | null, most: number): number {
    if (bytes === null) return -1;
    const put = bytes.length > most ? bytes.subarray(0, most) : bytes;
    this.ring.bytes.set(put, this.at);
    this.at += put.length;
    return put.length;
  }

  /** Appends at most so many characters of a text, as UTF-8; returns how many bytes. */
  private putText(text: string, most: number): number {
    const { bytes } = this.ring;
    const length = Math.min(text.length, most);
    for (let index = 0; index < length; index++) {
      const code = text.charCodeAt(index);
      if (code > 0x7f) return this.putOther(text.slice(0, length));
      bytes[this.at + index] = code;
    }
    this.at += length;
    return length;
  }

  private putOther(text: string): number {
    const encoded = encoder.encode(text);
    this.ring.bytes.set(encoded, this.at);
    this.at += encoded.length;
    return encoded.length;
  }
}

/** Bytes of an answer in a record. */
function mostOf({ head, digest, body }: Answer): number {
  return (
    ANSWER + Math.min(head.length, MOST_HEAD) + (digest ? DIGEST : 0) + Math.min(body?.length ?? 0, MOST_BODY)
  );
}

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** The main thread's end. One per memory. */
export class PairReader {
  private readonly ring: Ring;
  /** Where the next bytes of the record are that is being read. */
  private at = 0;

  constructor(memory: SharedArrayBuffer) {
    this.ring = new Ring(memory);
  }

  /** Pairs that did not fit, since the start: their outcome is `behind`. */
  get lost(): number {
    return this.ring.lost[LOST]!;
  }

  /**
   * Hands at most `most` pairs to `each`, the oldest first; returns how many. Of heads, most of which nobody looks at, copies are made as
   * they are asked for: within the call of `each` only.
   */
  drain(each: (pair: Pair) => void, most: number): number {
    const { positions, words, size } = this.ring;
    const written = Atomics.load(positions, WRITTEN);
    let read = positions[READ]!;
    let count = 0;
    while (read !== written && count < most) {
      if (words[read >>> 2] === SKIP) {
        read = 0;
        continue;
      }
      const pair = this.read(read);
      const bytes = words[read >>> 2]!;
      try {
        each(pair);
      } finally {
        read += bytes;
        if (read === size) read = 0;
        Atomics.store(positions, READ, read);
      }
      count++;
    }
    return count;
  }

  private read(begin: number): Pair {
    const { ring } = this;
    const { words, doubles } = ring;
    const at = begin >>> 2;
    const kinds = words[at + 1]!;
    const hasProduction = ((kinds >>> 16) & HAS_PRODUCTION) !== 0;
    const hasTarget = ((kinds >>> 16) & HAS_TARGET) !== 0;
    const answers = begin + PAIR;
    this.at = answers + (hasProduction ? ANSWER : 0) + (hasTarget ? ANSWER : 0);
    // In the order in which they were written.
    const method = this.text(words[at + 5]!);
    const name = this.text(words[at + 6]!);
    const request = this.pass(words[at + 7]!);
    return {
      protocol: PAIR_PROTOCOLS[kinds & 0xff]!,
      outcome: OUTCOMES[(kinds >>> 8) & 0xff]!,
      service: words[at + 2]!,
      copy: words[at + 3]!,
      path: words[at + 4]!,
      at: doubles[(begin + 40) >>> 3]!,
      method,
      name,
      get request() {
        return ring.bytes.slice(request, request + words[at + 7]!);
      },
      requestBody: this.getIfAny(words[at + 8]!),
      production: hasProduction ? this.readAnswer(answers) : null,
      target: hasTarget ? this.readAnswer(answers + (hasProduction ? ANSWER : 0)) : null,
    };
  }

  private readAnswer(begin: number): Answer {
    const { ring } = this;
    const { words, doubles } = ring;
    const number = begin >>> 3;
    const word = (begin + 40) >>> 2;
    const head = this.pass(words[word + 2]!);
    return {
      status: words[word]!,
      end: ENDS[words[word + 1]! & 0xff]!,
      bytes: doubles[number]!,
      count: doubles[number + 1]!,
      firstByte: doubles[number + 2]!,
      lastByte: doubles[number + 3]!,
      get head() {
        return ring.bytes.slice(head, head + words[word + 2]!);
      },
      isHeadWhole: ((words[word + 1]! >>> 8) & HEAD_IS_WHOLE) !== 0,
      fields: doubles[number + 4]!,
      digest: this.getIfAny(words[word + 3]!),
      body: this.getIfAny(words[word + 4]!),
    };
  }

  /** Passes over the next bytes of the record; returns where they are. */
  private pass(length: number): number {
    const at = this.at;
    this.at += length;
    return at;
  }

  private text(length: number): string {
    const at = this.pass(length);
    return decoder.decode(this.ring.bytes.subarray(at, at + length));
  }

  private getIfAny(length: number): Uint8Array | null {
    return length < 0 ? null : this.get(length);
  }

  /** The next bytes of the record, copied. */
  private get(length: number): Uint8Array {
    const at = this.pass(length);
    return this.ring.bytes.slice(at, at + length);
  }
}
