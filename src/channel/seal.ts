/**
 * Sealed records: all that is said after the hellos. A record is a frame of type SEALED; its body is a batch of whole frames,
 * encrypted and authenticated by AES-256-GCM (NIST SP 800-38D), and the tag.
 *
 * Each direction of each connection has a key of its own, and counts its records: the number is the nonce. A record that was
 * changed, left out, repeated, moved or made by somebody else cannot be opened. The number is not sent, and the length need not
 * be authenticated: with another one the tag is another.
 */
import { createCipheriv, createDecipheriv, hkdfSync } from "node:crypto";
import { copyBytes } from "../wire/copy.ts";
import { SEALED, writeHeader } from "./frame.ts";
import { MOST_FRAME, RECORD_BACK, RECORD_FRONT, type Seal } from "./outgoing.ts";

const CIPHER = "aes-256-gcm";
export const TAG_BYTES = RECORD_BACK;
export const RECORD_KEY_BYTES = 32;
const NONCE_BYTES = 12;
/** Most bytes of a record's body that is read. */
export const RECORD_LIMIT = MOST_FRAME + TAG_BYTES;
/** Records after which the next key is made: of the longest records 64 GiB, well below what GCM may encrypt under one key. */
const RECORDS_PER_KEY = 2 ** 20;
/** Records after which a connection ends: the nonce must never come again. At 1,000,000 a second after 8 years. */
const MOST_RECORDS = 2 ** 48;
const OPTIONS = { authTagLength: TAG_BYTES };

/** The key of one direction, and the nonce of its next record. */
class RecordKey {
  key: Uint8Array;
  readonly nonce = new Uint8Array(new ArrayBuffer(NONCE_BYTES));
  readonly #view = new DataView(this.nonce.buffer);
  #count: number;

  /** `key`: RECORD_KEY_BYTES that nothing else uses. `count`: records that there were before. */
  constructor(key: Uint8Array, count = 0) {
    this.key = key;
    this.#count = count;
    this.#number();
  }

  /** Whether there may be no more records. */
  get isSpent(): boolean {
    return this.#count >= MOST_RECORDS;
  }

  #number(): void {
    this.#view.setUint32(4, Math.floor(this.#count / 2 ** 32));
    this.#view.setUint32(8, this.#count % 2 ** 32);
  }

  /** Goes on to the next record: to be called as soon as the nonce was used. */
  step(): void {
    this.#count++;
    this.#number();
    if (this.#count % RECORDS_PER_KEY > 0) return;
    this.key = new Uint8Array(hkdfSync("sha256", this.key, "", "xcopy channel: next key", RECORD_KEY_BYTES));
  }
}

/** Makes records of what is about to be written. */
export class Sealer extends RecordKey implements Seal {
  /**
   * Seals in place: the frames in `bytes` from `at` + RECORD_FRONT to `to`, with TAG_BYTES free behind them. `view`: of `bytes`.
   * Returns where the record ends.
   */
  seal(bytes: Uint8Array, view: DataView, at: number, to: number): number {
    if (this.isSpent) throw new Error("Cannot seal a record: the key is spent");
    const from = at + RECORD_FRONT;
    writeHeader(view, at, to - from + TAG_BYTES, SEALED);
    const cipher = createCipheriv(CIPHER, this.key, this.nonce, OPTIONS);
    this.step();
    copyBytes(cipher.update(bytes.subarray(from, to)), 0, to - from, bytes, from);
    cipher.final();
    copyBytes(cipher.getAuthTag(), 0, TAG_BYTES, bytes, to);
    return to + TAG_BYTES;
  }
}

/** Opens the records of the other side. */
export class Opener extends RecordKey {
  /** The frames in the record whose body is `bytes` from `from` to `to`; null if it is not the record that had to come next. */
  open(bytes: Uint8Array, from: number, to: number): Uint8Array | null {
    const end = to - TAG_BYTES;
    if (end < from || this.isSpent) return null;
    const decipher = createDecipheriv(CIPHER, this.key, this.nonce, OPTIONS);
    this.step();
    decipher.setAuthTag(bytes.subarray(end, to));
    const frames = decipher.update(bytes.subarray(from, end));
    try {
      decipher.final();
      return frames;
    } catch {
      return null;
    }
  }
}
