/** The content of a message: its hash, and its first bytes within a bound and the memory that there is. */
import { createHash, type Hash } from "node:crypto";

/** Bytes that a piece of it takes itself. */
const PIECE = 100;

/** Memory for content that is kept. */
export interface ContentMemory {
  reserve(bytes: number): boolean;
  release(bytes: number): void;
}

export class Content {
  private pieces: Uint8Array[] | null = [];
  private size = 0;
  private reserved = 0;
  private readonly hash: Hash | null;

  /** `most`: bytes that are kept. `isHashed`: whether `digest` is asked for. */
  constructor(
    private readonly memory: ContentMemory,
    private readonly most: number,
    isHashed: boolean,
  ) {
    this.hash = isHashed ? createHash("sha256") : null;
  }

  take(bytes: Uint8Array, from: number, to: number): void {
    this.hash?.update(bytes.subarray(from, to));
    if (this.pieces === null) return;
    const size = Math.min(to - from, this.most - this.size);
    if (size <= 0) return;
    if (!this.memory.reserve(size + PIECE)) {
      this.close();
      return;
    }
    this.size += size;
    this.reserved += size + PIECE;
    this.pieces.push(bytes.slice(from, from + size));
  }

  /** SHA-256 of all of it; to be asked for once. */
  digest(): Uint8Array | null {
    return this.hash && new Uint8Array(this.hash.digest());
  }

  /** What was kept; null: there was no memory for it. */
  get bytes(): Uint8Array | null {
    if (this.pieces === null) return null;
    const bytes = new Uint8Array(this.size);
    let at = 0;
    for (const piece of this.pieces) {
      bytes.set(piece, at);
      at += piece.length;
    }
    return bytes;
  }

  /** Nothing of it is kept any more. */
  close(): void {
    if (this.pieces === null) return;
    this.memory.release(this.reserved);
    this.reserved = this.size = 0;
    this.pieces = null;
  }
}
