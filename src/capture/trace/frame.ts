/** What the parsers of trace files share: the frame, the error and size limits. */

/** One frame of a trace; it points into the window that it was read from, and is valid until the next one is read. */
export class Frame {
  bytes: Uint8Array = new Uint8Array(0);
  view: DataView = new DataView(new ArrayBuffer(0));
  /** Offsets of the first captured byte, and of the byte after the last one. */
  start = 0;
  end = 0;
  /** Bytes on the wire: more than `end - start` where the capture cut the packet. */
  length = 0;
  /** us since 1970, with a fraction where the file has nanoseconds; of what an Input gives, on its timeline (timeline.ts). */
  time = 0;
  /** The same by the clock of the trace, which may have been set meanwhile; only of what an Input gives. */
  stamp = 0;
  /** LINKTYPE_ value: see wire/link.ts. */
  linkType = 0;
  /** Number of the interface within the file; 0 where the file does not tell interfaces apart. */
  interface = 0;
}

/** A trace cannot be read any further; the packets before were delivered. */
export class TraceError extends Error {
  constructor(
    /** Offset in bytes, after decompression. */
    readonly offset: number,
    readonly reason: string,
  ) {
    super(`at byte ${offset}: ${reason}`);
    this.name = "TraceError";
  }
}

/** A block or packet of more bytes is malformed: the same bound as libpcap's (sf-pcapng.c, MAX_BLOCKSIZE). */
export const MAX_BLOCK = 16 * 1024 * 1024;

/** Most bytes that a capture takes of one packet: libpcap's MAXIMUM_SNAPLEN. */
export const MAX_SNAPLEN = 262_144;
