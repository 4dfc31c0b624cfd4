/**
 * Frames of xcopy's own protocol: `u32 length | u8 type | 3 bytes zero`, then `length` bytes, all in network order.
 * Whole frames are read in place; one that comes in pieces is put together in memory that never exceeds the bound.
 */
import { copyBytes } from "../wire/copy.ts";
import { MOST_FRAME, type Outgoing } from "./outgoing.ts";

/** Frame types. Both sides: */
export const REFUSE = 3;
export const BYE = 5;
/** A record with frames in it: see seal.ts. */
export const SEALED = 6;
/** Copy to intercept: */
export const COPY_HELLO = 1;
/** The first in a record, empty: that the record could be opened proves that the copy has the key. */
export const PROOF = 4;
export const REGISTER = 16;
export const RANGES = 17;
export const ASK = 18;
/** Flows of UDP: see contract.ts. Rows of REGISTER: see registration.ts. */
export const REGISTER_DATAGRAMS = 19;
/** Empty: from now on the copy reads the payload of responses whole, whatever prefix its hello asked for. */
export const READ_WHOLE = 20;
/** Intercept to copy: */
export const INTERCEPT_HELLO = 2;
export const WELCOME = 32;
export const RESPONSES = 33;
export const PING = 34;
export const FACTS = 35;

/** Bytes before the body. */
export const FRAME_HEADER = 8;
/** Bounds of a body that is read: during the handshake, when the other side is not known yet, and of a frame in a record. */
export const HANDSHAKE_LIMIT = 1024;
export const FRAME_LIMIT = MOST_FRAME - FRAME_HEADER;
/** Bounds of a body that we write: rows back to back, and JSON. */
export const ROWS_LIMIT = 16384;
export const JSON_LIMIT = FRAME_LIMIT;

/** Takes a whole frame; the body lies in `bytes` from `from` to `to` during the call. False if no more is wanted. */
export type TakeFrame = (
  type: number,
  bytes: Uint8Array,
  view: DataView,
  from: number,
  to: number,
) => boolean;

/** Called with the two words of an invalid frame header; nothing is read after it. */
export type TakeBroken = (length: number, type: number) => void;

export class FrameReader {
  /** Most bytes of a body; may be changed at any time, for the frames that begin after that. */
  limit: number;
  /** The limit of a new connection. */
  readonly #first: number;
  #part = new Uint8Array(new ArrayBuffer(256));
  #partView = new DataView(this.#part.buffer);
  #used = 0;
  /** Where the last bytes came from. */
  #source: Uint8Array = this.#part;
  #sourceView: DataView = this.#partView;
  #isBroken = false;
  readonly #take: TakeFrame;
  readonly #broken: TakeBroken;

  constructor(take: TakeFrame, broken: TakeBroken, limit = HANDSHAKE_LIMIT) {
    this.limit = limit;
    this.#first = limit;
    this.#take = take;
    this.#broken = broken;
  }

  /** Whether it has the beginning of a frame, and waits for the rest. */
  get isPartial(): boolean {
    return this.#used > 0;
  }

  /** Ready for a new connection. */
  reset(): void {
    this.limit = this.#first;
    this.#used = 0;
    this.#isBroken = false;
  }

  /** Takes what came next: `bytes` from `from` to `to`, which may be used again after the call. */
  feed(bytes: Uint8Array, from: number, to: number): void {
    if (this.#isBroken) return;
    if (bytes !== this.#source) {
      this.#source = bytes;
      this.#sourceView = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    }
    while (from < to) {
      if (this.#used === 0 && to - from >= FRAME_HEADER) {
        const length = this.#check(this.#sourceView, from);
        if (length < 0) return;
        const body = from + FRAME_HEADER;
        if (to - body >= length) {
          from = body + length;
          if (!this.#take(bytes[body - 4]!, bytes, this.#sourceView, body, from)) return;
          continue;
        }
      }
      from = this.#keep(bytes, from, to);
      if (from < 0) return;
    }
  }

  /** Adds bytes to the frame that is being collected; returns where the rest begins, or -1 if no more is wanted. */
  #keep(bytes: Uint8Array, from: number, to: number): number {
    if (this.#used < FRAME_HEADER) {
      const count = Math.min(FRAME_HEADER - this.#used, to - from);
      copyBytes(bytes, from, count, this.#part, this.#used);
      this.#used += count;
      from += count;
      if (this.#used < FRAME_HEADER) return from;
    }
    const length = this.#check(this.#partView, 0);
    if (length < 0) return -1;
    const end = FRAME_HEADER + length;
    const count = Math.min(end - this.#used, to - from);
    this.#reserve(this.#used + count, end);
    copyBytes(bytes, from, count, this.#part, this.#used);
    this.#used += count;
    if (this.#used < end) return from + count;
    this.#used = 0;
    return this.#take(this.#part[4]!, this.#part, this.#partView, FRAME_HEADER, end) ? from + count : -1;
  }

  /** The length of the body behind a header, or -1 if the header is wrong. */
  #check(view: DataView, at: number): number {
    const length = view.getUint32(at);
    const type = view.getUint32(at + 4);
    if (length <= this.limit && (type & 0xffffff) === 0) return length;
    this.#isBroken = true;
    this.#broken(length, type);
    return -1;
  }

  /** Makes room for `needed` bytes of a frame of `end`: doubling, so that an announced length alone takes no memory. */
  #reserve(needed: number, end: number): void {
    if (needed <= this.#part.length) return;
    const larger = new Uint8Array(new ArrayBuffer(Math.min(end, Math.max(needed, this.#part.length * 2))));
    copyBytes(this.#part, 0, this.#used, larger, 0);
    this.#part = larger;
    this.#partView = new DataView(larger.buffer);
  }
}

/** Appends a whole frame with `body`. `kept`: see `Outgoing.open`. */
export function writeFrame(out: Outgoing, type: number, body: Uint8Array, kept = true): void {
  out.open(type, FRAME_HEADER + body.length, kept);
  const at = out.grow(FRAME_HEADER + body.length, 1);
  writeHeader(out.view, at, body.length, type);
  copyBytes(body, 0, body.length, out.bytes, at + FRAME_HEADER);
}

/** Appends a frame that has its header. */
export function writeWhole(out: Outgoing, frame: Uint8Array): void {
  out.open(frame[4]!, frame.length, true);
  copyBytes(frame, 0, frame.length, out.bytes, out.grow(frame.length, 1));
}

/**
 * Room for a row of `length` bytes, a multiple of 4, at the end of a frame of `type`, which is begun if need be: returns
 * the row's offset in `out.bytes`.
 */
export function addRow(out: Outgoing, type: number, length: number): number {
  if (out.room(type) < length) {
    out.open(type, FRAME_HEADER + ROWS_LIMIT, false);
    writeHeader(out.view, out.grow(FRAME_HEADER, 0), 0, type);
  }
  const at = out.grow(length, 1);
  out.view.setUint32(out.start, out.length - FRAME_HEADER);
  return at;
}

export function writeHeader(view: DataView, at: number, length: number, type: number): void {
  view.setUint32(at, length);
  view.setUint32(at + 4, type << 24);
}
