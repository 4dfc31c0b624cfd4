/**
 * An array of `struct mmsghdr` for sendmmsg(2) and recvmmsg(2), allocated once and reused. Each message has one or two parts
 * and, where `nameLength` is not 0, its own destination in `names`.
 */
import { address, errno, libc, MSG_DONTWAIT } from "./libc.ts";

/** Bytes of struct mmsghdr and struct iovec on 64-bit Linux. */
const MESSAGE = 64;
const PART = 16;
const PARTS = 2;
const MESSAGE_WORDS = MESSAGE / 4;
const PART_WORDS = PART / 4;

export class Messages {
  readonly capacity: number;
  /** Destinations (struct sockaddr_in, sockaddr_in6), `nameLength` bytes each. */
  readonly names: Uint8Array;
  private readonly words: Uint32Array;
  private readonly at: number;
  private readonly parts: Uint32Array;

  constructor(capacity: number, nameLength: number) {
    this.capacity = capacity;
    this.words = new Uint32Array(new ArrayBuffer(capacity * MESSAGE));
    this.parts = new Uint32Array(new ArrayBuffer(capacity * PARTS * PART));
    this.names = new Uint8Array(new ArrayBuffer(Math.max(1, capacity * nameLength)));
    this.at = address(this.words);
    const partsAt = address(this.parts);
    const namesAt = address(this.names);
    for (let message = 0; message < capacity; message++) {
      const word = message * MESSAGE_WORDS;
      if (nameLength > 0) {
        writePointer(this.words, word, namesAt + message * nameLength);
        this.words[word + 2] = nameLength;
      }
      writePointer(this.words, word + 4, partsAt + message * PARTS * PART);
      this.words[word + 6] = 1;
    }
  }

  /** Sets a message of `length` bytes at the address `at`. */
  setOne(message: number, at: number, length: number): void {
    this.words[message * MESSAGE_WORDS + 6] = 1;
    this.setPart(message * PARTS, at, length);
  }

  /** Sets a message of two parts: `length` bytes at `at`, then `thenLength` bytes at `thenAt`. */
  setTwo(message: number, at: number, length: number, thenAt: number, thenLength: number): void {
    this.words[message * MESSAGE_WORDS + 6] = 2;
    this.setPart(message * PARTS, at, length);
    this.setPart(message * PARTS + 1, thenAt, thenLength);
  }

  private setPart(part: number, at: number, length: number): void {
    writePointer(this.parts, part * PART_WORDS, at);
    this.parts[part * PART_WORDS + 2] = length;
  }

  /** Sends messages `from` to `to` (excluded) without waiting. Returns how many the kernel accepted, or -errno of the first. */
  send(fd: number, from: number, to: number): number {
    const sent = libc.sendmmsg(fd, this.at + from * MESSAGE, to - from, MSG_DONTWAIT) as number;
    return sent < 0 ? -errno() : sent;
  }

  /** Receives into the first `count` messages without waiting. Returns how many were filled, or -errno. */
  receive(fd: number, count: number): number {
    const filled = libc.recvmmsg(fd, this.at, count, MSG_DONTWAIT, null) as number;
    return filled < 0 ? -errno() : filled;
  }

  /** Bytes that were received into a message, at most its room. */
  received(message: number): number {
    return this.words[message * MESSAGE_WORDS + 14]!;
  }
}

function writePointer(words: Uint32Array, index: number, pointer: number): void {
  words[index] = pointer;
  words[index + 1] = pointer / 4294967296;
}
