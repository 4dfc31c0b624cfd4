/** The consumer's side of the ring: see memory.ts. It never blocks, and may be used without an event loop. */
import { Packet } from "../../wire/packet.ts";
import {
  CONSUMED,
  CONSUMER_WAITS,
  ENDED,
  PRODUCED,
  PRODUCER_WAITS,
  RECORD,
  RECORD_BYTES,
  type TraceMemory,
  viewTraceMemory,
} from "./memory.ts";

export class TraceRing {
  /** The pass over the files, from 0, that the record read last belongs to. */
  loop = 0;
  readonly #words: Int32Array;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #mask: number;
  readonly #packet: Packet;
  /** Bytes read, of these given back, and written as far as looked at; all modulo 2^32. */
  #position = 0;
  #released = 0;
  #end = 0;

  /** `memory`: of `createTraceMemory`. Only one consumer may exist. */
  constructor(memory: SharedArrayBuffer) {
    const { words, bytes, view }: TraceMemory = viewTraceMemory(memory);
    this.#words = words;
    this.#bytes = bytes;
    this.#view = view;
    this.#mask = bytes.length - 1;
    this.#packet = new Packet(bytes);
    this.#packet.view = view;
  }

  /** Whether no record waits. */
  get isEmpty(): boolean {
    if (this.#find() >= 0) return false;
    this.release();
    return true;
  }

  /** Whether all records were read and no more come. */
  get isEnd(): boolean {
    // In this order: what was written before the end is seen.
    return Atomics.load(this.#words, ENDED) === 1 && this.isEmpty;
  }

  /** Capture time of the next record in us since 1970, Infinity if there is none yet. */
  peekTime(): number {
    const at = this.#find();
    return at < 0 ? Infinity : this.#view.getFloat64(at + RECORD.time, true);
  }

  /** The pass over the files that the next record belongs to, -1 if there is none yet. */
  peekLoop(): number {
    const at = this.#find();
    return at < 0 ? -1 : this.#view.getUint32(at + RECORD.loop, true);
  }

  /** Points `packet` at the next record and steps over it; valid until `release`. False if there is none yet. */
  next(packet: Packet): boolean {
    const at = this.#find();
    if (at < 0) return false;
    const view = this.#view;
    const ip = at + RECORD_BYTES;
    const payload = view.getUint16(at + RECORD.payload, true);
    packet.bytes = this.#bytes;
    packet.view = view;
    packet.ip = ip;
    packet.tcp = ip + view.getUint16(at + RECORD.tcp, true);
    packet.payload = ip + payload;
    packet.end = ip + view.getUint32(at + RECORD.captured, true);
    packet.length = view.getUint32(at + RECORD.length, true) - payload;
    packet.time = view.getFloat64(at + RECORD.time, true);
    packet.think = view.getFloat64(at + RECORD.think, true);
    packet.index = view.getUint32(at + RECORD.index, true);
    this.loop = view.getUint32(at + RECORD.loop, true);
    this.#position = (this.#position + view.getUint32(at + RECORD.size, true)) >>> 0;
    return true;
  }

  /** Gives the memory of all records that were read back to the reader. */
  release(): void {
    if (this.#position !== this.#released) {
      Atomics.store(this.#words, CONSUMED, this.#position | 0);
      this.#released = this.#position;
    }
    if (Atomics.load(this.#words, PRODUCER_WAITS) === 1) this.#wakeProducer();
  }

  /**
   * Hands up to `limit` records to `sink` in the order of the trace, and returns how many. The packet is the same object
   * each time and points into the ring: it is valid only during the call. It ends before a record captured after
   * `before` (us since 1970), and before one of another pass over the files than the first record's.
   */
  drain(sink: (packet: Packet) => void, limit: number, before = Infinity): number {
    const loop = this.peekLoop();
    let done = 0;
    while (done < limit && this.peekTime() <= before && this.peekLoop() === loop) {
      if (!this.next(this.#packet)) break;
      sink(this.#packet);
      done++;
      if ((this.#position - this.#released) >>> 0 > this.#bytes.length >>> 2) this.release();
    }
    this.release();
    return done;
  }

  /**
   * Asks to be woken, by the eventfd that the reader was started with, at the next record or at the end; or no more. One
   * may sleep if then the ring is empty and not at its end.
   */
  setWaiting(isWaiting: boolean): void {
    Atomics.store(this.#words, CONSUMER_WAITS, isWaiting ? 1 : 0);
  }

  /** Not for each record: when half of the ring is free, the producer has something to do. */
  #wakeProducer(): void {
    const used = (Atomics.load(this.#words, PRODUCED) - this.#released) >>> 0;
    if (used > this.#bytes.length >>> 1) return;
    Atomics.store(this.#words, PRODUCER_WAITS, 0);
    Atomics.notify(this.#words, PRODUCER_WAITS);
  }

  /** Where the next record begins, -1 if there is none yet. */
  #find(): number {
    for (;;) {
      if (this.#position === this.#end) {
        this.#end = Atomics.load(this.#words, PRODUCED) >>> 0;
        if (this.#position === this.#end) return -1;
      }
      const at = this.#position & this.#mask;
      if (this.#view.getUint32(at + RECORD.isPadding, true) === 0) return at;
      this.#position = (this.#position + this.#view.getUint32(at + RECORD.size, true)) >>> 0;
    }
  }
}
