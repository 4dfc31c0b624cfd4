/**
 * The session table: one row of 32-bit words and one of times (us) per session, in typed arrays so that 100,000 sessions
 * cost the garbage collector nothing. A field of session `s` is `words[s * ROW + FIELD]`, a time `times[s * TIMES + FIELD]`.
 *
 * Sequence numbers are kept as signed 32-bit values; compare them with `distance`, or for equality after `| 0`.
 */
import type { SessionBudget } from "./share.ts";

/** Words of a row: six cache lines, what every packet touches in the first three. */
export const ROW = 96;
/** Times of a row: two cache lines, what every packet touches in the first. */
export const TIMES = 16;
/** "No row, no segment, no port". */
export const NONE = -1;

// The client's connection. Addresses are four words each, IPv4 as IPv4-mapped IPv6.
export const CLIENT_ADDRESS = 0;
export const ONLINE_ADDRESS = 4;
/** Client port << 16 | online port. */
export const CLIENT_PORTS = 8;
/** Which of the copies of the client's connection this is, from 0. */
export const COPY = 9;
/** Next session of the same hash bucket: by client flow, by own flow. */
export const CLIENT_CHAIN = 10;
export const OWN_CHAIN = 11;
export const SERVICE = 48;
/** Index of the target in the copy's route; it does not change during the session. */
export const TARGET = 49;
/** Path and source port of our connection, NONE while there is none. */
export const PATH = 12;
export const PORT = 13;

export const STATE = 14;
export const FLAGS = 15;

// The client's stream, in the client's sequence numbers.
export const CLIENT_ISN = 50;
/** Next byte expected in order. */
export const STREAM_END = 16;
/** First and last segment kept in order (oldest not acknowledged by the target first). */
export const HEAD = 17;
export const TAIL = 18;
/** Segments beyond a gap, by sequence number. */
export const HELD = 19;
/** The segment that holds the next byte to send, NONE if all are sent. */
export const CURSOR = 20;
/** Acknowledgement number of the client's last data: newer data with another one begins a new turn. */
export const LAST_ACK = 21;
/** Sequence and acknowledgement number of the client's FIN or RST. */
export const CLIENT_END = 51;
export const CLIENT_END_ACK = 52;
/** Payload bytes kept, in order and beyond a gap. */
export const QUEUED = 22;
/** Turns captured and neither sent nor dropped. */
export const TURNS = 23;
/** Of the turn that was sent last (the open turn): the acknowledgement number of its first segment. */
export const TURN_ACK = 24;
/** Client sequence number at which the open turn begins. */
export const TURN_SEQ = 25;
/** RCV_NXT when the open turn was begun. */
export const TURN_RCV = 26;

// The connection to the target (names of RFC 9293 section 3.3.1), in its sequence numbers.
/** Target sequence number = client sequence number + SEQ_DELTA. */
export const SEQ_DELTA = 27;
export const ISS = 54;
export const SND_UNA = 28;
export const SND_NXT = 29;
/** Highest sequence number sent. */
export const SND_MAX = 30;
/** The target's window, bytes (scaled). */
export const SND_WND = 33;
export const SND_WL1 = 34;
export const SND_WL2 = 35;
/** The largest window the target has offered (MAX.SND.WND of RFC 5961, Max(SND.WND) of RFC 9293 section 3.8.6.2.1). */
export const MAX_SND_WND = 53;
/** Window probes sent since the window closed, or since one of them was acknowledged. */
export const PROBES = 63;
/** Window scale of the target (Snd.Wind.Shift of RFC 7323). */
export const SND_WSCALE = 36;
export const CWND = 37;
export const SSTHRESH = 38;
/** RFC 6582: SND_MAX when recovery began. */
export const RECOVER = 55;
export const DUPLICATE_ACKS = 56;
export const RCV_NXT = 31;
/** The last acknowledgement number we sent. */
export const RCV_ACKED = 32;
export const TS_RECENT = 39;
/** us (RFC 6298). */
export const SRTT = 40;
export const RTTVAR = 41;
export const RTO = 42;
/** Retransmissions in a row. */
export const RETRIES = 43;
/** The acknowledgement number that ends the running measurement of the round trip. */
export const RTT_SEQ = 44;
/** Most payload bytes per segment by the handshake, options subtracted; the path may allow less (`segmentSize`). */
export const MSS = 45;
/** What our SYN offers, as the client's SYN did: flags of OFFERS, MSS, window scale (-1: no option). */
export const OFFERS = 76;
export const OFFER_MSS = 57;
export const OFFER_WSCALE = 46;
/** Connections opened for this session so far. */
export const CONNECTIONS = 58;
/** How often the gap has been given more time because the turn before it may still be answered. */
export const GAP_WAITS = 59;
/** The client's first acknowledgement number on this connection: where production's answers begin. */
export const FIRST_ACK = 61;
/** RCV_NXT after the handshake: where the target's answers begin. */
export const FIRST_RCV = 62;
/** Index of the out-of-order interval that grew last. */
export const LAST_INTERVAL = 60;
/** Out-of-order data of the target: pairs of [left, right), ordered, OUT_OF_ORDER_COUNT of them. */
export const OUT_OF_ORDER_COUNT = 47;
export const OUT_OF_ORDER = 64;
export const OUT_OF_ORDER_MAX = 4;
// 64 to 71 are the intervals.
/** Challenge ACKs since CHALLENGE_AT. */
export const CHALLENGES = 72;
// Of a connection that is MULTIPLEXED: see multiplexed.ts.
/** Bytes that production had sent and the target is no longer expected to send. */
export const EXCUSED = 73;
/** Bytes by which the target may be behind production without a longer wait. */
export const TOLERATED = 74;
/** The longest time that the target took to answer, us. */
export const RESPONSE_TIME = 75;
/** Bytes of production's answer to the open turn, plus 1, unsigned, where the turn after it was dropped or spread; 0: not known yet. */
export const ANSWER_BYTES = 77;
/** How often RCV_NXT has come round to TURN_RCV, 2^32 bytes later, since the open turn was begun. */
export const TURN_ROUNDS = 79;
/** ms of our clock at zero of the clock in production's timestamps, 32 bits; 0: not known. See answer-times.ts. */
export const PRODUCTION_CLOCK = 78;
/** The newest timestamp of the client's segments in order (TS.Recent of production, RFC 7323). */
export const CLIENT_TIMESTAMP = 80;

// Times.
/** The retransmission timer; while nothing is in flight, the persist timer. */
export const RTO_AT = 0;
/** The delayed ACK timer. */
export const ACK_AT = 1;
/** When the session must be looked at again, because its next turn (or FIN) waits for time to pass. */
export const TURN_AT = 2;
/** When the last of the target's data came. */
export const RESPONSE_AT = 3;
/** When the session last heard from the client or the target. */
export const ACTIVE_AT = 4;
/** When the round trip being measured began. */
export const RTT_AT = 5;
/** When ESTABLISHED, or a state with a time limit (FIN_WAIT_2, TIME_WAIT, CLOSE_WAIT), was entered. */
export const SINCE = 8;
/** When a packet of the target or a timer last made something due: from then on only xcopy holds it up. */
export const DUE_AT = 6;
/** When the bytes of the gap count as lost, while there is a gap (`hasGap`). */
export const GAP_AT = 9;
/** When bytes of the open turn were last sent or acknowledged: the wait for its answer begins then. */
export const PROGRESS_AT = 7;
/** us by which this copy is delayed behind the client: jitter, or the wait for its place among the users. */
export const DELAY = 10;
/** When the SYN was captured. */
export const SYN_AT = 11;
/** When the first of CHALLENGES was sent. */
export const CHALLENGE_AT = 12;
/** RESPONSE_AT when the answer to the open turn was found to be as long as production's and pushed; 0: not found yet. */
export const ANSWERED_AT = 13;
/** When bytes of the open turn were last sent for the first time; 0: its answer time is measured already. */
export const SENT_AT = 14;
/** When the client's last data in order was captured. */
export const LAST_DATA_AT = 15;

// STATE: the connection to the target, as in RFC 9293 section 3.3.2.
/** Not in use. */
export const FREE = 0;
/** No connection: none was opened yet, or it is gone. The next turn opens one. */
export const CLOSED = 1;
export const SYN_SENT = 2;
export const ESTABLISHED = 3;
export const FIN_WAIT_1 = 4;
export const FIN_WAIT_2 = 5;
export const CLOSING = 6;
export const TIME_WAIT = 7;
export const CLOSE_WAIT = 8;
export const LAST_ACK_STATE = 9;

// FLAGS.
export const READY = 1 << 0;
export const ACK_NOW = 1 << 1;
export const SEND_SYN = 1 << 2;
export const CLIENT_FIN = 1 << 3;
export const CLIENT_RST = 1 << 4;
/** The client closed without acknowledging an answer: our FIN does not wait for an answer either. */
export const HALF_CLOSE = 1 << 5;
/** Its SYN was not captured (or a gap hides where turns begin), and no turn boundary is known yet: nothing is sent. */
export const MIDSTREAM = 1 << 6;
/** There is an open turn: the one begun last on this connection, answered or not, or the wait for the target's greeting. */
export const TURN_OPEN = 1 << 7;
/** The open turn is counted as sent. */
export const TURN_COUNTED = 1 << 8;
export const IN_RECOVERY = 1 << 9;
/** The client speaks HTTP/2 with prior knowledge: see multiplexed.ts. */
export const MULTIPLEXED = 1 << 10;
/** Its flow has had another SYN, which is in the table of half-open connections or was forgotten. */
export const SYN_AGAIN = 1 << 11;
export const TIMESTAMPS = 1 << 12;
export const SACK = 1 << 13;
export const FIN_SENT = 1 << 14;
/** A connection without a client: a probe of a path, or one that only has to be closed. */
export const CLIENTLESS = 1 << 15;
/** A connection of the session was established, now or before. */
export const WAS_ESTABLISHED = 1 << 16;
/** No longer found by its client flow, which a new connection uses. */
export const SUPERSEDED = 1 << 17;
/** Given up for lack of memory: its turns are counted and dropped. */
export const SHED = 1 << 18;
export const RETRANSMIT = 1 << 19;
/** The next segment is sent as far as the window allows, and at least one byte of it (RFC 9293 section 3.8.6.1). */
export const WINDOW_PROBE = 1 << 20;
/** The turn being captured was dropped: its further bytes are ignored. */
export const SKIP_TURN = 1 << 21;
/** The target's last segment in order had PSH, or its FIN came. */
export const LAST_PUSH = 1 << 22;
/** The open turn is being sent a second time, on a new connection. */
export const TURN_RETRIED = 1 << 23;
/** The connection is opened without waiting for data of the client. */
export const OPEN_AT_ONCE = 1 << 24;
/** Turns do not wait for answers: by -W, or because the target did not answer this session in time twice in a row. */
export const STREAMING = 1 << 25;
/**
 * Without HAS_DATA: LAST_ACK is the acknowledgement number of the client's handshake. With HAS_DATA: the data came with the
 * SYN, and LAST_ACK is not known yet.
 */
export const HANDSHAKEN = 1 << 26;
/** The turn before got no answer in time. */
export const OVERDUE = 1 << 27;
/** The next turn is taken off the limit of turns already: the connection was opened for it. */
export const TURN_ADMITTED = 1 << 31;
/** DUPLICATE_ACKS is not 0. */
export const HAS_DUPLICATES = 1 << 30;
/** The open turn is counted as answered. */
export const TURN_ANSWERED = 1 << 28;
/** Data of the client was captured: LAST_ACK is its acknowledgement number. */
export const HAS_DATA = 1 << 29;

// OFFERS.
export const OFFER_SACK = 1 << 0;
export const OFFER_TIMESTAMPS = 1 << 1;
/** The client's SYN was signed (TCP-MD5, TCP-AO); our own is not. */
export const OFFER_SIGNED = 1 << 2;
/** CLIENT_TIMESTAMP is known. */
export const HAS_TIMESTAMP = 1 << 3;

/** What a new row has none of. */
const EMPTY_FIELDS = [PATH, PORT, HEAD, TAIL, HELD, CURSOR];

export class SessionTable {
  readonly words: Int32Array;
  readonly times: Float64Array;
  readonly capacity: number;
  private fresh = 0;
  private free = NONE;

  /** `capacity`: most rows. `budget`: the bound of sessions that engines share; null: this is the only engine. */
  constructor(
    capacity: number,
    private readonly budget: SessionBudget | null = null,
  ) {
    this.capacity = capacity;
    this.words = new Int32Array(capacity * ROW);
    this.times = new Float64Array(capacity * TIMES);
  }

  /** A row without a connection, everything else zero; or NONE if all are in use. */
  allocate(): number {
    if (this.free === NONE && this.fresh === this.capacity) return NONE;
    if (this.budget?.take() === false) return NONE;
    let s = this.free;
    if (s !== NONE) this.free = this.words[s * ROW + CLIENT_CHAIN]!;
    else s = this.fresh++;
    this.words.fill(0, s * ROW, s * ROW + ROW);
    this.times.fill(0, s * TIMES, s * TIMES + TIMES);
    this.words[s * ROW + STATE] = CLOSED;
    for (const field of EMPTY_FIELDS) this.words[s * ROW + field] = NONE;
    return s;
  }

  release(s: number): void {
    this.budget?.give();
    this.words[s * ROW + STATE] = FREE;
    this.words[s * ROW + FLAGS] = 0;
    this.words[s * ROW + CLIENT_CHAIN] = this.free;
    this.free = s;
  }

  /**
   * Whether a session has no turn that waits for anything, was last active at `at` (us) or before, and has a connection on `path`
   * (NONE: any path, or no connection).
   */
  isIdle(s: number, at: number, path: number): boolean {
    const { words } = this;
    const row = s * ROW;
    if (words[row + STATE] === FREE || words[row + TURNS] !== 0 || words[row + FLAGS]! & CLIENTLESS)
      return false;
    return this.times[s * TIMES + ACTIVE_AT]! <= at && (path === NONE || words[row + PATH] === path);
  }

  /** When each of the sessions that `isIdle` was last active, us; made anew. */
  activeBefore(at: number, path: number): Float64Array {
    let count = 0;
    for (let s = 0; s < this.fresh; s++) if (this.isIdle(s, at, path)) count++;
    const found = new Float64Array(count);
    for (let s = 0; s < this.fresh; s++) {
      if (this.isIdle(s, at, path)) found[--count] = this.times[s * TIMES + ACTIVE_AT]!;
    }
    return found;
  }

  /** All rows that were ever in use are below this index. */
  get end(): number {
    return this.fresh;
  }
}
