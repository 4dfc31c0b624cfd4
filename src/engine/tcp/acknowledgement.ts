/** Processing the acknowledgement number and the window of the target's segments. */
import type { Packet } from "../../wire/packet.ts";
import { distance } from "../../wire/tcp.ts";
import type { Context } from "../sessions/context.ts";
import {
  HEAD,
  MAX_SND_WND,
  NONE,
  PROBES,
  PROGRESS_AT,
  RETRIES,
  ROW,
  RTO_AT,
  SEQ_DELTA,
  SND_MAX,
  SND_NXT,
  SND_UNA,
  SND_WL1,
  SND_WL2,
  SND_WND,
  SND_WSCALE,
  TIMES,
} from "../sessions/table.ts";
import { releaseHead, segmentEnd } from "../turns/stream.ts";
import { measureRoundTrip, openCongestionWindow, takeDuplicate } from "./congestion.ts";
import { dataEnd } from "./emit.ts";
import { endProbing } from "./persist.ts";
import { armRetransmission } from "./retransmission.ts";

/**
 * Takes the acknowledgement and window of a segment of the target (RFC 9293 section 3.10.7.4, fifth check). False if it
 * acknowledges data that was never sent, or is older than MAX.SND.WND allows (RFC 5961 section 5.2). `payload`: sequence
 * numbers of the segment's data and FIN.
 */
export function takeAcknowledgement(c: Context, s: number, packet: Packet, payload: number): boolean {
  const w = c.words;
  const row = s * ROW;
  const ack = packet.ack | 0;
  if (distance(ack, w[row + SND_MAX]!) > 0) return false;
  const acked = distance(ack, w[row + SND_UNA]!);
  if (acked < -w[row + MAX_SND_WND]!) return false;
  const window = packet.window << w[row + SND_WSCALE]!;
  if (acked > 0) {
    w[row + SND_UNA] = ack;
    if (distance(ack, w[row + SND_NXT]!) > 0) w[row + SND_NXT] = ack;
    releaseAcknowledged(c, s);
    measureRoundTrip(c, s, ack, packet.time);
    w[row + RETRIES] = 0;
    w[row + PROBES] = 0;
    c.times[s * TIMES + RTO_AT] = 0;
    c.times[s * TIMES + PROGRESS_AT] = c.now;
    if (ack !== w[row + SND_NXT]) armRetransmission(c, s);
    openCongestionWindow(c, s, acked);
  } else if (acked === 0 && payload === 0 && window === w[row + SND_WND] && ack !== w[row + SND_NXT]) {
    takeDuplicate(c, s);
  }
  if (acked >= 0) {
    const seq = packet.seq | 0;
    const newer = distance(seq, w[row + SND_WL1]!);
    if (newer > 0 || (newer === 0 && distance(ack, w[row + SND_WL2]!) >= 0)) {
      if (w[row + SND_WND] === 0 && window > 0 && ack === w[row + SND_NXT]) endProbing(c, s);
      w[row + SND_WND] = window;
      if (window > w[row + MAX_SND_WND]!) w[row + MAX_SND_WND] = window;
      w[row + SND_WL1] = seq;
      w[row + SND_WL2] = ack;
    }
  }
  return true;
}

/** Releases the segments that are acknowledged; CURSOR moves on with them. */
function releaseAcknowledged(c: Context, s: number): void {
  const w = c.words;
  const row = s * ROW;
  // Our FIN took the sequence number of the next byte of the client's stream, which was not sent.
  const end = distance(w[row + SND_UNA]!, dataEnd(c, s)) > 0 ? dataEnd(c, s) : w[row + SND_UNA]!;
  const una = (end - w[row + SEQ_DELTA]!) | 0;
  for (let head = w[row + HEAD]!; head !== NONE; head = w[row + HEAD]!) {
    if (distance(segmentEnd(c, head), una) > 0) break;
    releaseHead(c, s);
  }
}
