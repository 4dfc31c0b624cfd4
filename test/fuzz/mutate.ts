/** Makes an input from others: bits and numbers changed, blocks moved, words put in, lengths that do not fit, two inputs in one. */
import type { Random } from "./random.ts";

const NUMBERS = [
  0, 1, 2, 3, 4, 7, 8, 15, 16, 20, 31, 32, 40, 60, 63, 64, 127, 128, 250, 251, 252, 253, 254, 255, 256, 1024,
  1460, 1500, 4096, 16383, 16384, 32767, 32768, 65534, 65535, 65536, 0xffffff, 0x7fffffff, 0x80000000,
  0xfffffffe, 0xffffffff,
];
const WIDTHS = [1, 1, 2, 2, 3, 4];
/** Most changes at a time; few are usual. */
const MOST_CHANGES = 6;

/** `corpus`: what the other input is taken from. The result has at most `longest` bytes. */
export function mutate(
  input: Uint8Array,
  corpus: readonly Uint8Array[],
  words: readonly Uint8Array[],
  longest: number,
  random: Random,
): Uint8Array {
  let bytes: Uint8Array = Uint8Array.from(input);
  const changes = 1 + random.below(random.oneIn(3) ? MOST_CHANGES : 2);
  for (let i = 0; i < changes; i++) bytes = change(bytes, corpus, words, random);
  return bytes.length > longest ? bytes.slice(0, longest) : bytes;
}

function change(
  bytes: Uint8Array,
  corpus: readonly Uint8Array[],
  words: readonly Uint8Array[],
  random: Random,
): Uint8Array {
  if (bytes.length === 0)
    return words.length > 0 && random.oneIn(2) ? random.of(words) : random.bytes(1 + random.below(16));
  const at = random.below(bytes.length);
  switch (random.below(12)) {
    case 0:
      bytes[at]! ^= 1 << random.below(8);
      return bytes;
    case 1:
      bytes[at] = random.below(256);
      return bytes;
    case 2: {
      const width = random.of(WIDTHS);
      return write(bytes, at, width, read(bytes, at, width, random) + random.below(65) - 32, random);
    }
    case 3:
      return write(bytes, at, random.of(WIDTHS), random.of(NUMBERS), random);
    case 4:
      // A length: of what follows, or nearly.
      return write(bytes, at, random.of(WIDTHS), bytes.length - at - random.below(24), random);
    case 5:
      return spliced(bytes, at, sizeFrom(bytes, at, random), EMPTY);
    case 6:
      return spliced(bytes, at, 0, blockOf(bytes, random));
    case 7: {
      const block = blockOf(bytes, random);
      return spliced(bytes, at, block.length, block);
    }
    case 8:
      return words.length > 0 ? spliced(bytes, at, 0, random.of(words)) : bytes;
    case 9: {
      if (words.length === 0) return bytes;
      const word = random.of(words);
      return spliced(bytes, at, word.length, word);
    }
    case 10: {
      if (corpus.length === 0) return bytes;
      const other = random.of(corpus);
      if (other.length === 0) return bytes;
      // The head of one and the tail of the other, or a block of it in between.
      if (random.oneIn(2))
        return spliced(bytes, at, bytes.length, other.subarray(random.below(other.length)));
      return spliced(bytes, at, 0, blockOf(other, random));
    }
    default:
      return random.oneIn(2) ? bytes.slice(0, at) : spliced(bytes, at, 0, random.bytes(1 + random.below(8)));
  }
}

const EMPTY = new Uint8Array(0);

/** `bytes` with `block` in place of `count` of them from `at` on. */
function spliced(bytes: Uint8Array, at: number, count: number, block: Uint8Array): Uint8Array {
  const behind = bytes.subarray(Math.min(bytes.length, at + count));
  const joined = new Uint8Array(at + block.length + behind.length);
  joined.set(bytes.subarray(0, at));
  joined.set(block, at);
  joined.set(behind, at + block.length);
  return joined;
}

function sizeFrom(bytes: Uint8Array, at: number, random: Random): number {
  const most = bytes.length - at;
  return 1 + random.below(random.oneIn(2) ? Math.min(most, 8) : most);
}

function blockOf(bytes: Uint8Array, random: Random): Uint8Array {
  const at = random.below(bytes.length);
  return bytes.subarray(at, at + sizeFrom(bytes, at, random));
}

function read(bytes: Uint8Array, at: number, width: number, random: Random): number {
  const isLittle = random.oneIn(2);
  let value = 0;
  for (let i = 0; i < width; i++) value = value * 256 + (bytes[at + (isLittle ? width - 1 - i : i)] ?? 0);
  return value;
}

/** Writes a number of `width` bytes in either byte order, as far as there is room. */
function write(bytes: Uint8Array, at: number, width: number, value: number, random: Random): Uint8Array {
  const isLittle = random.oneIn(2);
  for (let i = 0; i < width; i++) {
    const place = at + (isLittle ? i : width - 1 - i);
    if (place < bytes.length) bytes[place] = Math.floor(value / 256 ** i) & 255;
  }
  return bytes;
}
