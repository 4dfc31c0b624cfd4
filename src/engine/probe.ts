/** Probes: connections of no client, by which one sees whether a target answers. */
import { mapAddress } from "../wire/address-words.ts";
import { OWN_MSS, OWN_WSCALE } from "./session-lifecycle.ts";
import type { Context } from "./sessions/context.ts";
import {
  ACTIVE_AT,
  CLIENT_ADDRESS,
  CLIENTLESS,
  FLAGS,
  NONE,
  OFFER_MSS,
  OFFER_SACK,
  OFFER_TIMESTAMPS,
  OFFER_WSCALE,
  OFFERS,
  ROW,
  TIMES,
} from "./sessions/table.ts";
import { connect, probePort } from "./tcp/connection.ts";

/** Opens a connection on a path that is reset once it is answered: see `probe` of Engine. */
export function probe(c: Context, path: number, from: Uint8Array | null): number {
  const s = c.table.allocate();
  if (s === NONE) return NONE;
  const row = s * ROW;
  if (from) mapAddress(from, c.words, row + CLIENT_ADDRESS);
  const port = from ? probePort(c, s) : c.ports.take(path);
  if (port === NONE) return NONE;
  c.words[row + FLAGS] = CLIENTLESS;
  c.words[row + OFFERS] = OFFER_SACK | OFFER_TIMESTAMPS;
  c.words[row + OFFER_MSS] = OWN_MSS;
  c.words[row + OFFER_WSCALE] = OWN_WSCALE;
  c.times[s * TIMES + ACTIVE_AT] = c.now;
  connect(c, s, path, port);
  c.makeReady(s);
  return port;
}
