/** The producer's side of the ring of memory.ts, for the thread that reads traces. It blocks while the ring is full. */
import { address, libc } from "../../native/libc.ts";
import { copyBytes } from "../../wire/copy.ts";
import type { Packet } from "../../wire/packet.ts";
import { FIN, PSH, SYN } from "../../wire/tcp.ts";
import {
  CONSUMED,
  CONSUMER_WAITS,
  ENDED,
  MAX_CAPTURE,
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
    const header = packet.payload - packet.ip;
    if (header + packet.length <= MAX_CAPTURE) {
      return this.#write(packet, header, 0, packet.length, packet.think, loop) >= 0;
    }
    const most = MAX_CAPTURE - header;
    for (let offset = 0; offset < packet.length; offset += most) {
      const length = Math.min(most, packet.length - offset);
      const at = this.#write(packet, header, offset, length, offset > 0 ? -1 : packet.think, loop);
      if (at < 0) return false;
      this.#cut(at + packet.tcp - packet.ip, packet, offset, offset + length < packet.length);
    }
    return true;
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

  /** Writes a record with `length` bytes of payload from `offset` on. Returns the offset of its IP packet, -1 if stopped. */
  #write(
    packet: Packet,
    header: number,
    offset: number,
    length: number,
    think: number,
    loop: number,
  ): number {
    const captured = Math.max(0, Math.min(length, packet.end - packet.payload - offset));
    const size = (RECORD_BYTES + header + captured + 7) & ~7;
    const start = this.#reserve(size);
    if (start < 0) return -1;
    const view = this.#view;
    view.setUint32(start + RECORD.size, size, true);
    view.setUint32(start + RECORD.isPadding, 0, true);
    view.setFloat64(start + RECORD.time, packet.time, true);
    view.setFloat64(start + RECORD.think, think, true);
    view.setUint32(start + RECORD.length, header + length, true);
    view.setUint32(start + RECORD.captured, header + captured, true);
    view.setUint16(start + RECORD.tcp, packet.tcp - packet.ip, true);
    view.setUint16(start + RECORD.payload, header, true);
    view.setUint32(start + RECORD.index, packet.index, true);
    view.setUint32(start + RECORD.loop, loop, true);
    const ip = start + RECORD_BYTES;
    if (offset === 0) copyBytes(packet.bytes, packet.ip, header + captured, this.#bytes, ip);
    else {
      copyBytes(packet.bytes, packet.ip, header, this.#bytes, ip);
      if (captured > 0) copyBytes(packet.bytes, packet.payload + offset, captured, this.#bytes, ip + header);
    }
    this.#position = (this.#position + size) >>> 0;
    if ((this.#position - this.#published) >>> 0 >= BATCH) this.publish();
    return ip;
  }

  /** Adapts the copied TCP header to a part of the segment: sequence number, SYN in the first part, FIN and PSH in the last. */
  #cut(tcp: number, packet: Packet, offset: number, isMore: boolean): void {
    const { flags } = packet;
    const isSyn = flags & SYN ? 1 : 0;
    this.#view.setUint32(tcp + 4, packet.seq + (offset > 0 ? offset + isSyn : 0));
    const without = (offset > 0 ? SYN : 0) | (isMore ? FIN | PSH : 0);
    this.#bytes[tcp + 13] = flags & ~without;
  }

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
