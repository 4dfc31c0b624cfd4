/**
 * Whether a response in a registered flow is to the copy that registered it. A real client with the same addresses and ports has
 * other sequence numbers: its responses are taken for a copy's by a chance of one in 2^32 where a SYN was registered, one in 2^24
 * where an open connection was. bpf/intercept/registered.h decides the same in mode target.
 */
import { OPEN, OPENING } from "../../channel/registration.ts";
import { ACK, RST, SYN } from "../../wire/tcp.ts";

/** Bytes in flight that are believed; bytes that a copy may have sent since it registered; how far answers may be from RCV.NXT. */
export const MOST_IN_FLIGHT = 1 << 20;
export const AHEAD = 1 << 18;
export const NEAR = 1 << 20;

/** All numbers are 32 bits, signed or not. */
export function proves(
  state: number,
  una: number,
  max: number,
  rcv: number,
  flags: number,
  seq: number,
  ack: number,
): boolean {
  if (state === OPENING) return (flags & ACK) !== 0 && ((ack - una) | 0) === 0;
  if (state === OPEN) {
    // Of a target that knows no such connection: its number is the copy's last acknowledgement (RFC 9293 section 3.5.2).
    if (!(flags & ACK)) return (flags & RST) !== 0 && ((seq - rcv) | 0) === 0;
    const inFlight = Math.min((max - una) >>> 0, MOST_IN_FLIGHT);
    return (ack - una) >>> 0 <= inFlight + AHEAD && (seq - rcv + NEAR) >>> 0 <= 2 * NEAR;
  }
  // What answers a SYN, of whatever number: a SYN-ACK, or a RST whose own number is 0.
  if (!(flags & ACK)) return false;
  return (flags & SYN) !== 0 || ((flags & RST) !== 0 && seq === 0);
}
