/** The consumer's side of the ring of memory.ts. It never blocks, and needs no event loop. */
import { Packet } from "../../wire/packet.ts";
import {
  ACKS_FAR,
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
  /** The pass over the files, from 0, of the record that was read last. */
  loop = 0;
  readonly #words: Int32Array;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #mask: number;
  readonly #packet: Packet;
  /** Bytes read, released, and written by the producer as last seen; all modulo 2^32. */
  #position = 0;
  #released = 0;
  #end = 0;

  /** `memory`: from `createTraceMemory`. It must have only one consumer. */
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

  /** Whether all records were read and no more will come. */
  get isEnd(): boolean {
    // In this order: records that were written before ENDED are then seen.
    return Atomics.load(this.#words, ENDED) === 1 && this.isEmpty;
  }

  /** Capture time of the next record in us since 1970, Infinity if there is none yet. */
  peekTime(): number {
    const at = this.#find();
    return at < 0 ? Infinity : this.#view.getFloat64(at + RECORD.time, true);
  }

  /** The pass over the files of the next record, -1 if there is none yet. */
  peekLoop(): number {
    const at = this.#find();
    return at < 0 ? -1 : this.#view.getUint32(at + RECORD.loop, true);
  }

  /** Points `packet` at the next record, until `release`, and moves on to the one after it. False if there is none yet. */
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
    const index = view.getUint32(at + RECORD.index, true);
    packet.index = (index & ~ACKS_FAR) >>> 0;
    packet.acksFar = (index & ACKS_FAR) !== 0;
    this.loop = view.getUint32(at + RECORD.loop, true);
    this.#position = (this.#position + view.getUint32(at + RECORD.size, true)) >>> 0;
    return true;
  }

  /** Frees the memory of all records that were read, for the producer to write. */
  release(): void {
    if (this.#position !== this.#released) {
      Atomics.store(this.#words, CONSUMED, this.#position | 0);
      this.#released = this.#position;
    }
    if (Atomics.load(this.#words, PRODUCER_WAITS) === 1) this.#wakeProducer();
  }

  /**
   * Passes up to `limit` records to `sink` in the order of the trace, and returns how many. The packet is the same object
   * each time and points into the ring: it is valid only during the call of `sink`. Stops before a record captured after
   * `before` (us since 1970), and before one of another pass over the files than the first.
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
   * Whether to wake the consumer at the next record or at the end, by the eventfd that the reader was started with. After
   * setting it, the consumer may sleep if the ring is empty and not at its end.
   */
  setWaiting(isWaiting: boolean): void {
    Atomics.store(this.#words, CONSUMER_WAITS, isWaiting ? 1 : 0);
  }

  /** Wakes the producer once half of the ring is free, not for each record. */
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
