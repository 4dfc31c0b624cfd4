/** Recognizes protocols that no copy works of (sessions/secured.ts), in the first turns of a client's stream. */
import { distance } from "../../wire/tcp.ts";
import type { Context } from "../sessions/context.ts";
import { COUNTER } from "../sessions/counters.ts";
import { LOOKED_AT, recognizeSecured } from "../sessions/secured.ts";
import { LENGTH, SEGMENT, SEQ } from "../sessions/segments.ts";
import { CLIENT_ISN, ROW, SERVICE } from "../sessions/table.ts";

/** Bytes of the stream in which a login, or the change to TLS (STARTTLS), is expected. */
const LOGIN_WITHIN = 4096;

/** Looks at a segment in which a turn begins: counts what it recognizes, and tells it. */
export function lookForSecured(c: Context, s: number, segment: number): void {
  const g = c.segments.words;
  const row = s * ROW;
  if (distance(g[segment * SEGMENT + SEQ]!, c.words[row + CLIENT_ISN]!) > LOGIN_WITHIN) return;
  const from = c.segments.offset(segment);
  const to = from + Math.min(g[segment * SEGMENT + LENGTH]!, LOOKED_AT);
  const name = recognizeSecured(c.segments.memory(segment), from, to);
  if (name === null) return;
  c.counters[COUNTER[`secured.${name}`]]!++;
  c.config.onSecured?.(c.words[row + SERVICE]!, name);
}
