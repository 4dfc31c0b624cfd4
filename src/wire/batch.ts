/** Batches of IP packets for an injector. */

/** Bytes kept free before each IP packet of a batch, for a virtio-net and an Ethernet header. */
export const HEADROOM = 32;

/** Most bytes of one IP packet in a batch, which the kernel or the NIC may cut into segments (GSO). */
export const MAX_PACKET = 65535;

/**
 * IP packets to be sent through one egress: the engine or the datagram replay writes them, an injector sends them.
 *
 * Each row is a whole IP packet with a finished IP header. A UDP packet is complete. In a TCP packet the checksum field holds
 * the folded, uncomplemented pseudo-header sum (Linux's CHECKSUM_PARTIAL): the injector, the kernel or the NIC finishes it.
 * A row with `segmentSize` > 0 has more payload than fits the MTU and must be cut into TCP segments of that many payload
 * bytes. The memory never moves, so that an injector may keep its address.
 */
export class PacketBatch {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  /** Offset of each row's IP header in `bytes`; HEADROOM bytes before it belong to the injector. */
  readonly offset: Uint32Array;
  /** Bytes of each row's IP packet. */
  readonly length: Uint32Array;
  /** Payload bytes per segment, 0 if the row is one segment. */
  readonly segmentSize: Uint32Array;
  /** When each row was due (us, CLOCK_MONOTONIC), for the lag; 0 if it is not the first transmission of captured bytes. */
  readonly due: Float64Array;
  /** When its connection was there, and when nothing but xcopy held it up any more: `due` or later, in this order. */
  readonly connected: Float64Array;
  readonly ready: Float64Array;
  count = 0;
  /** Offset of the next row's IP header. */
  next = HEADROOM;

  constructor(rows = 256, bytes = 1 << 20) {
    // An ArrayBuffer first: Bun moves the storage of a typed array when its `.buffer` is read later.
    const memory = new ArrayBuffer(bytes);
    this.bytes = new Uint8Array(memory);
    this.view = new DataView(memory);
    this.offset = new Uint32Array(new ArrayBuffer(rows * 4));
    this.length = new Uint32Array(new ArrayBuffer(rows * 4));
    this.segmentSize = new Uint32Array(new ArrayBuffer(rows * 4));
    this.due = new Float64Array(rows);
    this.connected = new Float64Array(rows);
    this.ready = new Float64Array(rows);
  }

  /** Whether a packet of any size still fits. */
  get hasRoom(): boolean {
    return this.count < this.offset.length && this.next + MAX_PACKET <= this.bytes.length;
  }

  /** Adds the packet of `length` bytes that was written at `next` as a row. */
  push(length: number, segmentSize: number, due = 0): void {
    const row = this.count++;
    this.offset[row] = this.next;
    this.length[row] = length;
    this.segmentSize[row] = segmentSize;
    this.due[row] = due;
    this.connected[row] = due;
    this.ready[row] = due;
    this.next = (this.next + length + HEADROOM + 7) & ~7;
  }

  /** Sets `connected` and `ready` of the last row. */
  noteWaits(connected: number, ready: number): void {
    this.connected[this.count - 1] = connected;
    this.ready[this.count - 1] = ready;
  }

  clear(): void {
    this.count = 0;
    this.next = HEADROOM;
  }
}
