/**
 * Production's answers to the requests of one session. Their stream is followed by what it says itself (lengths, chunks). Where that
 * cannot be seen (only the beginning of each segment was captured, or some were not), the client's acknowledgement numbers say where the
 * next answer begins: a client that sends one request after the other has received all of an answer before its next request.
 */
import { ServerStream } from "../server-stream.ts";
import { AnswerReader, type AnswerSink, bodyLength, INTERIM, STOP } from "./answers.ts";
import { type Fields, isVersion } from "./head.ts";
import type { Fate, Request, Requests } from "./requests.ts";

/** us after which what was not captured will not be: packets may be captured out of order. */
const REORDERING = 100_000;
/** Most requests of a session that wait for production's answer; and most that are compared. */
const MOST_WAITING = 8192;
export const MOST_COMPARED = 1024;

export class Production implements AnswerSink {
  private readonly stream: ServerStream;
  private readonly reader: AnswerReader;
  /** The requests without all of an answer, in order. */
  private readonly waiting: Request[] = [];
  /** The client has sent a request without waiting for the answer to the one before. */
  private hasPipelined = false;
  private hasExpected = false;
  /** An answer has ended where its protocol says. */
  private hasEnded = false;
  /** What becomes of all requests from now on; null: their answers are looked for. */
  private off: Fate | null = null;
  /** How the stream has ended. */
  private ending: "closed" | "reset" | null = null;
  /** What the stream gives now, and next, was not captured. */
  private isGap = false;
  private isGapNext = false;

  constructor(private readonly requests: Requests) {
    this.stream = new ServerStream(
      (bytes, from, to, missing, _ack, time) => this.feed(bytes, from, to, missing, time),
      () => this.takeEnd(),
      requests,
    );
    const content = (bytes: Uint8Array, from: number, to: number) =>
      this.waiting[0]?.productionContent?.take(bytes, from, to);
    this.reader = new AnswerReader(requests.fields, this, requests.hasContent ? content : null);
  }

  /** Requests that wait for production. */
  get count(): number {
    return this.waiting.length;
  }

  /** The server's stream begins with the byte of this number. */
  begin(seq: number): void {
    this.stream.begin(seq);
  }

  /** A request was captured. `isFresh`: requests before it may be unknown. `now`: us. */
  expect(request: Request, isFresh: boolean, now: number): void {
    if (!request.isExact && this.hasExpected) this.hasPipelined = true;
    this.hasExpected = true;
    if (isFresh && this.hasPipelined) this.turnOff("gap");
    else if (this.waiting.length >= MOST_WAITING) this.turnOff("tooMany");
    if (this.off !== null) {
      this.requests.settleProduction(request, this.off);
      return;
    }
    this.waiting.push(request);
    this.stream.begin(request.ack);
    if (this.waiting.length === 1) this.stream.skipTo(request.ack);
    this.align();
    this.stream.resume();
    this.giveUp(now);
  }

  /** As `ProtocolSession.production`. */
  take(
    bytes: Uint8Array,
    from: number,
    to: number,
    missing: number,
    seq: number,
    ack: number,
    time: number,
  ): void {
    if (this.off !== null) return;
    this.stream.take(bytes, from, to, missing, seq, ack, time);
    this.giveUp(time);
  }

  /** The server has ended its stream before the byte with this number. */
  endAt(seq: number, isReset: boolean): void {
    this.ending ??= isReset ? "reset" : "closed";
    this.stream.endAt(seq);
  }

  /** The session is over. */
  close(): void {
    this.giveUp(Number.POSITIVE_INFINITY);
    const first = this.waiting[0];
    if (first?.productionAnswer && first.production === "waiting") {
      if (this.reader.isLost || this.reader.body.isEndless) this.endUnseen(first);
      else if (this.ending) this.cut(first, this.ending);
      else this.requests.settleProduction(first, "ended");
    }
    for (const request of this.waiting) this.settle(request, request.hasBytes ? "ended" : "none");
    this.waiting.length = 0;
    this.turnOff("ended");
  }

  private turnOff(fate: Fate): void {
    this.off ??= fate;
    this.stream.stop();
    for (const request of this.waiting) {
      if (request.productionAnswer) this.endUnseen(request);
      this.settle(request, this.off);
    }
    this.waiting.length = 0;
  }

  private settle(request: Request, fate: Fate): void {
    if (request.production === "waiting") this.requests.settleProduction(request, fate);
  }

  /** Gives up what is missing of the stream, where it will not come any more. */
  private giveUp(now: number): void {
    const { stream, waiting } = this;
    while (waiting.length > 0 && this.off === null && !stream.isPaused) {
      // What is before the place where an answer may begin is of no request that is known.
      if (!waiting[0]!.hasBytes && !waiting[0]!.hasGap) stream.skipTo(waiting[0]!.ack);
      const gap = stream.gap;
      const next = this.nextExact();
      const ahead = next > 0 ? (waiting[next]!.ack - stream.next) | 0 : 0;
      let lost = 0;
      if (now - stream.heldSince >= REORDERING || stream.isFull)
        lost = ahead > 0 ? Math.min(gap, ahead) : gap;
      // The client has received what it has acknowledged.
      else if (ahead > 0 && now - waiting[next]!.at >= REORDERING) lost = Math.min(gap, ahead);
      if (!(lost > 0 && lost < Number.POSITIVE_INFINITY)) return;
      this.isGapNext = true;
      const before = stream.next;
      stream.skip(lost, this.reader.at);
      if (stream.next === before) return;
    }
  }

  /** Index of the first request after the one whose answer is read that tells where its own answer begins; 0: there is none. */
  private nextExact(): number {
    if (this.hasPipelined) return 0;
    for (let index = 1; index < this.waiting.length; index++) if (this.waiting[index]!.isExact) return index;
    return 0;
  }

  /** Goes on with the next answer, if all before it has passed. */
  private align(): void {
    if (!this.reader.isLost || this.waiting.length === 0 || this.off !== null) return;
    if (this.hasPipelined) {
      this.turnOff(this.waiting[0]!.hasGap ? "gap" : "unknownEnd");
      return;
    }
    const next = this.nextExact();
    if (next === 0 || ((this.waiting[next]!.ack - this.stream.next) | 0) > 0) return;
    this.passOver(next);
  }

  /** The answers to the first `count` requests have passed, and where they end was not seen. */
  private passOver(count: number): void {
    const { waiting } = this;
    const isGap = waiting[0]!.hasGap;
    for (let index = 0; index < count; index++) {
      const request = waiting[index]!;
      if (request.productionAnswer) this.endUnseen(request);
      else if (index > 0 || request.hasBytes) this.settle(request, isGap ? "gap" : "unknownEnd");
      else this.settle(request, "none");
    }
    waiting.splice(0, count);
    this.reader.begin(false);
  }

  /** Takes the next bytes of the stream. */
  private feed(bytes: Uint8Array, from: number, to: number, missing: number, time: number): void {
    const { stream, waiting, reader, isGapNext: isGap } = this;
    this.isGap = isGap;
    this.isGapNext = false;
    const end = stream.next;
    for (let total = to - from + missing; total > 0 && this.off === null; ) {
      const first = waiting[0];
      if (first === undefined) {
        // The request may be captured later than its answer. What it does not answer is skipped when it comes.
        if (!isGap) stream.leave(total);
        return;
      }
      const at = (end - total) | 0;
      const before = (first.ack - at) | 0;
      let taken: number;
      if (first.productionAnswer === null && !reader.isWithin && !reader.isLost && before > 0) {
        // Of no request that is known.
        taken = Math.min(before, total);
      } else if (reader.isLost) {
        taken = this.takeLost(bytes, from, to, total, at);
        if (taken < 0) return;
        if (taken > 0) this.note(first, time);
      } else {
        // The client had not received all before it sent this request.
        const isUntouched = !first.hasBytes && !first.hasGap;
        if (before < 0 && first.isExact && isUntouched && this.hasEnded) this.hasPipelined = true;
        this.note(first, time);
        taken = reader.take(bytes, from, to, missing, time);
      }
      total -= taken;
      const seen = Math.min(taken, to - from);
      from += seen;
      missing -= taken - seen;
    }
    this.align();
  }

  private note(request: Request, time: number): void {
    if (this.isGap) {
      request.hasGap = true;
      return;
    }
    request.hasBytes = true;
    this.reader.at = time;
  }

  /** How many of `total` bytes, the first of number `at`, are before the next answer; -1: they are left for later. */
  private takeLost(bytes: Uint8Array, from: number, to: number, total: number, at: number): number {
    const next = this.nextExact();
    if (next === 0) {
      // It may be the next answer, whose request was not captured yet.
      if (to - from < 8 || !isVersion(bytes, from, to) || this.waiting.length > 1) return total;
      this.stream.leave(total);
      return -1;
    }
    const before = (this.waiting[next]!.ack - at) | 0;
    if (before > total) return total;
    this.passOver(next);
    return Math.max(0, before);
  }

  head(
    status: number,
    fields: Fields,
    bytes: Uint8Array,
    from: number,
    to: number,
    isWhole: boolean,
    at: number,
  ): number {
    if (status < 200 && status !== 101) return INTERIM;
    const { requests } = this;
    const request = this.waiting[0]!;
    const answer = requests.answer(request, status, fields, bytes, from, to, isWhole, request.at, at);
    request.productionAnswer = answer;
    const isOpened = status === 101 || (request.isConnect && status >= 200 && status < 300);
    const length = isOpened ? 0 : bodyLength(status, fields, request.isHead);
    if (!isWhole) {
      if (length >= 0 && length < Number.POSITIVE_INFINITY && !fields.isUnclear) answer.bytes = length;
      return length;
    }
    if (isOpened) {
      this.reader.body.begin(0);
      this.end(at);
      this.turnOff("upgraded");
      return STOP;
    }
    request.productionContent = requests.contentOf(request);
    return length;
  }

  end(at: number): void {
    const request = this.waiting.shift()!;
    const answer = request.productionAnswer!;
    answer.bytes = this.reader.body.length;
    answer.lastByte = Math.max(answer.firstByte, (this.isGap ? this.reader.at : at) - request.at);
    if (this.isGap) answer.end = "unseen";
    if (request.productionContent && !this.reader.hasUnseen)
      answer.digest = request.productionContent.digest();
    this.hasEnded = true;
    this.requests.settleProduction(request, "answered");
  }

  lost(): void {}

  private endUnseen(request: Request): void {
    this.cut(request, "unseen");
  }

  /** The answer ends here, before or without an end that can be seen. */
  private cut(request: Request, end: "closed" | "reset" | "unseen"): void {
    if (request.production !== "waiting") return;
    const answer = request.productionAnswer!;
    answer.end = end;
    if (end !== "unseen") answer.bytes = this.reader.body.length;
    answer.lastByte = Math.max(answer.firstByte, this.reader.at - request.at);
    this.requests.settleProduction(request, "answered");
  }

  /** The stream has ended behind what was taken. */
  private takeEnd(): void {
    if (this.off !== null) return;
    const first = this.waiting[0];
    if (first?.productionAnswer) {
      if (this.reader.isLost) this.endUnseen(first);
      else if (this.reader.body.isEndless && this.ending === "closed") this.end(this.reader.at);
      else this.cut(first, this.ending ?? "closed");
    }
    this.turnOff("ended");
  }
}
