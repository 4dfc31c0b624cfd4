/**
 * What the engine and a protocol module ask of each other. A module knows the language that client and server speak above
 * TCP; it is sans-IO like the engine, and sees one session at a time: what the client sent, what the target answers.
 *
 *   captured bytes -> request() -> Outlet.begin(), write()   requests, in a queue that the engine keeps
 *   queue          -> mayBegin(), begin()                    one after the other, when the module says so
 *   target's bytes -> response() -> Outlet.insert(), wake()  what the module itself has to say, and what may follow
 *
 * Bytes are views into memory of the engine: valid during the call only. docs/protocol-modules.md tells how to write one.
 */

/** What is to become of a request whose turn has come. */
export const GO = 0;
/** Not yet: asked again after the next bytes of the target, or `wake`. */
export const HOLD = 1;
/** It is not sent, and counted as dropped by the module. */
export const DROP = 2;
export type Verdict = typeof GO | typeof HOLD | typeof DROP;

/** The engine's side of one session, for its module. */
export interface Outlet {
  /**
   * A request of the client begins, which counts as captured; what `write` adds from now on is its. `tag`: 0 to 2^24-1, comes
   * back with the request. Only within `request`.
   */
  begin(tag: number): void;
  /** Adds bytes to the request that was begun last; copies them. Only within `request`. */
  write(bytes: Uint8Array, from: number, to: number): void;
  /** Counts a request that is left out, as captured and dropped, instead of `begin`. Only within `request`. */
  leaveOut(): void;
  /** Sends bytes of the module's own before any request that has not begun; copies them. They are no request. */
  insert(bytes: Uint8Array): void;
  /** Puts other bytes in the place of those that `begin` or `more` was called with. Only within these; copies them. */
  replace(bytes: Uint8Array): void;
  /** Something has changed: `mayBegin` is asked again. */
  wake(): void;
  /**
   * The module has no more to do for this session: from now on its bytes go on as they come, `waiting` for answers as
   * in a session without a module, or not.
   */
  handOver(waiting: boolean): void;
  /** The session cannot be copied: the connection is reset, and its requests are dropped from now on. */
  refuse(): void;
  /** The connection is of no use: it is reset, what waits is dropped, and the next request tries another. */
  giveUp(): void;
}

/** A module's side of one session. What it throws ends the copying of the session, and no other. */
export interface ProtocolSession {
  /**
   * Bytes of the client, in order and without a gap: `bytes` from `from` to `to`. `isFresh`: something before them is not
   * known (the session is older than xcopy, or bytes were lost); a request of the client's begins here. `isTurn`: the client
   * had heard from the server since what it sent before. `time`: when they were captured, us.
   */
  request(bytes: Uint8Array, from: number, to: number, isFresh: boolean, isTurn: boolean, time: number): void;
  /** Bytes of the target, in order; behind them `missing` bytes that were not captured. `time`: when they came, us. */
  response(bytes: Uint8Array, from: number, to: number, missing: number, time: number): void;
  /** Whether the request with this tag, the next of the queue, may be sent now: for the time that a client thinks begins. */
  mayBegin(tag: number): boolean;
  /**
   * The request is sent now. `bytes` from `from` to `to` are its beginning as written (of one that is longer than 64 KiB), and
   * may be changed in place. `again`: it was begun before, on a connection that is gone.
   */
  begin(tag: number, bytes: Uint8Array, from: number, to: number, again: boolean, now: number): Verdict;
  /**
   * More of the request that was begun last is sent now, for the first time: bytes beyond those that `begin` was given. They
   * may be changed in place, or others put in their place.
   */
  more?(bytes: Uint8Array, from: number, to: number): void;
  /** The engine has dropped a request (target away, over a bound); `again`: it was begun before, on a connection that is gone. */
  skipped(tag: number, bytes: Uint8Array, from: number, to: number, again: boolean): void;
  /** Whether all that was sent is answered: the client's close may follow. */
  isAnswered(): boolean;
  /** A connection to the target is established: the first of the session or another. */
  connected(): void;
  /** The connection is gone; the session may open another for its next request. */
  disconnected(): void;
  /**
   * The beginning of a segment that production's server sent, where it is captured: `bytes` from `from` to `to`, behind which
   * `missing` bytes follow. Segments may be missing or come twice: `seq` and `ack` are those of TCP. `time`: us.
   */
  production?(
    bytes: Uint8Array,
    from: number,
    to: number,
    missing: number,
    seq: number,
    ack: number,
    time: number,
  ): void;
  /** The session is over. */
  close(): void;
}

export interface ProtocolModule {
  /** As in --protocol. */
  readonly name: string;
  /** Whether requests wait for their turn for as long as the session does, or for --turn-timeout at most. */
  readonly waitsForever: boolean;
  /** us without any packet for which a session is kept at least, because its state cannot be had again. */
  readonly keptFor: number;
  open(outlet: Outlet): ProtocolSession;
}
