/** Reads the fields of a packet's payload (MySQL internals manual, "Protocol::Types"). Reading beyond its end throws. */

export class Malformed extends Error {}

export class Reader {
  at: number;

  constructor(
    private readonly bytes: Uint8Array,
    from: number,
    readonly end: number,
  ) {
    this.at = from;
  }

  get left(): number {
    return this.end - this.at;
  }

  /** Little-endian integer of 1 to 6 bytes. */
  integer(size: number): number {
    const from = this.take(size);
    let value = 0;
    for (let i = size - 1; i >= 0; i--) value = value * 256 + this.bytes[from + i]!;
    return value;
  }

  /** Length-encoded integer; throws on NULL (0xfb) and error (0xff) markers. */
  lengthEncoded(): number {
    const first = this.integer(1);
    if (first < 0xfb) return first;
    if (first === 0xfc) return this.integer(2);
    if (first === 0xfd) return this.integer(3);
    if (first !== 0xfe) throw new Malformed("not a length-encoded integer");
    const low = this.integer(4);
    const high = this.integer(4);
    if (high > 0x1fffff) throw new Malformed("a length of 2^53 or more");
    return high * 2 ** 32 + low;
  }

  /** The next `length` bytes, as a view. */
  view(length: number): Uint8Array {
    const from = this.take(length);
    return this.bytes.subarray(from, from + length);
  }

  /** The bytes before the next 0, or all that are left if there is none, as a view. */
  terminated(): Uint8Array {
    let to = this.at;
    while (to < this.end && this.bytes[to] !== 0) to++;
    const view = this.bytes.subarray(this.at, to);
    this.at = Math.min(to + 1, this.end);
    return view;
  }

  rest(): Uint8Array {
    return this.view(this.left);
  }

  private take(length: number): number {
    if (length > this.left) throw new Malformed("a packet that is too short");
    const from = this.at;
    this.at += length;
    return from;
  }
}

/** Little-endian integer of 4 bytes; the caller knows that they are there. */
export function integer32(bytes: Uint8Array, at: number): number {
  return (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)) >>> 0;
}

/** Little-endian integer of 3 bytes, as the length in a packet's header; the caller knows that they are there. */
export function integer24(bytes: Uint8Array, at: number): number {
  return bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16);
}

/** A character for each byte, so that `Buffer.from(text, "latin1")` has the bytes again. TextDecoder's latin1 is Windows-1252. */
export function text(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("latin1");
}
