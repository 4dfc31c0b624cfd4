/** Closing the connection to the target, from either side (RFC 9293 section 3.6): when our FIN is due, FINs, TIME_WAIT. */
import { ACK, distance, FIN } from "../../wire/tcp.ts";
import type { Context } from "../sessions/context.ts";
import { COUNTER } from "../sessions/counters.ts";
import {
  CLIENT_END,
  CLIENT_END_ACK,
  CLIENT_FIN,
  CLIENT_RST,
  CLOSE_WAIT,
  CLOSING,
  CURSOR,
  ESTABLISHED,
  FIN_SENT,
  FIN_WAIT_1,
  FIN_WAIT_2,
  FIRST_ACK,
  FIRST_RCV,
  FLAGS,
  HALF_CLOSE,
  HAS_DATA,
  HEAD,
  HELD,
  LAST_ACK_STATE,
  LAST_PUSH,
  NONE,
  RCV_NXT,
  RESPONSE_AT,
  ROW,
  RTO_AT,
  SINCE,
  SND_MAX,
  SND_NXT,
  SND_UNA,
  STATE,
  STREAM_END,
  TIME_WAIT,
  TIMES,
} from "../sessions/table.ts";
import { noteTargetClose } from "../turns/target-close.ts";
import { hasCome, isAnswered, isAnsweredByModule, settleTurn } from "../turns/turns.ts";
import { endSession, enterState, leaveConnection } from "./connection.ts";
import { acknowledge, delayAck } from "./delayed-ack.ts";
import { dataEnd, emit } from "./emit.ts";
import { armRetransmission } from "./retransmission.ts";

/** us of silence after which a connection may be closed although the target has sent less than production. */
const CLOSING_QUIET = 500_000;
/** us for which a connection stays in CLOSE_WAIT so that the client may close it too. */
export const LINGER = 1_000_000;
/** us for which a row stays in TIME_WAIT to answer a repeated FIN. Its port is used again after all others (ports.ts). */
const TIME_WAIT_SPAN = 1_000_000;

/**
 * Whether our FIN (or the client's RST) is due: the client's stream is complete, sent, and answered; or the target closed
 * and the client did not close within LINGER.
 */
export function isFinDue(c: Context, s: number): boolean {
  const w = c.words;
  const row = s * ROW;
  const flags = w[row + FLAGS]!;
  // It was sent and is not acknowledged, and all data before it was sent again.
  if (flags & FIN_SENT) return w[row + SND_NXT] === dataEnd(c, s) && w[row + SND_NXT] !== w[row + SND_MAX];
  if (w[row + CURSOR] !== NONE) return false;
  if (w[row + STATE] === CLOSE_WAIT) {
    if (c.times[s * TIMES + SINCE]! + LINGER <= c.now && w[row + HEAD] === NONE) return true;
  } else if (w[row + STATE] !== ESTABLISHED) {
    return false;
  }
  if (!(flags & (CLIENT_FIN | CLIENT_RST)) || w[row + HELD] !== NONE) return false;
  if (flags & CLIENT_FIN && distance(w[row + CLIENT_END]!, w[row + STREAM_END]!) > 0) return false;
  if (flags & HALF_CLOSE) return true;
  if (w[row + STATE] === CLOSE_WAIT) return true;
  if (c.protocols?.owns(s)) return isAnsweredByModule(c, s, w[row + CLIENT_END_ACK]!);
  return isAnswered(c, s, w[row + CLIENT_END_ACK]!) && !isStillAnswering(c, s);
}

/**
 * Whether the target may still be sending answers that overlap (HTTP/2): it has sent less on this connection than production
 * had when the client closed, and was not silent for CLOSING_QUIET yet.
 */
function isStillAnswering(c: Context, s: number): boolean {
  const w = c.words;
  const row = s * ROW;
  if (!(w[row + FLAGS]! & HAS_DATA)) return false;
  const production = w[row + CLIENT_END_ACK]! - w[row + FIRST_ACK]!;
  const target = w[row + RCV_NXT]! - w[row + FIRST_RCV]!;
  return (
    distance(target, production) < 0 && !hasCome(c, s, c.times[s * TIMES + RESPONSE_AT]! + CLOSING_QUIET)
  );
}

/** Sends our FIN, or sends it again; the caller has checked `hasRoom`. */
export function sendFin(c: Context, s: number): void {
  const w = c.words;
  const row = s * ROW;
  emit(c, s, FIN | ACK, w[row + SND_NXT]!, NONE, 0, 0, 1, 0);
  const end = (w[row + SND_NXT]! + 1) | 0;
  if (distance(end, w[row + SND_MAX]!) > 0) w[row + SND_MAX] = end;
  else c.counters[COUNTER.retransmitted]!++;
  w[row + SND_NXT] = end;
  w[row + FLAGS]! |= FIN_SENT;
  if (w[row + STATE] === ESTABLISHED) w[row + STATE] = FIN_WAIT_1;
  else if (w[row + STATE] === CLOSE_WAIT) w[row + STATE] = LAST_ACK_STATE;
  if (c.times[s * TIMES + RTO_AT] === 0) armRetransmission(c, s);
}

/** Changes the state if our FIN was acknowledged; true if the connection is closed on both sides. */
export function advanceClose(c: Context, s: number): boolean {
  const w = c.words;
  const row = s * ROW;
  if (!(w[row + FLAGS]! & FIN_SENT) || w[row + SND_UNA] !== w[row + SND_MAX]) return false;
  switch (w[row + STATE]) {
    case FIN_WAIT_1:
      enterState(c, s, FIN_WAIT_2);
      return false;
    case CLOSING:
      enterTimeWait(c, s);
      return false;
    case LAST_ACK_STATE:
      finish(c, s);
      return true;
    default:
      return false;
  }
}

/** Takes the target's FIN, whose sequence number is RCV_NXT. */
export function takeFin(c: Context, s: number): void {
  const w = c.words;
  const row = s * ROW;
  switch (w[row + STATE]) {
    case ESTABLISHED:
      noteTargetClose(c, s);
      c.protocols?.targetEnded(s, false);
      w[row + RCV_NXT] = (w[row + RCV_NXT]! + 1) | 0;
      w[row + FLAGS]! |= LAST_PUSH;
      enterState(c, s, CLOSE_WAIT);
      // The ACK is delayed to be sent with the client's own FIN.
      delayAck(c, s);
      c.wheel.arm(s, c.now + LINGER);
      break;
    case FIN_WAIT_1:
      c.protocols?.targetEnded(s, false);
      w[row + RCV_NXT] = (w[row + RCV_NXT]! + 1) | 0;
      w[row + STATE] = CLOSING;
      acknowledge(c, s);
      break;
    case FIN_WAIT_2:
      c.protocols?.targetEnded(s, false);
      w[row + RCV_NXT] = (w[row + RCV_NXT]! + 1) | 0;
      enterTimeWait(c, s);
      acknowledge(c, s);
      break;
    default:
      acknowledge(c, s);
  }
}

function enterTimeWait(c: Context, s: number): void {
  enterState(c, s, TIME_WAIT);
  c.users?.leave(s);
  c.times[s * TIMES + SINCE] = c.now;
  c.wheel.arm(s, c.now + TIME_WAIT_SPAN);
}

/** Whether TIME_WAIT has lasted long enough. */
export function timeWaitIsOver(c: Context, s: number): boolean {
  return c.times[s * TIMES + SINCE]! + TIME_WAIT_SPAN <= c.now;
}

/** Both sides have closed: the session ends if its client has closed, else it waits for the client's next turn. */
export function finish(c: Context, s: number): void {
  if (c.words[s * ROW + FLAGS]! & (CLIENT_FIN | CLIENT_RST)) {
    endSession(c, s);
  } else {
    settleTurn(c, s);
    leaveConnection(c, s);
    c.makeReady(s);
  }
}
