/** The target's data beyond RCV_NXT, as intervals of sequence numbers; SACK blocks report them (RFC 2018). */
import { distance } from "../../wire/tcp.ts";
import type { Context } from "../sessions/context.ts";
import {
  LAST_INTERVAL,
  OUT_OF_ORDER,
  OUT_OF_ORDER_COUNT,
  OUT_OF_ORDER_MAX,
  RCV_NXT,
  ROW,
} from "../sessions/table.ts";

/** Adds [left, right) to the ordered intervals; if there is no room it is dropped, and the target sends the data again. */
export function holdInterval(c: Context, s: number, left: number, right: number): void {
  const w = c.words;
  const row = s * ROW;
  const base = row + OUT_OF_ORDER;
  let count = w[row + OUT_OF_ORDER_COUNT]!;
  // Remove every interval that it touches, then insert the union.
  for (let i = 0; i < count; ) {
    const at = base + 2 * i;
    if (distance(w[at]!, right) > 0 || distance(left, w[at + 1]!) > 0) {
      i++;
      continue;
    }
    if (distance(w[at]!, left) < 0) left = w[at]!;
    if (distance(w[at + 1]!, right) > 0) right = w[at + 1]!;
    w.copyWithin(at, at + 2, base + 2 * count);
    count--;
  }
  if (count < OUT_OF_ORDER_MAX) {
    let i = 0;
    while (i < count && distance(w[base + 2 * i]!, left) < 0) i++;
    w.copyWithin(base + 2 * i + 2, base + 2 * i, base + 2 * count);
    w[base + 2 * i] = left;
    w[base + 2 * i + 1] = right;
    w[row + LAST_INTERVAL] = i;
    count++;
  }
  w[row + OUT_OF_ORDER_COUNT] = count;
}

/** Moves RCV_NXT to the end of the intervals it has reached, and removes them. */
export function takeIntervals(c: Context, s: number): void {
  const w = c.words;
  const row = s * ROW;
  const base = row + OUT_OF_ORDER;
  let count = w[row + OUT_OF_ORDER_COUNT]!;
  while (count > 0 && distance(w[base]!, w[row + RCV_NXT]!) <= 0) {
    if (distance(w[base + 1]!, w[row + RCV_NXT]!) > 0) w[row + RCV_NXT] = w[base + 1]!;
    w.copyWithin(base, base + 2, base + 2 * count);
    w[row + LAST_INTERVAL] = Math.max(0, w[row + LAST_INTERVAL]! - 1);
    count--;
  }
  w[row + OUT_OF_ORDER_COUNT] = count;
}
