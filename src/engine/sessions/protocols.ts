/** What the engine asks of the protocol module of a session `s`, a row of the table; src/engine/turns/protocols.ts answers. */
import type { Verdict } from "../../protocol/module.ts";
import type { Packet } from "../../wire/packet.ts";

export interface Protocols {
  /** Sequence number of the next byte of the session's queue; undefined if it has no module yet. */
  endOf(s: number): number | undefined;
  /** Whether a module decides about the session: it has one that is neither off nor done. */
  owns(s: number): boolean;
  /** Takes the next segment in order of the client's stream, to keep or release it; false if there is no module for it. */
  take(s: number, segment: number, ack: number): boolean;
  /** Whether the session is not copied any more, for its module said so. */
  isRefused(s: number): boolean;
  /** Whether the module has given the connection up since it was last asked. */
  takesBack(s: number): boolean;
  /** Whether there was no memory for what the module wrote since it was last asked. */
  hasOverflowed(s: number): boolean;
  /** Bytes of the client are missing, or were dropped: what comes next begins a request. */
  loseSync(s: number): void;
  /** Takes bytes of the target that are next in order, all of the packet's payload but the first `skip`. */
  response(s: number, packet: Packet, skip: number): void;
  /** Takes the beginning of a segment that production's server has sent. */
  production(s: number, packet: Packet): void;
  /** Whether the request that begins with this segment may follow what was sent. */
  mayBegin(s: number, segment: number): boolean;
  /** Whether requests of the session may wait for ever. */
  waitsForever(s: number): boolean;
  /** us without any packet after which the session is forgotten. */
  idleTimeout(s: number): number;
  /** What is to become of the request that begins with this segment, the one at the cursor; it may be another afterwards. */
  begin(s: number, segment: number): Verdict;
  /** More of the request that was begun is about to be sent, the segment at the cursor; it may be another afterwards. */
  more(s: number, segment: number): void;
  /** A segment of the queue is about to be forgotten: a request that was not sent, if it begins one. */
  forget(s: number, segment: number): void;
  /** Whether all that was sent is answered. */
  isAnswered(s: number): boolean;
  /** The connection to the target stands. */
  connected(s: number): void;
  /** The connection to the target is gone; the session may get another. */
  disconnected(s: number): void;
  /** The session is over. */
  close(s: number): void;
  /**
   * Puts what the module has to say before the requests that have not begun, once all that was sent is acknowledged. False
   * if there is no memory for it.
   */
  place(s: number): boolean;
}
