/** Puts an input amid other bytes, and finds reads beyond it: the result must not depend on them. */
import { expectThat, Fault } from "./target.ts";

/** Bytes before and behind it. */
const MARGIN = 64;
/** A parser reads each byte a few times; more reads than this for each byte, and so many besides, are a loop that finds no end. */
const READS_PER_BYTE = 256;
const READS_BESIDES = 20_000;

export interface Placed {
  bytes: Uint8Array;
  view: DataView;
  /** Where the input begins and ends in `bytes`. */
  from: number;
  to: number;
}

/** The input amid bytes of this value. */
export function placed(input: Uint8Array, filler: number, margin = MARGIN): Placed {
  const bytes = new Uint8Array(new ArrayBuffer(input.length + 2 * margin)).fill(filler);
  bytes.set(input, margin);
  return { bytes, view: new DataView(bytes.buffer), from: margin, to: margin + input.length };
}

/**
 * What `read` returns, which must be the same whatever stands around the input; what it returns is compared as text. Errors are
 * results too, if they are those that `isRefusal` knows.
 */
export function readAmid(
  input: Uint8Array,
  read: (input: Placed) => string,
  isRefusal: (error: unknown) => boolean = () => false,
): string {
  const [first, ...others] = [0x00, 0xff, 0x45, 0x0a].map((filler) => {
    try {
      return read(placed(input, filler));
    } catch (error) {
      if (!isRefusal(error)) throw error;
      return `refused: ${(error as Error).message}`;
    }
  });
  for (const other of others)
    expectThat(other === first, () => `It reads what is not the input's: ${first} or ${other}`);
  return first!;
}

/** A view of `placed` that refuses reads beyond the input, and too many of them. */
export class GuardedView extends DataView<ArrayBuffer> {
  #reads = 0;
  readonly #from: number;
  readonly #to: number;

  constructor({ bytes, from, to }: Placed) {
    super(bytes.buffer as ArrayBuffer);
    this.#from = from;
    this.#to = to;
  }

  override getUint8(at: number): number {
    this.#look(at, 1);
    return super.getUint8(at);
  }
  override getUint16(at: number, isLittle?: boolean): number {
    this.#look(at, 2);
    return super.getUint16(at, isLittle);
  }
  override getUint32(at: number, isLittle?: boolean): number {
    this.#look(at, 4);
    return super.getUint32(at, isLittle);
  }
  override getInt32(at: number, isLittle?: boolean): number {
    this.#look(at, 4);
    return super.getInt32(at, isLittle);
  }

  #look(at: number, size: number): void {
    if (at < this.#from || at + size > this.#to)
      throw new Fault(`It reads ${size} bytes at ${at - this.#from} of ${this.#to - this.#from}`);
    if (++this.#reads > READS_PER_BYTE * (this.#to - this.#from) + READS_BESIDES)
      throw new Fault(`It reads ${this.#to - this.#from} bytes ${this.#reads} times`);
  }
}
