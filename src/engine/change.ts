/** What of its configuration an engine takes while it runs, and what that means for the sessions that it has. */
import { addressBytes } from "../wire/address-words.ts";
import { supersede } from "./session-lifecycle.ts";
import type { Context, EngineConfig } from "./sessions/context.ts";
import { TurnLimit } from "./sessions/share.ts";
import { Spread } from "./sessions/spread.ts";
import {
  CLIENT_ADDRESS,
  CLIENT_PORTS,
  CLIENTLESS,
  CURSOR,
  FLAGS,
  FREE,
  NONE,
  ONLINE_ADDRESS,
  PORT,
  ROW,
  STATE,
  SUPERSEDED,
} from "./sessions/table.ts";
import { Users } from "./sessions/users.ts";

/** Numbers of the configuration that may change, with the units of EngineConfig. */
export type EngineNumbers = Required<
  Pick<
    EngineConfig,
    "jitter" | "late" | "turnTimeout" | "quiet" | "turnLimit" | "users" | "sessionTimeout" | "idleTimeout"
  >
>;

/**
 * From now on these numbers hold. Sessions go on; what waits is looked at again. `round`: a number that grows with each change of
 * `turnLimit`, the same for all engines; `since`: when that began, us, the same for all too.
 */
export function changeNumbers(c: Context, numbers: EngineNumbers, round: number, since: number): void {
  const { config, table } = c;
  if (numbers.turnLimit !== config.turnLimit)
    c.turnLimit = new TurnLimit({ ...c.share, since }, numbers.turnLimit, round);
  Object.assign(config, numbers);
  if (numbers.late?.spreads) c.spread ??= new Spread(table.capacity);
  if (c.users !== null) c.users.setLimit(numbers.users);
  else if (numbers.users > 0) c.users = usersOf(c, numbers.users);
  for (let s = 0; s < table.end; s++) {
    if (c.words[s * ROW + STATE] === FREE) continue;
    if (c.words[s * ROW + CURSOR] !== NONE) c.makeReady(s);
    // Its timers were set by the numbers before.
    c.wheel.arm(s, c.now + 1);
  }
}

/** Those that have a connection are users already. */
function usersOf(c: Context, limit: number): Users {
  const users = new Users(c.table.capacity, limit);
  for (let s = 0; s < c.table.end; s++) {
    const row = s * ROW;
    if (c.words[row + STATE] !== FREE && c.words[row + PORT] !== NONE) users.adopt(s);
  }
  return users;
}

/**
 * Ends the sessions whose clients' packets are not captured any more, as `isLeftOut` says of the addresses and ports of a client
 * and its service: what was captured of them is delivered, then they close.
 */
export function leaveOut(
  c: Context,
  isLeftOut: (client: Uint8Array, service: Uint8Array, clientPort: number, servicePort: number) => boolean,
): void {
  const w = c.words;
  for (let s = 0; s < c.table.end; s++) {
    const row = s * ROW;
    if (w[row + STATE] === FREE || w[row + FLAGS]! & (CLIENTLESS | SUPERSEDED)) continue;
    const client = addressBytes(w, row + CLIENT_ADDRESS);
    const service = addressBytes(w, row + ONLINE_ADDRESS);
    const ports = w[row + CLIENT_PORTS]!;
    if (isLeftOut(client, service, ports >>> 16, ports & 0xffff)) supersede(c, s);
  }
}
