/**
 * Reads the ring of a packet socket in place: TPACKET_V3 (linux/if_packet.h, Documentation/networking/packet_mmap.rst). It has
 * blocks of packets, each owned by the kernel or by us.
 *
 * The kernel hands a block over when it is full or some ms old. The memory is mapped writable, so that Atomics can read and
 * write a block's status. They are also the fences that arm64 needs.
 */
import { mapShared, PROT_READ, PROT_WRITE } from "../../native/libc.ts";

/** struct tpacket_block_desc, in words. */
const BLOCK_STATUS = 2;
const BLOCK_PACKETS = 3;
const BLOCK_FIRST = 4;
const BLOCK_NUMBER = 6;
const OURS = 1;

/** struct tpacket3_hdr, in words, and the struct sockaddr_ll behind it, in bytes from the header. */
const NEXT = 0;
const SECONDS = 1;
const NANOSECONDS = 2;
const CAPTURED = 3;
const LENGTH = 4;
const STATUS = 5;
const OFFSETS = 6;
const ADDRESS = 48;
const PROTOCOL = ADDRESS + 2;
const INTERFACE = ADDRESS + 4;
const PACKET_TYPE = ADDRESS + 10;

/** Bits of STATUS: TP_STATUS_CSUMNOTREADY (the sender left it to be finished), TP_STATUS_CSUM_VALID. */
const VERIFIED = (1 << 3) | (1 << 7);

export class PacketRing {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  readonly #words: Int32Array;
  readonly #blockWords: number;
  #block = 0;
  /** Packets of the block that are not read yet, and the offset of the next one. */
  #left = 0;
  #at = 0;

  /** `socket` has a ring of `blocks` blocks of `blockBytes`. It must have only one reader. */
  constructor(
    socket: number,
    private readonly blocks: number,
    blockBytes: number,
  ) {
    const memory = mapShared(socket, blocks * blockBytes, PROT_READ | PROT_WRITE).buffer;
    this.bytes = new Uint8Array(memory, 0, blocks * blockBytes);
    this.view = new DataView(memory, 0, blocks * blockBytes);
    this.#words = new Int32Array(memory, 0, (blocks * blockBytes) / 4);
    this.#blockWords = blockBytes / 4;
    this.#block = this.#findOldest();
  }

  /** The block to begin with: the oldest that is ours, or else the youngest, which the kernel is filling. */
  #findOldest(): number {
    let [oldest, youngest] = [-1, 0];
    const numberOf = (block: number) => this.#words[block * this.#blockWords + BLOCK_NUMBER]!;
    for (let block = 0; block < this.blocks; block++) {
      const isOurs = Atomics.load(this.#words, block * this.#blockWords + BLOCK_STATUS) & OURS;
      if (isOurs && (oldest < 0 || ((numberOf(block) - numberOf(oldest)) | 0) < 0)) oldest = block;
      if (((numberOf(block) - numberOf(youngest)) | 0) > 0) youngest = block;
    }
    return oldest < 0 ? youngest : oldest;
  }

  /** Whether there is a packet; the getters below are about it. */
  get hasPacket(): boolean {
    while (this.#left === 0) {
      const block = this.#block * this.#blockWords;
      if ((Atomics.load(this.#words, block + BLOCK_STATUS) & OURS) === 0) return false;
      this.#left = this.#words[block + BLOCK_PACKETS]!;
      this.#at = block * 4 + this.#words[block + BLOCK_FIRST]!;
      if (this.#left === 0) this.#release();
    }
    return true;
  }

  /** Whether the kernel has filled more than a quarter of the blocks. */
  get isFilling(): boolean {
    const ahead = (this.#block + (this.blocks >> 2)) % this.blocks;
    return (Atomics.load(this.#words, ahead * this.#blockWords + BLOCK_STATUS) & OURS) !== 0;
  }

  get seconds(): number {
    return this.#words[(this.#at >>> 2) + SECONDS]! >>> 0;
  }
  get nanoseconds(): number {
    return this.#words[(this.#at >>> 2) + NANOSECONDS]!;
  }
  /** Captured bytes, and those on the wire, from the MAC header on. */
  get captured(): number {
    return this.#words[(this.#at >>> 2) + CAPTURED]!;
  }
  get length(): number {
    return this.#words[(this.#at >>> 2) + LENGTH]!;
  }
  /** See Packet. */
  get isVerified(): boolean {
    return (this.#words[(this.#at >>> 2) + STATUS]! & VERIFIED) !== 0;
  }
  /** Offsets in `bytes` of the MAC header (if there is one) and of the network header. */
  get link(): number {
    return this.#at + (this.#words[(this.#at >>> 2) + OFFSETS]! & 0xffff);
  }
  get network(): number {
    return this.#at + (this.#words[(this.#at >>> 2) + OFFSETS]! >>> 16);
  }
  /** EtherType of what is at `network`. */
  get protocol(): number {
    return this.view.getUint16(this.#at + PROTOCOL);
  }
  get ifindex(): number {
    return this.#words[(this.#at + INTERFACE) >>> 2]!;
  }
  /** PACKET_HOST is 0. */
  get packetType(): number {
    return this.bytes[this.#at + PACKET_TYPE]!;
  }

  /** Moves to the next packet. The memory of the last one may then belong to the kernel. */
  next(): void {
    this.#at += this.#words[(this.#at >>> 2) + NEXT]!;
    if (--this.#left === 0) this.#release();
  }

  #release(): void {
    Atomics.store(this.#words, this.#block * this.#blockWords + BLOCK_STATUS, 0);
    this.#block = (this.#block + 1) % this.blocks;
  }
}
