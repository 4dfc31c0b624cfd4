/**
 * Rows of REGISTER: a flow (contract.ts), then `u32 una | u32 max | u32 rcv | u32 state` in network order: what the target's
 * responses to the copy say, and those to a real client with the same addresses and ports do not.
 */
import { FLOW_BYTES } from "./contract.ts";

export const REGISTRATION_BYTES = FLOW_BYTES + 16;
const UNA = FLOW_BYTES;
const MAX = UNA + 4;
const RCV = UNA + 8;
const STATE = UNA + 12;

/** The copy is about to send its SYN: `una` and `max` are the number after that of the SYN, `rcv` is not used. */
export const OPENING = 1;
/** SND.UNA, the highest sequence number sent, and RCV.NXT (RFC 9293 section 3.3.1). */
export const OPEN = 2;
/** A tcpcopy tells no numbers. */
export const UNNUMBERED = 3;

/** Writes what follows the flow in a row at `at`. */
export function writeProof(
  view: DataView,
  at: number,
  una: number,
  max: number,
  rcv: number,
  state: number,
): void {
  view.setInt32(at + UNA, una);
  view.setInt32(at + MAX, max);
  view.setInt32(at + RCV, rcv);
  view.setInt32(at + STATE, state);
}

/** What a row says of the responses in its flow; reused. */
export class Proof {
  /** Sequence numbers, signed. */
  una = 0;
  max = 0;
  rcv = 0;
  state = UNNUMBERED;

  /** Of the row at `at`; false if it has no state that there is. */
  read(view: DataView, at: number): boolean {
    this.una = view.getInt32(at + UNA);
    this.max = view.getInt32(at + MAX);
    this.rcv = view.getInt32(at + RCV);
    this.state = view.getInt32(at + STATE);
    return this.state >= OPENING && this.state <= UNNUMBERED;
  }
}
