/** A path leads another way: over another interface, with another MTU, from another address of this host. */
import { ipPair } from "../../wire/ip.ts";
import type { Context } from "../sessions/context.ts";
import {
  CLIENT_RST,
  CLIENTLESS,
  CLOSED,
  CLOSING,
  FIN_WAIT_1,
  FIN_WAIT_2,
  FLAGS,
  FREE,
  LAST_ACK_STATE,
  NONE,
  PATH,
  PORT,
  RETRIES,
  ROW,
  RTO_AT,
  STATE,
  SYN_SENT,
  TIME_WAIT,
  TIMES,
} from "../sessions/table.ts";
import { countAnswered } from "../turns/turns.ts";
import { finish } from "./closing.ts";
import { endSession, loseConnection } from "./connection.ts";

export interface NewWay {
  /** 4 or 16 bytes in network order; null: each connection keeps the address of its client. */
  source: Uint8Array | null;
  /** Index of the batch. */
  egress: number;
  /** Bytes. */
  mtu: number;
}

/** Open connections of the path: those that go on, and those that ended because they were from another address. */
export interface Moved {
  kept: number;
  ended: number;
}

/**
 * Sends what belongs to a path another way. A connection whose source address stays goes on; what was lost is sent again. From
 * another address the target does not know it: it is given up without a packet, and the session connects anew at its next turn.
 */
export function movePath(c: Context, pathIndex: number, { source, egress, mtu }: NewWay): Moved {
  const path = c.paths[pathIndex]!;
  const pair = source && ipPair(source, addressOf(path.pair.destination));
  const isSame = pair === null || pair.source.join() === path.pair.source.join();
  path.egress = egress;
  path.mtu = mtu;
  if (!isSame) path.pair = pair;
  const moved = { kept: 0, ended: 0 };
  for (let s = 0; s < c.table.end; s++) {
    const row = s * ROW;
    const state = c.words[row + STATE]!;
    if (state === FREE || state === CLOSED) continue;
    if (c.words[row + PATH] !== pathIndex || c.words[row + PORT] === NONE) continue;
    const isOpen = state !== TIME_WAIT && !(c.words[row + FLAGS]! & CLIENTLESS);
    if (isSame || state === SYN_SENT) {
      if (isOpen) moved.kept++;
      if (!isSame) connectAgain(c, s);
    } else {
      if (isOpen) moved.ended++;
      giveUp(c, s);
    }
  }
  return moved;
}

/** Every connection of a path is given up: its answers would not come back any more. A SYN that waits for an answer is sent again. */
export function endConnections(c: Context, pathIndex: number): void {
  for (let s = 0; s < c.table.end; s++) {
    const row = s * ROW;
    const state = c.words[row + STATE]!;
    if (state === FREE || state === CLOSED) continue;
    if (c.words[row + PATH] !== pathIndex || c.words[row + PORT] === NONE) continue;
    if (state === SYN_SENT) connectAgain(c, s);
    else giveUp(c, s);
  }
}

/** The SYN goes from the new address, at once. */
function connectAgain(c: Context, s: number): void {
  c.words[s * ROW + RETRIES] = 0;
  if (c.times[s * TIMES + RTO_AT]! > 0) c.times[s * TIMES + RTO_AT] = c.now;
  c.wheel.arm(s, c.now + 1);
}

function giveUp(c: Context, s: number): void {
  const row = s * ROW;
  const state = c.words[row + STATE]!;
  const flags = c.words[row + FLAGS]!;
  countAnswered(c, s);
  if (flags & CLIENTLESS) endSession(c, s);
  else if (state === TIME_WAIT || state === CLOSING || state === LAST_ACK_STATE) finish(c, s);
  else if (state === FIN_WAIT_1 || state === FIN_WAIT_2 || flags & CLIENT_RST) endSession(c, s, "moved");
  else loseConnection(c, s, "moved");
}

function addressOf(words: Uint32Array): Uint8Array {
  const bytes = new Uint8Array(words.length * 4);
  const view = new DataView(bytes.buffer);
  for (const [index, word] of words.entries()) view.setUint32(index * 4, word);
  return bytes;
}
