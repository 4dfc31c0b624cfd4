/** The search: changes inputs that did something new, and keeps those that do, by the code that runs and by what the target answers. */
import type { Coverage, Run } from "./coverage.ts";
import { minimize } from "./minimize.ts";
import { mutate } from "./mutate.ts";
import { Random } from "./random.ts";
import type { Target } from "./target.ts";

/** ms that a batch should take, so that asking what code ran costs little beside it. */
const BATCH_MS = 80;
const MOST_IN_BATCH = 4096;
/** A block of code that runs more often than this for each byte of an input, and so many times besides, is a loop that finds no end. */
const STEPS_PER_BYTE = 2000;
const STEPS_BESIDES = 100_000;
/** Of inputs to change, those found last are taken as often as all together: they are where something new was. */
const RECENT = 16;

export interface Crash {
  input: Uint8Array;
  /** What does not hold, with the place in the code. */
  fault: string;
}

/** What of an error makes it the same one again: its words without numbers, and where it was thrown. */
export function faultKey(error: unknown): string {
  const { name, message, stack } = error as Error;
  const place = /\/((?:src|test)\/[\w./-]+):(\d+)/.exec(stack ?? "");
  return `${name}: ${message.replaceAll(/\d+/g, "N").slice(0, 60)} (${place ? `${place[1]}:${place[2]}` : "?"})`;
}

/** The error that an input leads to; null if all invariants hold. */
export function tryInput(target: Target, input: Uint8Array): unknown {
  try {
    target.take(Uint8Array.from(input));
    return null;
  } catch (error) {
    return error;
  }
}

/** A smaller input with the same fault. */
export function minimized(target: Target, input: Uint8Array, error: unknown): Uint8Array {
  const key = faultKey(error);
  return minimize(input, (smaller) => {
    const found = tryInput(target, smaller);
    return found !== null && faultKey(found) === key;
  });
}

export function wordsOf(target: Target): Uint8Array[] {
  return target.words.map((word) =>
    typeof word === "string" ? Uint8Array.from(Buffer.from(word, "latin1")) : word,
  );
}

export class Search {
  inputs = 0;
  readonly corpus: Uint8Array[] = [];
  readonly crashes = new Map<string, Crash>();
  readonly #words: Uint8Array[];
  readonly #answers = new Set<string | number>();
  readonly #random: Random;
  #batch = 64;

  /**
   * `coverage`: started before the target was loaded. `note`: called with each input before it is taken, so that one that never ends
   * is known. `keep`: called with each input that is kept.
   */
  constructor(
    private readonly target: Target,
    seed: number,
    private readonly coverage: Coverage,
    private readonly note: (input: Uint8Array) => void,
    private readonly keep: (input: Uint8Array) => void,
  ) {
    this.#words = wordsOf(target);
    this.#random = new Random(seed);
  }

  /** Takes inputs that there are already. */
  async begin(inputs: readonly Uint8Array[]): Promise<void> {
    await this.coverage.take();
    for (let at = 0; at < inputs.length; at += 256) await this.#work(inputs.slice(at, at + 256), () => {});
    if (this.corpus.length === 0) this.corpus.push(new Uint8Array(0));
  }

  /** Makes a batch of new inputs and takes them. */
  async round(): Promise<void> {
    const { corpus, target } = this;
    const inputs = Array.from({ length: this.#batch }, () => {
      const recent = Math.min(RECENT, corpus.length);
      const base = this.#random.oneIn(2)
        ? corpus[corpus.length - 1 - this.#random.below(recent)]!
        : this.#random.of(corpus);
      return mutate(base, corpus, this.#words, target.longest, this.#random);
    });
    const begun = performance.now();
    await this.#work(inputs, this.keep);
    const took = performance.now() - begun;
    if (took < BATCH_MS / 2) this.#batch = Math.min(MOST_IN_BATCH, this.#batch * 2);
    else if (took > BATCH_MS * 2) this.#batch = Math.max(1, this.#batch >> 1);
  }

  async #work(inputs: Uint8Array[], keep: (input: Uint8Array) => void): Promise<void> {
    const good: Uint8Array[] = [];
    let bytes = 0;
    for (const input of inputs) {
      this.inputs++;
      bytes += input.length;
      const answer = this.#take(input);
      if (answer === null) continue;
      good.push(input);
      if (this.#answers.has(answer)) continue;
      this.#answers.add(answer);
      this.corpus.push(input);
      keep(input);
    }
    const run = await this.coverage.take();
    if (run.most > boundOf(bytes, inputs.length)) await this.#findEndless(inputs);
    if (this.coverage.isNew(run)) await this.#findNew(good, keep);
    // What only a faulty input runs is not looked for again.
    this.coverage.add(run);
  }

  /** The target's answer; null if it was a fault. */
  #take(input: Uint8Array): string | number | null {
    this.note(input);
    try {
      return this.target.take(Uint8Array.from(input));
    } catch (error) {
      this.#crash(input, error);
      return null;
    }
  }

  /** Finds those of the inputs that run new code, by halves. */
  async #findNew(inputs: Uint8Array[], keep: (input: Uint8Array) => void): Promise<void> {
    if (inputs.length === 0) return;
    await this.coverage.take();
    for (const input of inputs) this.#take(input);
    const run = await this.coverage.take();
    if (!this.coverage.isNew(run)) return;
    if (inputs.length > 1) {
      const half = inputs.length >> 1;
      await this.#findNew(inputs.slice(0, half), keep);
      await this.#findNew(inputs.slice(half), keep);
      return;
    }
    this.coverage.add(run);
    this.corpus.push(inputs[0]!);
    keep(inputs[0]!);
  }

  async #findEndless(inputs: Uint8Array[]): Promise<void> {
    for (const input of inputs) {
      const { most } = await this.#runOf(input);
      if (most <= boundOf(input.length, 1)) continue;
      this.#crash(input, new Error(`It takes ${most} steps for ${input.length} bytes`));
    }
  }

  async #runOf(input: Uint8Array): Promise<Run> {
    await this.coverage.take();
    tryInput(this.target, input);
    return this.coverage.take();
  }

  #crash(input: Uint8Array, error: unknown): void {
    const key = faultKey(error);
    if (this.crashes.has(key)) return;
    // Before it is made smaller, so that the tries at that find it known.
    const crash = { input, fault: `${(error as Error).stack ?? error}` };
    this.crashes.set(key, crash);
    crash.input = minimized(this.target, input, error);
  }
}

function boundOf(bytes: number, inputs: number): number {
  return STEPS_PER_BYTE * bytes + STEPS_BESIDES * inputs;
}
