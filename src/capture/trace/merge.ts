/** Merges several traces by time: the next packet of each is known, and the earliest is taken first. */
import type { Frame } from "./frame.ts";
import type { Input } from "./input.ts";

export interface MergeEvents {
  /** Takes the packet; false ends the merge. */
  onFrame(frame: Frame, input: Input): boolean;
  /** Before more bytes of an input are awaited, and at its end. */
  onRead(input: Input): void;
  /** The input was read to its end, or up to `error`. */
  onEnd(input: Input, error: unknown): void;
}

/**
 * Reads all inputs once, from their beginning. Each is opened when its first packet is the earliest and closed at its end,
 * so that files that follow each other in time are not all open at once.
 */
export async function merge(inputs: Input[], events: MergeEvents): Promise<void> {
  const heap = new Heap(inputs);
  for (let input = heap.first; input; input = heap.first) {
    try {
      if (!input.isOpen) await input.open();
      // Reads on from this input while it has the earliest packet.
      const until = heap.secondTime;
      while (input.time <= until && input.time !== Infinity) {
        if (!events.onFrame(input.frame, input)) return;
        const more = input.advance();
        if (more !== true) {
          events.onRead(input);
          if (!(await more)) break;
        }
      }
    } catch (error) {
      finish(error);
      continue;
    }
    if (input.time === Infinity) finish(undefined);
    else heap.sinkFirst();
  }

  function finish(error: unknown): void {
    const input = heap.first!;
    events.onRead(input);
    events.onEnd(input, error);
    input.close();
    heap.removeFirst();
  }
}

/** A binary heap of inputs by time; at the same time the input with the lower number comes first. */
class Heap {
  readonly #inputs: Input[];

  constructor(inputs: Input[]) {
    this.#inputs = inputs.toSorted((one, other) => (isBefore(one, other) ? -1 : 1));
  }

  get first(): Input | undefined {
    return this.#inputs[0];
  }

  /** The earliest time of all but the first. */
  get secondTime(): number {
    return Math.min(this.#inputs[1]?.time ?? Infinity, this.#inputs[2]?.time ?? Infinity);
  }

  removeFirst(): void {
    const last = this.#inputs.pop()!;
    if (this.#inputs.length === 0) return;
    this.#inputs[0] = last;
    this.sinkFirst();
  }

  sinkFirst(): void {
    const inputs = this.#inputs;
    const input = inputs[0]!;
    let place = 0;
    for (;;) {
      let child = 2 * place + 1;
      if (child >= inputs.length) break;
      if (child + 1 < inputs.length && isBefore(inputs[child + 1]!, inputs[child]!)) child++;
      if (!isBefore(inputs[child]!, input)) break;
      inputs[place] = inputs[child]!;
      place = child;
    }
    inputs[place] = input;
  }
}

function isBefore(one: Input, other: Input): boolean {
  return one.time < other.time || (one.time === other.time && one.number < other.number);
}
