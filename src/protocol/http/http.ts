/**
 * The protocol module for HTTP/1.1: a request may follow when the answer to the one before has ended, by its length or its
 * last chunk, not after a silence. A body that waited for `100 Continue` in production waits for the target's. After an Upgrade that the target accepts, the session is copied as a plain stream.
 */
import { DROP, GO, type Outlet, type ProtocolModule, type ProtocolSession, type Verdict } from "../module.ts";
import { AnswerReader, type AnswerSink, bodyLength, INTERIM, STOP } from "./answers.ts";
import { isSurelyRequest, looksLikeRequest } from "./beginning.ts";
import { Body } from "./body.ts";
import {
  endOfHead,
  Fields,
  LONGEST_HEAD,
  lineFeed,
  methodOf,
  type RequestLine,
  readRequestLine,
  textOf,
} from "./head.ts";
import { Pairing } from "./pairing.ts";
import type { Requests } from "./requests.ts";

// Tags of requests.
const IS_HEAD = 1;
const IS_CONNECT = 2;
/** The client did not wait for the answer to the request before. */
const IS_PIPELINED = 4;
const UPGRADES = 8;
/** Bytes after an Upgrade, of any protocol. */
const IS_RAW = 16;

/** Above these: the number of the request (requests.ts). */
const NUMBER_SHIFT = 5;

/** A client that gave its body up sends another request; a body does not begin so. */
const NEXT_METHOD = /^(GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS)$/;

// What the head of a request is read into.
const LINE: RequestLine = { method: 0, methodEnd: 0, target: 0, targetEnd: 0 };
const FIELDS = new Fields();

/** The pieces of a head that is not complete yet. */
class Head {
  private pieces: Uint8Array = new Uint8Array(0);

  get isEmpty(): boolean {
    return this.pieces.length === 0;
  }

  clear(): void {
    this.pieces = new Uint8Array(0);
  }

  /** The pieces so far with these bytes appended. */
  with(bytes: Uint8Array, from: number, to: number): Uint8Array {
    const joined = new Uint8Array(this.pieces.length + to - from);
    joined.set(this.pieces);
    joined.set(bytes.subarray(from, to), this.pieces.length);
    return joined;
  }

  keep(pieces: Uint8Array): void {
    this.pieces = pieces;
  }
}

class HttpSession implements ProtocolSession, AnswerSink {
  /** What is being read of the client: a head, or a body. */
  private readonly requestHead = new Head();
  private readonly requestBody = new Body();
  /** When the first byte of that head was captured, its acknowledgement number, and whether a turn begins with it. */
  private headAt = 0;
  private headAck = 0;
  private isHeadTurn = false;
  /** The same number of the head before, if the client has waited for no `100 Continue` since; else null. */
  private lastAck: number | null = null;
  /** Bytes before the next request are not known. */
  private isFresh = false;
  /** A request was captured. */
  private hasSpoken = false;
  /** A request with an Upgrade (or CONNECT) was captured: what follows may be of any protocol. */
  private mayUpgrade = false;
  /** The client's bytes are no longer HTTP/1.1. */
  private isRaw = false;
  /** The client had acknowledged new data of the server before the next request. */
  private isTurn = false;
  /** The head of the request had `Expect: 100-continue`, and nothing of its body was captured yet. */
  private expects = false;
  private readonly reader: AnswerReader;
  /** Tags of the requests that were sent and are not answered. */
  private readonly open: number[] = [];
  /** The target has told the client of the first of them to go on, or has begun its answer. */
  private isContinued = false;
  /** Which answer is whose on this connection is not known any more. */
  private isAdrift = false;
  /** How the session is handed over with the client's next bytes: `waiting` of `handOver`; null: it is not. */
  private leaves: boolean | null = null;
  /** The session was handed over, or refused. */
  private isOver = false;
  /** Null: no pairs are made of its requests. */
  private readonly pairing: Pairing | null;
  private readonly content: ((bytes: Uint8Array, from: number, to: number) => void) | null = null;

  constructor(
    private readonly outlet: Outlet,
    private readonly requests: Requests | null,
  ) {
    this.pairing = requests && new Pairing(requests, outlet);
    const { pairing } = this;
    const hasContent = pairing !== null && requests!.hasContent;
    if (hasContent) this.content = (bytes, from, to) => pairing.content(bytes, from, to);
    this.reader = new AnswerReader(
      requests?.fields ?? FIELDS,
      this,
      hasContent ? (bytes, from, to) => pairing.answerContent(bytes, from, to) : null,
    );
  }

  request(
    bytes: Uint8Array,
    from: number,
    to: number,
    isFresh: boolean,
    isTurn: boolean,
    time: number,
    _seq: number,
    ack: number,
  ): void {
    if (isFresh) {
      this.requestHead.clear();
      this.requestBody.begin(0);
      this.expects = false;
      this.isFresh = true;
    }
    if (isTurn) this.isTurn = true;
    if (this.leaves !== null) {
      bytes = this.requestHead.with(bytes, from, to);
      this.outlet.begin(IS_RAW);
      this.outlet.write(bytes, 0, bytes.length);
      this.outlet.handOver(this.leaves);
      return;
    }
    let begins = isTurn;
    const start = from;
    while (from < to) {
      if (this.isRaw) {
        if (isTurn) this.outlet.begin(IS_RAW);
        this.outlet.write(bytes, from, to);
        return;
      }
      if (this.expects && !this.mayBeBody(bytes, from, to)) this.requestBody.begin(0);
      if (!this.requestBody.isOver) {
        const end = this.requestBody.take(bytes, from, to, this.content);
        this.outlet.write(bytes, from, end);
        from = end;
        begins = false;
        continue;
      }
      const isKept = !this.requestHead.isEmpty;
      if (isKept) {
        bytes = this.requestHead.with(bytes, from, to);
        [from, to] = [0, bytes.length];
      } else {
        this.headAt = time;
        this.headAck = ack;
        // A server may answer before it has all of a request: then the rest of the request has acknowledged the answer.
        const isAnswered = from === start && this.lastAck !== null && ((ack - this.lastAck) | 0) > 0;
        if (isAnswered) this.isTurn = true;
        this.isHeadTurn = begins || isAnswered;
      }
      const end = endOfHead(bytes, from, to);
      if (end < 0 && to - from < LONGEST_HEAD && this.mayBeRequest(bytes, from, to, isKept && isTurn)) {
        this.requestHead.keep(bytes.slice(from, to));
        return;
      }
      this.requestHead.clear();
      if (end < 0 || !readRequestLine(bytes, from, end, LINE)) {
        this.takeForeign(bytes, from, to);
        return;
      }
      this.beginRequest(bytes, from, end);
      from = end;
      begins = false;
    }
  }

  /** Whether bytes without the end of a head may be the start of a request. `isAnswered`: the client has heard from the server since. */
  private mayBeRequest(bytes: Uint8Array, from: number, to: number, isAnswered: boolean): boolean {
    if (this.pairing === null || this.hasSpoken) return looksLikeRequest(bytes, from, to);
    return !isAnswered && isSurelyRequest(bytes, from, to);
  }

  private beginRequest(bytes: Uint8Array, from: number, end: number): void {
    const { method, methodEnd, targetEnd } = LINE;
    FIELDS.read(bytes, lineFeed(bytes, targetEnd, end) + 1, end);
    const { upgrades, expects, length } = FIELDS;
    let tag = this.isTurn ? 0 : IS_PIPELINED;
    this.isTurn = false;
    this.hasSpoken = true;
    const name = methodOf(bytes, method, methodEnd);
    const isConnect = name === "CONNECT";
    if (name === "HEAD") tag |= IS_HEAD;
    if (isConnect) tag |= IS_CONNECT;
    if (upgrades) tag |= UPGRADES;
    if (upgrades || isConnect) this.mayUpgrade = true;
    if (this.pairing !== null) {
      const { headAt, headAck, isHeadTurn, isFresh } = this;
      const number = this.pairing.capture(bytes, end, LINE, headAt, headAck, isHeadTurn, isFresh);
      tag |= number << NUMBER_SHIFT;
      this.isFresh = false;
    }
    this.outlet.begin(tag);
    this.outlet.write(bytes, from, end);
    this.requestBody.begin(length === -2 ? 0 : length);
    this.expects = expects && !this.requestBody.isOver;
    this.lastAck = this.expects ? null : this.headAck;
  }

  /**
   * Whether what follows the head of a request with `Expect` is its body: if the client had heard from the server before, it
   * waits for the target too, and may also be another request, where the server has refused the body.
   */
  private mayBeBody(bytes: Uint8Array, from: number, to: number): boolean {
    this.expects = false;
    if (!this.isTurn) return true;
    const end = endOfHead(bytes, from, to);
    if (end >= 0 && isNextRequest(bytes, from, end)) return false;
    this.isTurn = false;
    this.outlet.pause();
    return true;
  }

  /** Takes bytes that are not HTTP/1.1: of the protocol after an Upgrade, or of another protocol from the start. */
  private takeForeign(bytes: Uint8Array, from: number, to: number): void {
    this.outlet.begin(IS_RAW);
    this.outlet.write(bytes, from, to);
    if (this.mayUpgrade) {
      this.isRaw = true;
      return;
    }
    if (!this.hasSpoken) this.requests?.onOther();
    this.isOver = true;
    this.pairing?.leave("unknownEnd");
    this.outlet.handOver(true);
  }

  response(bytes: Uint8Array, from: number, to: number, missing: number, time: number): void {
    if (this.leaves !== null) return;
    while (from < to || missing > 0) {
      const taken = this.reader.take(bytes, from, to, missing, time);
      if (this.isOver) return;
      const seen = Math.min(taken, to - from);
      from += seen;
      missing -= taken - seen;
    }
  }

  /** What the client has sent of a head is still here, and can be written only when more of it comes. */
  private handOver(waiting: boolean): void {
    this.isOver = true;
    if (this.requestHead.isEmpty) {
      this.outlet.handOver(waiting);
      return;
    }
    this.leaves = waiting;
    this.open.length = 0;
    this.outlet.wake();
  }

  /** Takes the head of an answer of the target. */
  head(
    status: number,
    fields: Fields,
    bytes: Uint8Array,
    from: number,
    to: number,
    isWhole: boolean,
    at: number,
  ): number {
    const request = this.open[0] ?? 0;
    const { pairing } = this;
    const isOpened = status === 101 || (request & IS_CONNECT && status >= 200 && status < 300);
    if (isOpened) {
      pairing?.head(status, fields, bytes, from, to, isWhole, at, 0);
      pairing?.upgrade();
      this.handOver(false);
      return STOP;
    }
    if (this.isRaw && request & (UPGRADES | IS_CONNECT)) {
      // Production accepted the Upgrade, the target did not: it cannot read what follows.
      pairing?.head(status, fields, bytes, from, to, isWhole, at, -1);
      pairing?.passOver(at);
      this.isOver = true;
      this.outlet.refuse();
      return STOP;
    }
    if (status === 100 || status >= 200) {
      this.isContinued = true;
      this.outlet.wake();
    }
    if (status < 200) return INTERIM;
    const length = bodyLength(status, fields, (request & IS_HEAD) !== 0);
    pairing?.head(status, fields, bytes, from, to, isWhole, at, length);
    return length;
  }

  /** The answer of the target has ended. */
  end(at: number): void {
    this.pairing?.end(this.reader, at);
    this.open.shift();
    this.isContinued = false;
    this.outlet.wake();
  }

  /** Where the answer of the target ends is not known. */
  lost(): void {
    if (this.isOver) return;
    if (this.pairing === null) this.handOver(true);
    else this.outlet.wake();
  }

  isEndUnseen(): boolean {
    return this.reader.isLost || this.reader.seeks;
  }

  mayBegin(tag: number): boolean {
    return (tag & IS_PIPELINED) !== 0 || this.open.length === 0;
  }

  mayGoOn(): boolean {
    return this.open.length === 0 || (this.open.length === 1 && this.isContinued);
  }

  standsAlone(tag: number, isLast: boolean): boolean {
    if (tag & (IS_RAW | IS_CONNECT | UPGRADES) || this.mayUpgrade) return false;
    return !isLast || (this.requestBody.isOver && this.requestHead.isEmpty);
  }

  movedAway(tag: number): void {
    this.pairing?.moveAway(tag >>> NUMBER_SHIFT);
  }

  movedHere(tag: number): void {
    this.pairing?.moveHere(tag >>> NUMBER_SHIFT);
  }

  begin(tag: number, _bytes: Uint8Array, _from: number, _to: number, again: boolean, now: number): Verdict {
    if (tag & IS_RAW && this.mayUpgrade) return DROP;
    if (this.isEndUnseen()) {
      // What comes next is of this request, if only one answer was awaited before, and has begun: the engine has waited for its end.
      if (tag & IS_PIPELINED || this.open.length > 1 || this.reader.seeks) this.isAdrift = true;
      this.pairing?.passOver(this.reader.at);
      this.open.length = 0;
      this.isContinued = false;
      if (this.isAdrift) this.reader.lose();
      else this.reader.begin(true);
    }
    this.open.push(tag);
    this.pairing?.begin(tag >>> NUMBER_SHIFT, again, now);
    if (this.isAdrift) this.pairing?.passOver(this.reader.at);
    return GO;
  }

  skipped(tag: number, _bytes: Uint8Array, _from: number, _to: number, again: boolean): void {
    this.pairing?.skipped(tag >>> NUMBER_SHIFT, again);
  }

  isAnswered(): boolean {
    return this.open.length === 0;
  }

  connected(): void {}

  targetEnded(isReset: boolean): void {
    this.pairing?.targetEnded(isReset, this.reader);
  }

  disconnected(): void {
    this.pairing?.disconnected(this.reader);
    this.open.length = 0;
    this.isContinued = false;
    this.isAdrift = false;
    this.reader.begin(false);
  }

  productionOpened(seq: number): void {
    this.pairing?.opened(seq);
  }

  production(
    bytes: Uint8Array,
    from: number,
    to: number,
    missing: number,
    seq: number,
    ack: number,
    time: number,
  ): void {
    this.pairing?.takeProduction(bytes, from, to, missing, seq, ack, time);
  }

  productionEnded(seq: number, isReset: boolean): void {
    this.pairing?.endProduction(seq, isReset);
  }

  close(): void {
    this.pairing?.close(this.reader);
  }
}

/** Whether a request whose head ends at `to` follows a head, in place of the body that the server refused. */
function isNextRequest(bytes: Uint8Array, from: number, to: number): boolean {
  if (!readRequestLine(bytes, from, to, LINE)) return false;
  if (!NEXT_METHOD.test(textOf(bytes, LINE.method, LINE.methodEnd))) return false;
  return !/\s/.test(textOf(bytes, LINE.target, LINE.targetEnd));
}

/** The module; `requests`: what pairs are made with, null where answers are not compared. */
export function createHttp(requests: Requests | null): ProtocolModule {
  return {
    name: "http",
    waitsForever: false,
    keptFor: 0,
    open: (outlet) => new HttpSession(outlet, requests),
  };
}

export const HTTP = createHttp(null);
