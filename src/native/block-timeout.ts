/** When the kernel hands over blocks of packets that are not full (TPACKET_V3, tp_retire_blk_tov). */

/** ms that who reads may be held up at least, before a ring is full of blocks with little in them. */
const SPAN = 250;
/** ms. */
const SOONEST = 2;
const LATEST = 10;

/** ms after which a ring of so many blocks hands one over: a block is used up then, however little has come. */
export function blockTimeout(blocks: number): number {
  return Math.min(LATEST, Math.max(SOONEST, Math.ceil(SPAN / blocks)));
}
