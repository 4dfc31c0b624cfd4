/** The end of the engine: of every session at once. */
import { ACK, RST } from "../wire/tcp.ts";
import type { Context } from "./sessions/context.ts";
import { CLOSED, FREE, PATH, ROW, STATE, TIME_WAIT } from "./sessions/table.ts";
import { endSession } from "./tcp/connection.ts";
import { emitControl, hasRoom } from "./tcp/emit.ts";

/** Ends every session, with a RST where a connection is open; false when a batch was full. */
export function end(c: Context): boolean {
  c.halfOpen.clear();
  for (let s = 0; s < c.table.end; s++) {
    const state = c.words[s * ROW + STATE]!;
    if (state === FREE) continue;
    if (state !== CLOSED && state !== TIME_WAIT && !c.held[c.words[s * ROW + PATH]!]) {
      if (!hasRoom(c, s)) return false;
      emitControl(c, s, RST | ACK);
    }
    endSession(c, s, "ended");
  }
  return true;
}
