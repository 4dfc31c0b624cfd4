/** What a fuzzing target is: a parser with what must hold of it, whatever bytes it is given. */

export interface Target {
  /** What it reads and what must hold, in a line: `bin/fuzz --list` shows it. */
  about: string;
  /** Bytes of the longest input. */
  longest: number;
  /** What inputs are put together from, besides seeds: magic values, keywords, whole fields. */
  words: (string | Uint8Array)[];
  /** Fresh inputs in bin/test; what takes about a second there. */
  rounds: number;
  /**
   * Reads one input, and throws if an invariant does not hold. It keeps nothing of the inputs before. What it returns says what the
   * parser made of the input, coarsely: an input with an answer that was not seen before is kept, and changed further.
   */
  take(input: Uint8Array): string | number;
}

/** An invariant that does not hold. */
export class Fault extends Error {
  override name = "Fault";
}

/** Throws a Fault unless `holds`. */
export function expectThat(holds: boolean, what: () => string): asserts holds {
  if (!holds) throw new Fault(what());
}

/** The number of decimal digits of 2 ** k that are worth telling apart: for answers of targets. */
export function roughly(count: number): number {
  return count === 0 ? 0 : Math.floor(Math.log2(Math.abs(count))) + 1;
}
