/** The producer's side of the ring of memory.ts, for the thread that reads traces. It blocks while the ring is full. */
import { address, libc } from "../../native/libc.ts";
import { copyBytes } from "../../wire/copy.ts";
import type { Packet } from "../../wire/packet.ts";
import { Parts } from "../parts.ts";
import {
  ACKS_FAR,
  CONSUMED,
  CONSUMER_WAITS,
  ENDED,
  PRODUCED,
  PRODUCER_WAITS,
  RECORD,
  RECORD_BYTES,
  STOP,
  type TraceMemory,
} from "./memory.ts";

/** Bytes after which written records are published to the consumer. */
const BATCH = 32_768;
/** ms after which a waiting producer checks for room without being woken. */
const RECHECK_INTERVAL = 100;

export class RingWriter {
  readonly #words: Int32Array;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #one = new BigUint64Array(new ArrayBuffer(8)).fill(1n);
  readonly #oneAddress = address(this.#one);
  /** Bytes written, modulo 2^32, and how many of these were published. */
  #position = 0;
  #published = 0;
  readonly #parts = new Parts();
  /** Pass number of the request that is being written; whether the reader was told to stop within one. */
  #loop = 0;
  #isCutOff = false;

  /** `wake`: the consumer's eventfd, written to when it asks for it; -1: it never does. */
  constructor(
    memory: TraceMemory,
    private readonly wake: number,
  ) {
    this.#words = memory.words;
    this.#bytes = memory.bytes;
    this.#view = memory.view;
  }

  get isStopped(): boolean {
    return Atomics.load(this.#words, STOP) === 1;
  }

  /**
   * Writes a request of pass number `loop`, and waits while there is no room. A TCP packet above 64 KiB (BIG TCP)
   * becomes several records. False if the reader was told to stop.
   */
  write(packet: Packet, loop: number): boolean {
    this.#loop = loop;
    this.#parts.pass(packet, this.#write);
    return !this.#isCutOff;
  }

  /** Publishes all written records to the consumer, and wakes it if it waits. */
  publish(): void {
    if (this.#position === this.#published) return;
    Atomics.store(this.#words, PRODUCED, this.#position | 0);
    this.#published = this.#position;
    this.#wakeConsumer();
  }

  /** Marks the end: no more records come. */
  end(): void {
    this.publish();
    Atomics.store(this.#words, ENDED, 1);
    this.#wakeConsumer();
  }

  /** Writes a record. False if the reader was told to stop. */
  #write = (packet: Packet): boolean => {
    const header = packet.payload - packet.ip;
    const captured = packet.end - packet.ip;
    const size = (RECORD_BYTES + captured + 7) & ~7;
    const start = this.#reserve(size);
    if (start < 0) {
      this.#isCutOff = true;
      return false;
    }
    const view = this.#view;
    view.setUint32(start + RECORD.size, size, true);
    view.setUint32(start + RECORD.isPadding, 0, true);
    view.setFloat64(start + RECORD.time, packet.time, true);
    view.setFloat64(start + RECORD.think, packet.think, true);
    view.setUint32(start + RECORD.length, header + packet.length, true);
    view.setUint32(start + RECORD.captured, captured, true);
    view.setUint16(start + RECORD.tcp, packet.tcp - packet.ip, true);
    view.setUint16(start + RECORD.payload, header, true);
    view.setUint32(start + RECORD.index, packet.acksFar ? packet.index | ACKS_FAR : packet.index, true);
    view.setUint32(start + RECORD.loop, this.#loop, true);
    copyBytes(packet.bytes, packet.ip, captured, this.#bytes, start + RECORD_BYTES);
    this.#position = (this.#position + size) >>> 0;
    if ((this.#position - this.#published) >>> 0 >= BATCH) this.publish();
    return true;
  };

  /** Waits for `size` contiguous bytes, and pads to the end of the ring if necessary. Returns their offset, -1 if stopped. */
  #reserve(size: number): number {
    const capacity = this.#bytes.length;
    const start = this.#position & (capacity - 1);
    const isWhole = start + size <= capacity;
    const padding = isWhole ? 0 : capacity - start;
    if (!this.#waitForRoom(size + padding)) return -1;
    if (isWhole) return start;
    this.#view.setUint32(start + RECORD.size, padding, true);
    this.#view.setUint32(start + RECORD.isPadding, 1, true);
    this.#position = (this.#position + padding) >>> 0;
    return 0;
  }

  #waitForRoom(size: number): boolean {
    const words = this.#words;
    while (!this.#hasRoom(size)) {
      this.publish();
      Atomics.store(words, PRODUCER_WAITS, 1);
      if (!this.#hasRoom(size) && !this.isStopped) Atomics.wait(words, PRODUCER_WAITS, 1, RECHECK_INTERVAL);
      Atomics.store(words, PRODUCER_WAITS, 0);
      if (this.isStopped) return false;
    }
    return true;
  }

  #hasRoom(size: number): boolean {
    const used = (this.#position - Atomics.load(this.#words, CONSUMED)) >>> 0;
    return used + size <= this.#bytes.length;
  }

  #wakeConsumer(): void {
    if (Atomics.load(this.#words, CONSUMER_WAITS) !== 1) return;
    Atomics.store(this.#words, CONSUMER_WAITS, 0);
    if (this.wake >= 0) libc.write(this.wake, this.#oneAddress, 8);
  }
}
