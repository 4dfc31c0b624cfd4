/** Parses a trace in pcap or pcapng format, without I/O: the caller puts bytes into the window. */
import { type Frame, TraceError } from "./frame.ts";
import { isPcapMagic, PcapParser } from "./pcap.ts";
import { isPcapngMagic, PcapngParser } from "./pcapng.ts";
import type { Window } from "./window.ts";

const MAGIC_BYTES = 4;

/** Whether a trace may begin with this word (in network order). */
export function isTraceMagic(magic: number): boolean {
  return isPcapMagic(magic) || isPcapngMagic(magic);
}

export class TraceParser {
  #format: PcapParser | PcapngParser | null = null;

  constructor(readonly window: Window) {}

  /** Bytes that must be in the window, from its start, for the next step: reserve them before reading. */
  get wanted(): number {
    return this.#format?.wanted ?? MAGIC_BYTES;
  }

  /**
   * Moves `frame` to the next packet; false if more bytes are needed, or if all were read. Throws a TraceError with the
   * offset of the packet or block that is malformed; what came before was delivered.
   */
  next(frame: Frame): boolean {
    this.#format ??= this.#recognise();
    return this.#format?.next(frame) ?? false;
  }

  /** To call at the end of the bytes, when `next` has returned false. Throws a TraceError if a packet is cut off. */
  finish(): void {
    const { position, available } = this.window;
    if (this.#format === null && position + available === 0) throw new TraceError(0, "it is empty");
    if (this.#format === null) throw new TraceError(position, "it ends within the file's header");
    if (available > 0) {
      throw new TraceError(position, `it ends ${available} bytes into a packet or block`);
    }
  }

  #recognise(): PcapParser | PcapngParser | null {
    const { window } = this;
    if (window.available < MAGIC_BYTES) return null;
    const magic = window.view.getUint32(window.start);
    if (isPcapngMagic(magic)) return new PcapngParser(window);
    if (isPcapMagic(magic)) return new PcapParser(window);
    throw new TraceError(0, "it is neither pcap nor pcapng");
  }
}
