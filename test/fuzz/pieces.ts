/** Cuts a stream into pieces, as a network does: whole, into single bytes, and at random places that the input itself decides. */
import { hashOf, Random } from "./random.ts";

/** Single bytes of a longer input take too long. */
const MOST_SINGLE = 1024;

/** The ways to cut the input; each is the lengths of its pieces, in order. The first is the whole. */
export function cutsOf(input: Uint8Array, ways = 3): number[][] {
  const random = new Random(hashOf(input));
  const cuts = [input.length > 0 ? [input.length] : []];
  if (input.length <= MOST_SINGLE) cuts.push(Array.from(input, () => 1));
  while (cuts.length < ways) cuts.push(randomCut(input.length, random));
  return cuts;
}

function randomCut(length: number, random: Random): number[] {
  const pieces: number[] = [];
  const usual = 1 + random.below(random.oneIn(2) ? 16 : 2000);
  for (let rest = length; rest > 0; rest -= pieces.at(-1)!)
    pieces.push(Math.min(rest, 1 + random.below(usual)));
  return pieces;
}

/**
 * Hands the pieces over in order, each amid other bytes in memory that is overwritten after the call: what a parser is given is its
 * for the call only.
 */
export function feedPieces(
  input: Uint8Array,
  cut: number[],
  feed: (bytes: Uint8Array, from: number, to: number) => void,
): void {
  let at = 0;
  for (const size of cut) {
    const bytes = new Uint8Array(new ArrayBuffer(size + 16)).fill(0x0a);
    bytes.set(input.subarray(at, at + size), 5);
    feed(bytes, 5, 5 + size);
    bytes.fill(0xee);
    at += size;
  }
}
