/** Parses pcapng files (draft-ietf-opsawg-pcapng): sections of blocks, each section with its own byte order. */
import { type Frame, MAX_BLOCK, TraceError } from "./frame.ts";
import type { Window } from "./window.ts";

/** Reads the same in both byte orders. */
const SECTION_HEADER = 0x0a0d0d0a;
const INTERFACE_DESCRIPTION = 1;
const PACKET = 2;
const SIMPLE_PACKET = 3;
const ENHANCED_PACKET = 6;

const BYTE_ORDER_MAGIC = 0x1a2b3c4d;
const WORD = 2 ** 32;

/** Bytes of a block without content (type and two lengths), and of the smallest blocks of each kind that we read. */
const EMPTY = 12;
const SMALLEST_SECTION = 28;
const SMALLEST_INTERFACE = 20;
const SMALLEST_SIMPLE = 16;
const SMALLEST_PACKET = 32;

const OPTION_END = 0;
const OPTION_RESOLUTION = 9;
const OPTION_OFFSET = 14;
const MAX_INTERFACES = 65_536;

/** Whether a file may begin with this word. */
export function isPcapngMagic(magic: number): boolean {
  return magic === SECTION_HEADER;
}

/** What is needed of an interface of a section to read its packets. */
interface Interface {
  linkType: number;
  /** Bytes; 0: no limit. */
  snaplen: number;
  /** 10 ** exponent ticks of a timestamp are a second; with `isBinary` 2 ** exponent. */
  exponent: number;
  isBinary: boolean;
  /** us to add to every timestamp. */
  offset: number;
}

export class PcapngParser {
  /** Bytes that must be in the window, from its start, for the next step. */
  wanted = EMPTY;
  #isLittle = false;
  #interfaces: Interface[] = [];
  /** Time of the last packet that had one: a Simple Packet Block has none, and gets this one. */
  #time = 0;

  constructor(private readonly window: Window) {}

  /** Moves `frame` to the next packet; false if the window does not have all of it. Throws a TraceError. */
  next(frame: Frame): boolean {
    const { window } = this;
    for (;;) {
      if (window.available < EMPTY) {
        this.wanted = EMPTY;
        return false;
      }
      const { view, start } = window;
      const type = view.getUint32(start, this.#isLittle);
      if (type === SECTION_HEADER) this.#readByteOrder();
      const size = view.getUint32(start + 4, this.#isLittle);
      if (size < EMPTY || size % 4 !== 0 || size > MAX_BLOCK) throw this.#error(`a block of ${size} bytes`);
      this.wanted = size;
      if (window.available < size) return false;
      const last = view.getUint32(start + size - 4, this.#isLittle);
      if (last !== size) throw this.#error(`a block of ${size} bytes that ends as one of ${last}`);
      const isPacket = this.#read(type, start, size, frame);
      window.skip(size);
      if (isPacket) {
        this.wanted = EMPTY;
        return true;
      }
    }
  }

  #error(reason: string): TraceError {
    return new TraceError(this.window.position, reason);
  }

  #readByteOrder(): void {
    const { view, start } = this.window;
    this.#isLittle = view.getUint32(start + 8, true) === BYTE_ORDER_MAGIC;
    if (!this.#isLittle && view.getUint32(start + 8) !== BYTE_ORDER_MAGIC) {
      throw this.#error("a section without byte order");
    }
  }

  /** Reads a block, or skips one of another type. Returns whether it is a packet, which `frame` then has. */
  #read(type: number, start: number, size: number, frame: Frame): boolean {
    switch (type) {
      case ENHANCED_PACKET:
      case PACKET:
        this.#readPacket(type, start, size, frame);
        return true;
      case SIMPLE_PACKET:
        this.#readSimplePacket(start, size, frame);
        return true;
      case SECTION_HEADER:
        this.#readSection(start, size);
        return false;
      case INTERFACE_DESCRIPTION:
        this.#readInterface(start, size);
        return false;
      default:
        return false;
    }
  }

  #readSection(start: number, size: number): void {
    if (size < SMALLEST_SECTION) throw this.#error(`a section header of ${size} bytes`);
    const major = this.window.view.getUint16(start + 12, this.#isLittle);
    if (major !== 1) throw this.#error(`pcapng of version ${major}, not 1`);
    this.#interfaces = [];
  }

  #readInterface(start: number, size: number): void {
    const { view } = this.window;
    if (size < SMALLEST_INTERFACE) throw this.#error(`an interface description of ${size} bytes`);
    if (this.#interfaces.length >= MAX_INTERFACES)
      throw this.#error(`more than ${MAX_INTERFACES} interfaces`);
    const found: Interface = {
      linkType: view.getUint16(start + 8, this.#isLittle),
      snaplen: view.getUint32(start + 12, this.#isLittle),
      exponent: 6,
      isBinary: false,
      offset: 0,
    };
    this.#readOptions(start, start + 16, start + size - 4, found);
    this.#interfaces.push(found);
  }

  #readOptions(block: number, at: number, end: number, into: Interface): void {
    const { view, position } = this.window;
    while (at + 4 <= end) {
      const code = view.getUint16(at, this.#isLittle);
      const size = view.getUint16(at + 2, this.#isLittle);
      if (code === OPTION_END) return;
      const value = at + 4;
      const next = value + ((size + 3) & ~3);
      const isWrong = (code === OPTION_RESOLUTION && size !== 1) || (code === OPTION_OFFSET && size !== 8);
      if (next > end || isWrong) {
        throw new TraceError(position + at - block, `an option ${code} of ${size} bytes`);
      }
      if (code === OPTION_RESOLUTION) {
        const resolution = view.getUint8(value);
        into.isBinary = resolution > 127;
        into.exponent = resolution & 127;
      } else if (code === OPTION_OFFSET) {
        const [high, low] = this.#isLittle ? [value + 4, value] : [value, value + 4];
        const seconds = view.getInt32(high, this.#isLittle) * WORD + view.getUint32(low, this.#isLittle);
        into.offset = seconds * 1e6;
      }
      at = next;
    }
  }

  #readPacket(type: number, start: number, size: number, frame: Frame): void {
    const { view } = this.window;
    const isLittle = this.#isLittle;
    if (size < SMALLEST_PACKET) throw this.#error(`a packet block of ${size} bytes`);
    const index = type === PACKET ? view.getUint16(start + 8, isLittle) : view.getUint32(start + 8, isLittle);
    const source = this.#interface(index);
    const captured = view.getUint32(start + 20, isLittle);
    if (captured > size - SMALLEST_PACKET) {
      throw this.#error(`a packet of ${captured} bytes in a block of ${size}`);
    }
    this.#time = timeOf(source, view.getUint32(start + 12, isLittle), view.getUint32(start + 16, isLittle));
    this.#show(frame, source, index, start + 28, captured, view.getUint32(start + 24, isLittle));
  }

  #readSimplePacket(start: number, size: number, frame: Frame): void {
    if (size < SMALLEST_SIMPLE) throw this.#error(`a simple packet block of ${size} bytes`);
    const source = this.#interface(0);
    const length = this.window.view.getUint32(start + 8, this.#isLittle);
    const captured = source.snaplen > 0 ? Math.min(length, source.snaplen) : length;
    if (captured > size - SMALLEST_SIMPLE) {
      throw this.#error(`a packet of ${captured} bytes in a block of ${size}`);
    }
    this.#show(frame, source, 0, start + 12, captured, length);
  }

  #interface(index: number): Interface {
    const found = this.#interfaces[index];
    if (!found) throw this.#error(`a packet of interface ${index}, which is not described`);
    return found;
  }

  #show(frame: Frame, source: Interface, index: number, at: number, captured: number, length: number): void {
    frame.bytes = this.window.bytes;
    frame.view = this.window.view;
    frame.start = at;
    frame.end = at + captured;
    frame.length = Math.max(length, captured);
    frame.time = this.#time;
    frame.linkType = source.linkType;
    frame.interface = index;
  }
}

/** us since 1970 of a timestamp: ticks in two 32-bit words. */
function timeOf({ exponent, isBinary, offset }: Interface, high: number, low: number): number {
  if (isBinary) return offset + (high * WORD * 1e6) / 2 ** exponent + (low * 1e6) / 2 ** exponent;
  if (exponent <= 6) return offset + (high * WORD + low) * 10 ** (6 - exponent);
  const ticks = exponent === 9 ? 1000 : 10 ** (exponent - 6);
  // In two steps, because the ticks themselves may need more than the 53 bits of a double.
  const us = Math.floor(high / ticks) * WORD + ((high % ticks) * WORD + low) / ticks;
  return offset + us;
}
