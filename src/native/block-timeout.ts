/** The time after which the kernel hands over a block that is not full (TPACKET_V3, tp_retire_blk_tov). */

/** ms that a reader may be delayed before the ring is full, if every block is handed over nearly empty. */
const READER_DELAY = 250;
/** ms: bounds of the timeout. With fewer than 25 blocks the upper one allows less than READER_DELAY. */
const SHORTEST = 2;
const LONGEST = 10;

/** The timeout in ms for a ring of so many blocks. A longer one delays packets, a shorter one wastes blocks. */
export function blockTimeout(blocks: number): number {
  return Math.min(LONGEST, Math.max(SHORTEST, Math.ceil(READER_DELAY / blocks)));
}
