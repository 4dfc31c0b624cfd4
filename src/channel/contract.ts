/**
 * The interfaces of the two ends of a channel, for xcopy's own protocol (client.ts, peer.ts) and that of tcpcopy and
 * intercept 1.x (compat-client.ts, compat-peer.ts). None of them touches a socket or a clock: bytes and time (us, one
 * monotonic clock) come in with calls; what is to be written waits in `outgoing`.
 *
 * A flow is 36 bytes: the client's address (16; of IPv4 4 bytes and zeros), the server's (16), the client's port and the
 * server's (2 each, network order).
 */
import type { Packet } from "../wire/packet.ts";
import type { Prefix } from "../wire/prefix.ts";
import type { CloseCode } from "./close.ts";
import type { AddressRange, Ask, Facts, Welcome } from "./messages.ts";
import type { Outgoing } from "./outgoing.ts";

export const FLOW_BYTES = 36;

/** `idle`: never begun; `closed`: after `onClosed`; write what is still outgoing as far as it goes, then close. */
export type State = "idle" | "handshake" | "open" | "closed";

/** What both ends have. */
interface End {
  readonly state: State;
  /** Always the same object, but its memory is replaced when the channel opens: read `outgoing.bytes` anew for each write. */
  readonly outgoing: Outgoing;
  /** Takes `bytes` from `from` to `to`, which came from the other side; they may be used again after the call. */
  feed(bytes: Uint8Array, from: number, to: number, now: number): void;
  /** To be called when the connection is gone; `why`: text for messages, "" if it just ended. */
  disconnected(why: string): void;
  /** Ends the channel from here: the other side is told `text`, where the protocol can. */
  bye(text: string): void;
  /** Checks deadlines and sends PINGs that are due. Call it in every round of the loop. */
  advance(now: number): void;
  /** us until `advance` has something to do, at most `limit`. */
  wait(now: number, limit: number): number;
}

/** The copy's end. It is used for one connection after the other. */
export interface Client extends End {
  /** Begins on a new connection: sends the hello, and forgets everything of the connection before. */
  begin(now: number): void;
  /**
   * Asks for the responses of the flow in the row at `at`, REGISTRATION_BYTES (registration.ts). False if it cannot: not open,
   * or no such address in this protocol. When the intercept reads too slowly the oldest flows make room: see
   * `outgoing.discarded`.
   */
  register(row: Uint8Array, at: number): boolean;
  /** The same for a flow of UDP, FLOW_BYTES. */
  registerDatagrams(flow: Uint8Array, at: number): boolean;
  /** From now on, on this connection and later ones, responses come with their whole payload, whatever `prefix` was asked for. */
  readWhole(): void;
  /** Asks for the responses to all these addresses too, in one message or several. False as above. */
  ranges(ranges: AddressRange[]): boolean;
  /** False as above; throws a RangeError if the question is longer than 65,528 bytes of JSON. */
  ask(question: Ask): boolean;
  /** us since something was last received. An intercept of xcopy sends something at least every 25 ms. */
  silentFor(now: number): number;
  /** Records that held no TCP segment, and were left out. */
  readonly malformed: number;
}

export interface ClientHandlers {
  /** The channel is open. `authenticated`: the intercept has proved that it knows our key. */
  onWelcome(welcome: Welcome, authenticated: boolean): void;
  /**
   * Headers of a response. The cursor is reused and valid during the call; its time is that of `feed`, think is -1 and
   * index 0.
   */
  onResponse(packet: Packet): void;
  onFacts(facts: Facts): void;
  /** Called once for each `begin`. */
  onClosed(code: CloseCode, text: string): void;
}

/** A copy that asks to be admitted. */
export interface Candidate {
  /** The copy's random name, 8 bytes, the same when it comes again; null from a tcpcopy. */
  instance: Uint8Array | null;
  authenticated: boolean;
  /** Version of the protocol: 1 of ours, 6 of tcpcopy 1.x; a tcpcopy with another version is served as well. */
  version: number;
  /** It reads the payload of responses; absent: only their headers. */
  readsPayload?: boolean;
  /** How much of it, of each segment; absent: all. */
  prefix?: Prefix;
}

/** The intercept's end of one connection. */
export interface Peer extends End {
  /**
   * Sends the headers of `packet`. False if they cannot be sent: the channel is not open, or see `unsupported`. When the
   * copy reads too slowly the oldest responses make room: see `outgoing.discarded`.
   */
  response(packet: Packet): boolean;
  /** Answers an ASK. False if it cannot; throws a RangeError if the answer is longer than 65,528 bytes of JSON. */
  facts(answer: Facts): boolean;
  /** Packets that the protocol cannot carry: IPv6 or more than 65,535 bytes for a tcpcopy, invalid headers. */
  readonly unsupported: number;
}

export interface PeerHandlers {
  /** Admits a copy, or returns a short reason why not. */
  admit(copy: Candidate): Welcome | string;
  /** `count` rows of REGISTRATION_BYTES back to back from `at` on; valid during the call. */
  onRegister(rows: Uint8Array, at: number, count: number): void;
  /** The same for flows of UDP, FLOW_BYTES each. */
  onRegisterDatagrams?(flows: Uint8Array, at: number, count: number): void;
  /** From now on it reads the payload of responses whole. */
  onReadWhole?(): void;
  /** More address ranges, as the copy wrote them, unchecked. */
  onRanges(ranges: AddressRange[]): void;
  onAsk(question: Ask): void;
  /** Called once. */
  onClosed(code: CloseCode, text: string): void;
}
