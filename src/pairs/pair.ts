/**
 * A pair: what became of one request that was copied, at production and at the target. The workers make pairs (protocol modules,
 * src/datagram), the main thread compares them (src/compare).
 */

/** Who speaks. */
export const PAIR_PROTOCOLS = ["http", "mysql", "dns"] as const;
export type PairProtocol = (typeof PAIR_PROTOCOLS)[number];

/** Why a request was not compared, and what that means, in words for users. */
export const NOT_COMPARED = {
  gap: "part of production's response was not captured",
  notSent: "the request was not sent to the target",
  upgraded: "the connection went on with another protocol",
  unknownEnd: "where the response ends could not be seen",
  tooMany: "more requests waited for their responses than are remembered",
  behind: "the comparison did not keep up",
  ended: "the connection or the run ended before both had answered",
} as const;
export type NotCompared = keyof typeof NOT_COMPARED;

/**
 * How a request ends, in exactly one of these. "target only": production's answer was not captured at all; "production only":
 * the target gave none.
 */
export const OUTCOMES = [
  "compared",
  "target only",
  "production only",
  ...(Object.keys(NOT_COMPARED) as NotCompared[]),
] as const;
export type Outcome = (typeof OUTCOMES)[number];

/**
 * How an answer ended: as its protocol says; with a RST in its middle; with a FIN before it was complete; or nobody saw (its rest
 * was not captured).
 */
export const ENDS = ["complete", "reset", "closed", "unseen"] as const;
export type End = (typeof ENDS)[number];

/** The answer of one side. Heads may be asked for only within the call that hands a pair over; other bytes are the reader's own. */
export interface Answer {
  /** HTTP: the status; MySQL: 0, or the number of the error; DNS: the RCODE. */
  status: number;
  end: End;
  /**
   * Bytes of the content (HTTP: without chunk sizes and trailers; MySQL: of all packets; DNS: of the datagram); -1: not known. MySQL:
   * also where production's are not framed as the target's are (capabilities, compression, a login that was not captured).
   */
  bytes: number;
  /**
   * MySQL: rows affected, or of the results; DNS: records in the answer section; HTTP: 0. -1: not known, or (MySQL) there is none, as
   * with an error.
   */
  count: number;
  /**
   * us from the first byte of the request (captured; for the target, handed to the kernel) to the first and the last of the answer that
   * was seen: with the end "unseen" that is not the last one. -1: not known, as of production where a recording is played as fast as
   * the target answers.
   */
  firstByte: number;
  lastByte: number;
  /**
   * HTTP: the head as it was sent, at most MOST_HEAD bytes; MySQL: the message of an error, with "?" in place of literals; DNS: the
   * datagram.
   */
  head: Uint8Array;
  /** Whether all of the head is there, so that the fields that it lacks were not sent. */
  isHeadWhole: boolean;
  /** A hash of the values of the fields that are compared, equal where they are; 0 if none is there, or `isHeadWhole` is false. */
  fields: number;
  /** SHA-256 of the content (as sent, content codings and all); null: not known. */
  digest: Uint8Array | null;
  /**
   * The content, where that of the two sides differs, or their statuses do; at most MOST_BODY bytes of it, and null where nothing
   * was kept.
   */
  body: Uint8Array | null;
}

export interface Pair {
  protocol: PairProtocol;
  outcome: Outcome;
  /** Index of the service, of the copy (from 0, of each target that all requests go to), and of the path, -1 if it never had one. */
  service: number;
  copy: number;
  path: number;
  /** When the request was captured, us, monotonic. */
  at: number;
  /** HTTP: the method; MySQL: the kind of command, as "query" (src/protocol/mysql/account.ts); DNS: the type of the question, as "AAAA". */
  method: string;
  /**
   * HTTP: the request target, with its query; MySQL: the normalized statement, without literals, or the command, as "COM_PING"; DNS: the
   * name. At most MOST_NAME characters.
   */
  name: string;
  /** HTTP: the head of the request, at most MOST_HEAD bytes; else empty. */
  request: Uint8Array;
  /** HTTP: the first bytes of the request's content, where an answer's `body` is kept; at most MOST_REQUEST_BODY. */
  requestBody: Uint8Array | null;
  production: Answer | null;
  target: Answer | null;
}

export const MOST_HEAD = 8192;
export const MOST_NAME = 2048;
export const MOST_REQUEST_BODY = 4096;
export const MOST_BODY = 262144;

/** What is compared, as the user asked for it. Plain data: it crosses a postMessage. */
export interface PairConfig {
  /** Whether content is compared, by its hash. */
  body: boolean;
  /** Names of the fields of HTTP that are compared, in lower case. */
  fields: readonly string[];
  /** Bytes of heads and content that a worker keeps at most for both sides of requests that wait. */
  memory: number;
}

/** Where a worker puts its pairs. */
export interface PairSink {
  /** Takes a pair; all of its bytes are copied within the call. */
  take(pair: Pair): void;
}
