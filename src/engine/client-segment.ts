/** What a client's segment does to its session, or to one that is picked up midway. */
import type { Packet } from "../wire/packet.ts";
import { FIN, RST } from "../wire/tcp.ts";
import { openSession, takeData, takeEnd } from "./session-lifecycle.ts";
import type { Context } from "./sessions/context.ts";
import { COUNTER } from "./sessions/counters.ts";
import { ACTIVE_AT, CLIENT_FIN, CLIENT_RST, MIDSTREAM, NONE, TIMES } from "./sessions/table.ts";
import { isFirstCopy, noteMultipath, takeAside } from "./subflows.ts";
import { faultOf } from "./turns/acceptance.ts";
import { timeHandshake, timeProduction } from "./turns/answer-times.ts";
import { takeHandshake } from "./turns/stream.ts";

/** Takes a captured segment without SYN for one copy; `known` is its session, or NONE. */
export function takeRequest(c: Context, packet: Packet, known: number): void {
  const flags = packet.flags;
  let s = known;
  if (s === NONE) {
    if (packet.length === 0 || flags & RST || !c.config.takesMidstream) {
      c.counters[COUNTER.stray]!++;
      return;
    }
    s = openSession(c, packet, MIDSTREAM);
    if (s === NONE) return;
    c.counters[COUNTER.midstream]!++;
    noteMultipath(c, s, packet);
  }
  const fault = faultOf(c, s, packet);
  if (fault !== null) {
    if (isFirstCopy(c, packet)) c.counters[COUNTER[`invalid.${fault}`]]!++;
    return;
  }
  c.times[s * TIMES + ACTIVE_AT] = c.now;
  if (c.subflows[s] !== 0 && takeAside(c, s, packet)) return;
  if (flags & RST) {
    takeEnd(c, s, packet, CLIENT_RST);
    return;
  }
  if (packet.length > 0) {
    timeProduction(c, s, packet);
    takeData(c, s, packet, packet.seq);
  } else if (!(flags & FIN)) {
    if (takeHandshake(c, s, packet)) timeHandshake(c, s, packet);
    return;
  }
  if (flags & FIN) takeEnd(c, s, packet, CLIENT_FIN);
  c.makeReady(s);
}
