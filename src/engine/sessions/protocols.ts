/** The interface by which the engine calls the protocol module of a session `s`; src/engine/turns/protocols.ts has it. */
import type { Login, Verdict } from "../../protocol/module.ts";
import type { Packet } from "../../wire/packet.ts";

export interface Protocols {
  /** Sequence number of the next byte of the session's queue; undefined if it has no module yet. */
  endOf(s: number): number | undefined;
  /** Whether the session has a module that has neither handed it over nor refused it. */
  owns(s: number): boolean;
  /**
   * Takes the next segment in order of the client's stream, and queues or releases it; false if the session has no module.
   * `ack`: the segment's acknowledgement number.
   */
  take(s: number, segment: number, ack: number): boolean;
  /** Whether the module has refused the session: it is not copied any more. */
  isRefused(s: number): boolean;
  /** Whether the module has given the connection up, since this was last asked. */
  takesBack(s: number): boolean;
  /** Whether memory was missing for what the module wrote, since this was last asked. */
  hasOverflowed(s: number): boolean;
  /** Bytes of the client are missing or were dropped: the module is told that the next bytes begin a request. */
  loseSync(s: number): void;
  /** Takes bytes of the target that are next in order: the payload of the packet without its first `skip` bytes. */
  response(s: number, packet: Packet, skip: number): void;
  /** The session was opened, whose server's stream begins with the byte of this number. */
  opened(s: number, seq: number): void;
  /** Takes a segment that production's server has sent: its first bytes, its SYN, FIN or RST. */
  production(s: number, packet: Packet): void;
  /** What production said to the login that the request needs which begins with this segment, the next of the queue. */
  login(s: number, segment: number): Login;
  /** A request was dropped because its login was UNDECIDED for too long. */
  undecided(s: number): void;
  /** Whether the session may have a connection. */
  mayConnect(s: number): boolean;
  /** Whether the request that begins with this segment may follow what was sent. */
  mayBegin(s: number, segment: number): boolean;
  /** Whether the request that begins with this segment, the next of the queue, is complete and may go over another connection. */
  standsAlone(s: number, segment: number): boolean;
  /** The request that begins with this segment goes over the connection of session `to`. */
  move(s: number, to: number, segment: number): void;
  /** Whether requests of the session wait without the turn timeout. */
  waitsForever(s: number): boolean;
  /** us without a packet after which the session is ended. */
  idleTimeout(s: number): number;
  /** What to do with the request that begins with this segment, the one at CURSOR. May put another segment at CURSOR. */
  begin(s: number, segment: number): Verdict;
  /** Whether the begun request may go on with a segment that is PAUSED. */
  mayGoOn(s: number): boolean;
  /** This segment at CURSOR, a later one of the begun request, is about to be sent. May put another segment at CURSOR. */
  more(s: number, segment: number): void;
  /** A segment of the queue is about to be released: if it begins a request that was not sent, the module is told. */
  forget(s: number, segment: number): void;
  /** Whether all that was sent is answered. */
  isAnswered(s: number): boolean;
  /** Whether the module cannot see where the answer ends that it awaits, so that the engine's own rule decides. */
  isEndUnseen(s: number): boolean;
  /** The target has ended its stream, or reset the connection. */
  targetEnded(s: number, isReset: boolean): void;
  /** The connection to the target is established. */
  connected(s: number): void;
  /** The connection to the target is gone; the session may get another. */
  disconnected(s: number): void;
  /** The session is over. */
  close(s: number): void;
  /**
   * Queues what the module has inserted before the requests that have not begun, once all that was sent is acknowledged.
   * False if there is no memory for it.
   */
  place(s: number): boolean;
}
