/** The interfaces that libpcap captures on, in shared memory: the main thread opens them, the data plane reads from them. */

const SLOTS = 256;
const FIELDS = 6;
const OPEN = 1;
const GONE = 2;

/** Slots are filled in order and never reused; a slot is valid as soon as its state is written. */
export class PcapTable {
  readonly #values: Float64Array;
  readonly #states: Int32Array;

  constructor(memory: SharedArrayBuffer) {
    this.#values = new Float64Array(memory, 0, SLOTS * FIELDS);
    this.#states = new Int32Array(memory, SLOTS * FIELDS * 8, SLOTS);
  }

  /** Memory for a table without interfaces. */
  static memory(): SharedArrayBuffer {
    return new SharedArrayBuffer(SLOTS * FIELDS * 8 + SLOTS * 4);
  }

  /** Slots that were filled. */
  get count(): number {
    let count = 0;
    while (count < SLOTS && Atomics.load(this.#states, count) !== 0) count++;
    return count;
  }

  /**
   * Fills the next slot; false if there is none left. `mac`: the interface's own address of 6 bytes, empty without a link
   * layer.
   */
  add(handle: number, descriptor: number, linkType: number, ifindex: number, mac: Uint8Array): boolean {
    const slot = this.count;
    if (slot === SLOTS) return false;
    this.#values.set([handle, descriptor, linkType, ifindex, ...halves(mac)], slot * FIELDS);
    Atomics.store(this.#states, slot, OPEN);
    return true;
  }

  /** Marks a slot whose interface is gone: nothing more is read from it. */
  end(slot: number): void {
    Atomics.store(this.#states, slot, GONE);
  }
  isOpen(slot: number): boolean {
    return Atomics.load(this.#states, slot) === OPEN;
  }

  handle(slot: number): number {
    return this.#values[slot * FIELDS]!;
  }
  descriptor(slot: number): number {
    return this.#values[slot * FIELDS + 1]!;
  }
  linkType(slot: number): number {
    return this.#values[slot * FIELDS + 2]!;
  }
  ifindex(slot: number): number {
    return this.#values[slot * FIELDS + 3]!;
  }
  /** Whether the Ethernet frame at offset `at` is addressed to the interface. */
  takes(slot: number, view: DataView, at: number): boolean {
    const own = slot * FIELDS + 4;
    return view.getUint32(at) === this.#values[own]! && view.getUint16(at + 4) === this.#values[own + 1]!;
  }
}

function halves(mac: Uint8Array): [number, number] {
  const view = new DataView(new ArrayBuffer(6));
  for (const [index, byte] of mac.subarray(0, 6).entries()) view.setUint8(index, byte);
  return [view.getUint32(0), view.getUint16(4)];
}
