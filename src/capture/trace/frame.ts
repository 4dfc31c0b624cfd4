/** What the parsers of trace files have in common. */

/** A cursor over one frame of a trace: into the window it was read from, valid until the next one is read. */
export class Frame {
  bytes: Uint8Array = new Uint8Array(0);
  view: DataView = new DataView(new ArrayBuffer(0));
  /** Offsets of the first byte and behind the last captured byte. */
  start = 0;
  end = 0;
  /** Bytes on the wire: more than `end - start` where the capture cut it. */
  length = 0;
  /** us since 1970, with a fraction where the file has nanoseconds. */
  time = 0;
  /** LINKTYPE_ value: see wire/link.ts. */
  linkType = 0;
  /** Tells the interfaces of one file apart; 0 where the file does not. */
  interface = 0;
}

/** A trace that cannot be read on; what came before was delivered. */
export class TraceError extends Error {
  constructor(
    /** Of the stream of bytes, which is that of the file where it is not compressed. */
    readonly offset: number,
    readonly reason: string,
  ) {
    super(`at byte ${offset}: ${reason}`);
    this.name = "TraceError";
  }
}

/** A block or packet of more bytes is malformed: the same bound as libpcap's (sf-pcapng.c, MAX_BLOCKSIZE). */
export const MAX_BLOCK = 16 * 1024 * 1024;

/** What any capture may have taken of one packet: libpcap's MAXIMUM_SNAPLEN. */
export const MAX_SNAPLEN = 262_144;
