/** A ring buffer as the kernel lays it out, in a memory file, with the test as the kernel. */
import { ftruncateSync } from "node:fs";
import { libc, mapShared, PROT_READ, PROT_WRITE } from "../../src/native/libc.ts";
import { PAGE_SIZE } from "../../src/native/page.ts";

const BUSY = 0x80000000;
const DISCARDED = 0x40000000;
const RECORD_BYTES = 32;

export class FakeRing {
  readonly fd: number;
  readonly #view: DataView;
  #end: bigint;

  /** `start` is the position, from the ring's beginning, at which both sides are. */
  constructor(
    readonly capacity: number,
    start = 0n,
  ) {
    this.fd = libc.memfd_create(new TextEncoder().encode("ring\0"), 0);
    const bytes = 2 * PAGE_SIZE + 2 * capacity;
    ftruncateSync(this.fd, bytes);
    const memory = mapShared(this.fd, bytes, PROT_READ | PROT_WRITE);
    this.#view = new DataView(memory.buffer, 0, bytes);
    this.#end = start;
    this.#view.setBigUint64(0, start, true);
    this.#view.setBigUint64(PAGE_SIZE, start, true);
  }

  /** What the reader has given back. */
  get consumed(): bigint {
    return this.#view.getBigUint64(0, true);
  }

  get produced(): bigint {
    return this.#end;
  }

  /** Adds a record of an IPv4 packet with this payload; returns where its header is, for `finish` and `discard`. */
  add(time: number, payload: Uint8Array, { busy = false, think = 0xffffffff, index = 0 } = {}): bigint {
    const at = this.#end;
    const length = 40 + payload.length;
    const record = new Uint8Array(RECORD_BYTES + length);
    const view = new DataView(record.buffer);
    view.setBigUint64(0, BigInt(time), true);
    view.setUint32(8, think, true);
    view.setUint32(12, length, true);
    view.setUint32(16, length, true);
    view.setUint16(20, 20, true);
    view.setUint16(22, 40, true);
    view.setUint32(24, index, true);
    record[RECORD_BYTES] = 0x45;
    record.set(payload, RECORD_BYTES + 40);
    this.#write(at, record.length, record, busy ? BUSY : 0);
    return at;
  }

  finish(at: bigint): void {
    this.#setFlags(at, 0);
  }

  discard(at: bigint): void {
    this.#setFlags(at, DISCARDED);
  }

  close(): void {
    libc.close(this.fd);
  }

  #write(at: bigint, length: number, record: Uint8Array, flags: number): void {
    const size = BigInt((length + 8 + 7) & ~7);
    if (at + size - this.consumed > BigInt(this.capacity)) throw new Error("full");
    for (const [offset, byte] of record.entries()) this.#setByte(at + 8n + BigInt(offset), byte);
    this.#setHeader(at, length + flags);
    this.#end = at + size;
    this.#view.setBigUint64(PAGE_SIZE, this.#end, true);
  }

  #setFlags(at: bigint, flags: number): void {
    const header = this.#view.getUint32(this.#place(at), true);
    this.#setHeader(at, (header & ~(BUSY | DISCARDED)) + flags);
  }

  #setHeader(at: bigint, header: number): void {
    const bytes = new Uint8Array(Uint32Array.of(header).buffer);
    for (const [offset, byte] of bytes.entries()) this.#setByte(at + BigInt(offset), byte);
  }

  /** The kernel maps the same pages twice; a file cannot, so each byte is written twice. */
  #setByte(at: bigint, byte: number): void {
    this.#view.setUint8(this.#place(at), byte);
    this.#view.setUint8(this.#place(at) + this.capacity, byte);
  }

  #place(at: bigint): number {
    return 2 * PAGE_SIZE + Number(at % BigInt(this.capacity));
  }
}
