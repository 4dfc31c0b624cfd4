/**
 * The protocol module for HTTP/1.1: a request may follow when the answer to the one before has ended, by its length or its
 * last chunk, not after a silence. A body that waited for `100 Continue` in production waits for the target's. After an Upgrade that the target accepts, the session is copied as a plain stream.
 */
import { DROP, GO, type Outlet, type ProtocolModule, type ProtocolSession, type Verdict } from "../module.ts";
import { Body } from "./body.ts";
import { endOfHead, LONGEST_HEAD, readHead } from "./head.ts";

// Tags of requests.
const IS_HEAD = 1;
const IS_CONNECT = 2;
/** The client did not wait for the answer to the request before. */
const IS_PIPELINED = 4;
const UPGRADES = 8;
/** Bytes after an Upgrade, of any protocol. */
const IS_RAW = 16;

const REQUEST_LINE = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+) \S.* HTTP\/1\.[01]$/;
/** The request line of a client that gave its body up; a body does not begin so. */
const NEXT_REQUEST = /^(GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS) \S+ HTTP\/1\.[01]$/;
const STATUS_LINE = /^HTTP\/1\.[01] ([1-5][0-9][0-9])(?: |$)/;

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

class HttpSession implements ProtocolSession {
  /** What is being read of the client: a head, or a body. */
  private readonly requestHead = new Head();
  private readonly requestBody = new Body();
  /** A request with an Upgrade (or CONNECT) was captured: what follows may be of any protocol. */
  private mayUpgrade = false;
  /** The client's bytes are no longer HTTP/1.1. */
  private isRaw = false;
  /** The client had acknowledged new data of the server before the next request. */
  private isTurn = false;
  /** The head of the request had `Expect: 100-continue`, and nothing of its body was captured yet. */
  private expects = false;
  /** What is being read of the target: a head, or a body. */
  private readonly responseHead = new Head();
  private readonly responseBody = new Body();
  /** Tags of the requests that were sent and are not answered. */
  private readonly open: number[] = [];
  /** The target has told the client of the first of them to go on, or has begun its answer. */
  private isContinued = false;
  /** How the session is handed over with the client's next bytes: `waiting` of `handOver`; null: it is not. */
  private leaves: boolean | null = null;

  constructor(private readonly outlet: Outlet) {}

  request(bytes: Uint8Array, from: number, to: number, isFresh: boolean, isTurn: boolean): void {
    if (isFresh) {
      this.requestHead.clear();
      this.requestBody.begin(0);
      this.expects = false;
    }
    if (isTurn) this.isTurn = true;
    if (this.leaves !== null) {
      bytes = this.requestHead.with(bytes, from, to);
      this.outlet.begin(IS_RAW);
      this.outlet.write(bytes, 0, bytes.length);
      this.outlet.handOver(this.leaves);
      return;
    }
    while (from < to) {
      if (this.isRaw) {
        if (isTurn) this.outlet.begin(IS_RAW);
        this.outlet.write(bytes, from, to);
        return;
      }
      if (this.expects && !this.mayBeBody(bytes, from, to)) this.requestBody.begin(0);
      if (!this.requestBody.isOver) {
        const end = this.requestBody.take(bytes, from, to);
        this.outlet.write(bytes, from, end);
        from = end;
        continue;
      }
      if (!this.requestHead.isEmpty) {
        bytes = this.requestHead.with(bytes, from, to);
        [from, to] = [0, bytes.length];
      }
      const end = endOfHead(bytes, from, to);
      if (end < 0 && to - from < LONGEST_HEAD && looksLikeRequest(bytes, from, to)) {
        this.requestHead.keep(bytes.slice(from, to));
        return;
      }
      this.requestHead.clear();
      const head = end < 0 ? null : readHead(bytes, from, end, REQUEST_LINE);
      if (!head) {
        this.takeForeign(bytes, from, to);
        return;
      }
      this.beginRequest(head.line[1]!, head.framing.upgrades);
      this.outlet.write(bytes, from, end);
      this.requestBody.begin(head.framing.length === -2 ? 0 : head.framing.length);
      this.expects = head.framing.expects && !this.requestBody.isOver;
      from = end;
    }
  }

  private beginRequest(method: string, upgrades: boolean): void {
    let tag = this.isTurn ? 0 : IS_PIPELINED;
    this.isTurn = false;
    if (method === "HEAD") tag |= IS_HEAD;
    if (method === "CONNECT") tag |= IS_CONNECT;
    if (upgrades) tag |= UPGRADES;
    if (upgrades || method === "CONNECT") this.mayUpgrade = true;
    this.outlet.begin(tag);
  }

  /**
   * Whether what follows the head of a request with `Expect` is its body: if the client had heard from the server before, it
   * waits for the target too, and may also be another request, where the server has refused the body.
   */
  private mayBeBody(bytes: Uint8Array, from: number, to: number): boolean {
    this.expects = false;
    if (!this.isTurn) return true;
    const end = endOfHead(bytes, from, to);
    if (end >= 0 && readHead(bytes, from, end, NEXT_REQUEST)) return false;
    this.isTurn = false;
    this.outlet.pause();
    return true;
  }

  /** Takes bytes that are not HTTP/1.1: of the protocol after an Upgrade, or of another protocol from the start. */
  private takeForeign(bytes: Uint8Array, from: number, to: number): void {
    this.outlet.begin(IS_RAW);
    this.outlet.write(bytes, from, to);
    if (this.mayUpgrade) this.isRaw = true;
    else this.outlet.handOver(true);
  }

  response(bytes: Uint8Array, from: number, to: number, missing: number): void {
    if (this.leaves !== null) return;
    while (from < to) {
      if (!this.responseBody.isOver) {
        from = this.responseBody.take(bytes, from, to);
        if (this.responseBody.isOver) this.endAnswer();
        continue;
      }
      if (!this.responseHead.isEmpty) {
        bytes = this.responseHead.with(bytes, from, to);
        [from, to] = [0, bytes.length];
      }
      const end = endOfHead(bytes, from, to);
      if (end < 0) {
        if (missing > 0 || to - from >= LONGEST_HEAD) {
          this.handOver(true);
          return;
        }
        this.responseHead.keep(bytes.slice(from, to));
        return;
      }
      this.responseHead.clear();
      const head = readHead(bytes, from, end, STATUS_LINE);
      if (!head) {
        // No answer of HTTP/1.1: where it ends is not known.
        this.handOver(true);
        return;
      }
      if (!this.beginAnswer(Number(head.line[1]), head.framing.length)) return;
      from = end;
    }
    if (missing === 0) return;
    if (!this.responseBody.skip(missing)) this.handOver(true);
    else if (this.responseBody.isOver) this.endAnswer();
  }

  /** What the client has sent of a head is still here, and can be written only when more of it comes. */
  private handOver(waiting: boolean): void {
    if (this.requestHead.isEmpty) {
      this.outlet.handOver(waiting);
      return;
    }
    this.leaves = waiting;
    this.open.length = 0;
    this.outlet.wake();
  }

  /** Takes the head of an answer; false if the session is handed over or refused. */
  private beginAnswer(status: number, length: number): boolean {
    const request = this.open[0] ?? 0;
    const isOpened = status === 101 || (request & IS_CONNECT && status >= 200 && status < 300);
    if (isOpened) {
      this.handOver(false);
      return false;
    }
    if (this.isRaw && request & (UPGRADES | IS_CONNECT)) {
      // Production accepted the Upgrade, the target did not: it cannot read what follows.
      this.outlet.refuse();
      return false;
    }
    if (status === 100 || status >= 200) {
      this.isContinued = true;
      this.outlet.wake();
    }
    if (status < 200) return true;
    if (request & IS_HEAD || status === 204 || status === 304) this.responseBody.begin(0);
    else this.responseBody.begin(length === -2 ? Number.POSITIVE_INFINITY : length);
    if (this.responseBody.isOver) this.endAnswer();
    return true;
  }

  private endAnswer(): void {
    this.open.shift();
    this.isContinued = false;
    this.outlet.wake();
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

  begin(tag: number): Verdict {
    if (tag & IS_RAW && this.mayUpgrade) return DROP;
    this.open.push(tag);
    return GO;
  }

  skipped(): void {}

  isAnswered(): boolean {
    return this.open.length === 0;
  }

  connected(): void {}

  disconnected(): void {
    this.open.length = 0;
    this.isContinued = false;
    this.responseHead.clear();
    this.responseBody.begin(0);
  }

  close(): void {}
}

/** Whether these bytes may be the start of a request, by the first 16 of them. */
function looksLikeRequest(bytes: Uint8Array, from: number, to: number): boolean {
  const last = Math.min(to, from + 16);
  for (let at = from; at < last; at++) {
    const byte = bytes[at]!;
    if (byte === 0x20) return true;
    if ((byte < 0x21 && byte !== 13 && byte !== 10) || byte > 0x7e) return false;
  }
  return true;
}

export const HTTP: ProtocolModule = {
  name: "http",
  waitsForever: false,
  keptFor: 0,
  open: (outlet) => new HttpSession(outlet),
};
