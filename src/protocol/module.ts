/**
 * The interface between the engine and a protocol module. A module knows the protocol that client and server use above TCP. It
 * does no IO, like the engine, and sees one session at a time: the bytes of the client, and those of the target.
 *
 *   captured bytes -> request() -> Outlet.begin(), write()   requests, in a queue that the engine keeps
 *   queue          -> mayBegin(), begin()                    each request is sent when the module allows it
 *   target's bytes -> response() -> Outlet.insert(), wake()  bytes of the module's own; the next request may be allowed now
 *
 * Bytes are views into memory of the engine: valid during the call only. docs/protocol-modules.md says how to write a module.
 */

/** The answer of `begin`: the request is sent now. */
export const GO = 0;
/** It is not sent yet: `begin` is called again after the next bytes of the target, or `wake`. */
export const HOLD = 1;
/** It is not sent, and counted as dropped by the module. */
export const DROP = 2;
export type Verdict = typeof GO | typeof HOLD | typeof DROP;

/** The answer of `login`: production's server let the client in, as whom the request is sent. */
export const ADMITTED = 0;
/** It did not: what the client sends all the same is dropped. */
export const REFUSED = 1;
/** Its answer was not captured yet: the request waits for it, for some seconds at most. */
export const UNDECIDED = 2;
export type Login = typeof ADMITTED | typeof REFUSED | typeof UNDECIDED;

/** The engine's side of one session, for its module. */
export interface Outlet {
  /** Index of the session's service, and of its copy: from 0, each target that all requests go to, times the replicas. */
  readonly service: number;
  readonly copy: number;
  /** Index of the path that its connection has; -1 while there is none. */
  readonly path: number;
  /** us; as the engine was told last. */
  readonly now: number;
  /**
   * A request of the client begins, and is counted as captured; what `write` adds from now on belongs to it. `tag`: 0 to 2^24-1,
   * given back with the request. Only within `request`.
   */
  begin(tag: number): void;
  /** Adds bytes to the request that was begun last; copies them. Only within `request`. */
  write(bytes: Uint8Array, from: number, to: number): void;
  /**
   * What `write` adds next to the request waits until `mayGoOn`, or for a second at most, as the client had waited for the
   * server before it sent these bytes. Only within `request`.
   */
  pause(): void;
  /** Instead of `begin`: counts a request that is left out as captured and dropped. Only within `request`. */
  leaveOut(): void;
  /** Sends bytes of the module's own before any request that has not begun; copies them. They do not count as a request. */
  insert(bytes: Uint8Array): void;
  /** Replaces the bytes that `begin` or `more` was called with, by a copy of these. Only within `begin` and `more`. */
  replace(bytes: Uint8Array): void;
  /** Something has changed: `mayBegin` is called again. */
  wake(): void;
  /**
   * The module ends its work for this session: from now on its bytes are sent as captured. `waiting`: turns wait for answers,
   * as in a session without a module.
   */
  handOver(waiting: boolean): void;
  /** The session cannot be copied: the connection is reset, and all its requests are dropped. */
  refuse(): void;
  /** The connection is unusable: it is reset, the requests that wait are dropped, and the next one opens another connection. */
  giveUp(): void;
}

/** A module's side of one session. An error that it throws ends the copying of this session only. */
export interface ProtocolSession {
  /**
   * Bytes of the client, in order and without a gap: `bytes` from `from` to `to`. `isFresh`: bytes before them are not known (the
   * session is older than xcopy, or bytes were lost); a request begins here. `isTurn`: the client had acknowledged new data of
   * the server since its bytes before. `time`: when they were captured, us. `seq` and `ack`: the TCP numbers of the first byte.
   */
  request(
    bytes: Uint8Array,
    from: number,
    to: number,
    isFresh: boolean,
    isTurn: boolean,
    time: number,
    seq: number,
    ack: number,
  ): void;
  /** Bytes of the target, in order; after them `missing` bytes that were not captured. `time`: when they came, us. */
  response(bytes: Uint8Array, from: number, to: number, missing: number, time: number): void;
  /**
   * What production's server said to the login that the request with this tag, the next of the queue, needs. Absent: the protocol
   * has no logins. A module that answers UNDECIDED calls `wake` when it knows.
   */
  login?(tag: number): Login;
  /** A request was dropped because `login` was UNDECIDED for too long. */
  undecided?(): void;
  /** Whether the session may have a connection to the target. Absent: always. A module that answers no calls `wake` later. */
  mayConnect?(): boolean;
  /** Whether the request with this tag, the next of the queue, may be sent now. Its think time counts from the answer before. */
  mayBegin(tag: number): boolean;
  /**
   * Whether the request with this tag means the same on any connection of its client, so that with --late spread it may go over
   * another one, which has a session of this module of its own. `isLast`: it is the one to which `write` adds; then also whether
   * it is complete.
   */
  standsAlone?(tag: number, isLast: boolean): boolean;
  /** The request with this tag went to another connection (`standsAlone`); it came to this one, which has not begun it. */
  movedAway?(tag: number): void;
  movedHere?(tag: number): void;
  /**
   * The request is about to be sent. `bytes` from `from` to `to` are its first segment of the queue (at most 64 KiB), and may be
   * changed in place. `again`: `begin` was called for it before, and did not return HOLD. `now`: us.
   */
  begin(tag: number, bytes: Uint8Array, from: number, to: number, again: boolean, now: number): Verdict;
  /** Whether the request that was begun last may go on after a `pause`. */
  mayGoOn?(): boolean;
  /**
   * The next segment of the request that was begun last is about to be sent, for the first time. It may be changed in place, or
   * replaced.
   */
  more?(bytes: Uint8Array, from: number, to: number): void;
  /** The engine has dropped a request (target away, over a bound). `again`: as in `begin`. */
  skipped(tag: number, bytes: Uint8Array, from: number, to: number, again: boolean): void;
  /** Whether all that was sent is answered, so that the connection may be closed if the client has closed. */
  isAnswered(): boolean;
  /**
   * Whether the end of the answer that is awaited cannot be seen, as not all of it was captured. The engine decides then when the next
   * request may follow, as in a session without a module: by the length of production's answer, PSH and silence. Absent: never.
   */
  isEndUnseen?(): boolean;
  /** The target has ended its stream behind the bytes that came (FIN), or has reset the connection. */
  targetEnded?(isReset: boolean): void;
  /** A connection to the target is established: the first of the session or a later one. */
  connected(): void;
  /** The connection to the target is gone; the session may open another for its next request. */
  disconnected(): void;
  /**
   * The first bytes of a segment that production's server sent, if these are captured: `bytes` from `from` to `to`; `missing`
   * bytes follow. Segments may be missing or repeated: `seq` and `ack` are their TCP numbers. `time`: when captured, us. Also after
   * `handOver`.
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
  /** Production's server has answered the client's SYN: `seq` is the number of the first byte of its stream. */
  productionOpened?(seq: number): void;
  /** Production's server has ended its stream (FIN), or reset the connection, before the byte with this number. */
  productionEnded?(seq: number, isReset: boolean): void;
  /** The session is over. */
  close(): void;
}

export interface ProtocolModule {
  /** The name for --protocol. */
  readonly name: string;
  /** Whether `mayBegin` may hold a request back without limit; if not, it is sent after --turn-timeout. */
  readonly waitsForever: boolean;
  /** us without a packet for which a session is kept at least, because its state cannot be learned again. */
  readonly keptFor: number;
  open(outlet: Outlet): ProtocolSession;
}
