/** Writes the payload of a packet. */

export class Writer {
  private bytes = new Uint8Array(256);
  private length = 0;

  /** Little-endian, `size` bytes. */
  integer(value: number, size: number): this {
    this.grow(size);
    for (let i = 0; i < size; i++) {
      this.bytes[this.length++] = value % 256;
      value = Math.floor(value / 256);
    }
    return this;
  }

  lengthEncoded(value: number): this {
    if (value < 0xfb) return this.integer(value, 1);
    if (value < 2 ** 16) return this.integer(0xfc, 1).integer(value, 2);
    if (value < 2 ** 24) return this.integer(0xfd, 1).integer(value, 3);
    return this.integer(0xfe, 1).integer(value, 8);
  }

  put(bytes: Uint8Array): this {
    this.grow(bytes.length);
    this.bytes.set(bytes, this.length);
    this.length += bytes.length;
    return this;
  }

  zeros(count: number): this {
    this.grow(count);
    this.length += count;
    return this;
  }

  /** The payload so far, which must be shorter than 16 MiB, as a packet with this sequence number. */
  packet(sequence: number): Uint8Array {
    const packet = new Uint8Array(4 + this.length);
    packet.set([this.length & 0xff, (this.length >> 8) & 0xff, this.length >> 16, sequence & 0xff]);
    packet.set(this.bytes.subarray(0, this.length), 4);
    return packet;
  }

  private grow(size: number): void {
    if (this.length + size <= this.bytes.length) return;
    const grown = new Uint8Array(2 * (this.length + size));
    grown.set(this.bytes);
    this.bytes = grown;
  }
}
