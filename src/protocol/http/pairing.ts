/** Pairs the requests of one session: with production's answers (production.ts), and with those of the target. */
import type { Outlet } from "../module.ts";
import type { AnswerReader } from "./answers.ts";
import type { Fields, RequestLine } from "./head.ts";
import { MOST_COMPARED, Production } from "./production.ts";
import type { Fate, Request, Requests } from "./requests.ts";

/** us after which a target that has not answered counts as one that gives no answer, however the connection ends then. */
const PATIENCE = 5_000_000;

export class Pairing {
  private readonly production: Production;
  /** Requests that were captured and not begun, in order. */
  private readonly unsent: Request[] = [];
  /** Requests that were begun on the connection and are not answered; null: one that was handed over. */
  private readonly open: (Request | null)[] = [];
  /** Requests that were sent on a connection that is gone, and may be sent again; what they become otherwise. */
  private unsure: { request: Request; fate: Fate }[] = [];
  private hasEnded = false;

  constructor(
    private readonly requests: Requests,
    private readonly outlet: Outlet,
  ) {
    this.production = new Production(requests);
  }

  /** A request was captured; returns its number for the tag. See `Requests.take`. */
  capture(
    bytes: Uint8Array,
    to: number,
    line: RequestLine,
    time: number,
    ack: number,
    isExact: boolean,
    isFresh: boolean,
  ): number {
    if (isFresh) this.forgetUnsent();
    const hasRoom = this.production.count < MOST_COMPARED && this.unsent.length < MOST_COMPARED;
    const { service, copy } = this.outlet;
    const request = this.requests.take(bytes, to, line, time, ack, isExact, service, copy, hasRoom);
    if (!request.isDone) this.unsent.push(request);
    this.production.expect(request, isFresh, time);
    this.last = request;
    return request.number;
  }

  private last: Request | null = null;

  /** Content of the request that was captured last. */
  content(bytes: Uint8Array, from: number, to: number): void {
    this.last?.content?.take(bytes, from, to);
  }

  /** Requests that the engine has dropped without a word. */
  private forgetUnsent(): void {
    for (const request of this.unsent) this.requests.settleTarget(request, "notSent");
    this.unsent.length = 0;
  }

  opened(seq: number): void {
    this.production.begin(seq);
  }

  /** As `ProtocolSession.production` and `productionEnded`. */
  takeProduction(
    bytes: Uint8Array,
    from: number,
    to: number,
    missing: number,
    seq: number,
    ack: number,
    time: number,
  ): void {
    this.production.take(bytes, from, to, missing, seq, ack, time);
  }

  endProduction(seq: number, isReset: boolean): void {
    this.production.endAt(seq, isReset);
  }

  /** The request goes over another connection; over this one. */
  moveAway(number: number): void {
    const request = this.requests.get(number);
    if (request) this.forget(request);
  }

  moveHere(number: number): void {
    const request = this.requests.get(number);
    if (request) this.unsent.push(request);
  }

  skipped(number: number, again: boolean): void {
    const request = this.requests.get(number);
    if (!request || again !== request.begunAt > 0) return;
    this.forget(request);
    const fate = this.unsure.find((one) => one.request === request)?.fate ?? this.fateUnanswered(request);
    this.requests.settleTarget(request, again ? fate : "notSent");
  }

  /** What becomes of a request that was sent, if nothing more is heard of it. */
  private fateUnanswered(request: Request): Fate {
    return this.hasEnded || this.outlet.now - request.begunAt >= PATIENCE ? "none" : "ended";
  }

  private forget(request: Request): void {
    const index = this.unsent.indexOf(request);
    if (index >= 0) this.unsent.splice(index, 1);
  }

  /** A request is about to be sent. `now`: us. */
  begin(number: number, again: boolean, now: number): void {
    const request = this.requests.get(number);
    // One whose answer had begun on the connection before has had its answer.
    const isOurs = request !== null && again === request.begunAt > 0 && request.target === "waiting";
    for (const { request: one, fate } of this.unsure) {
      if (one !== request) this.requests.settleTarget(one, fate);
    }
    this.unsure = [];
    if (isOurs) {
      this.forget(request);
      request.begunAt = now;
      request.path = this.outlet.path;
      this.dropAnswer(request);
    }
    this.open.push(isOurs ? request : null);
  }

  /** What came of an answer counts no more: the request is sent again. */
  private dropAnswer(request: Request): void {
    request.targetContent?.close();
    request.targetContent = null;
    request.targetAnswer = null;
  }

  /** The head of an answer of the target that is not interim; as `AnswerSink.head`. `length`: of its body. */
  head(
    status: number,
    fields: Fields,
    bytes: Uint8Array,
    from: number,
    to: number,
    isWhole: boolean,
    at: number,
    length: number,
  ): void {
    const request = this.open[0];
    if (!request) return;
    const { requests } = this;
    const answer = requests.answer(request, status, fields, bytes, from, to, isWhole, request.begunAt, at);
    request.targetAnswer = answer;
    if (isWhole) request.targetContent = requests.contentOf(request);
    else if (length >= 0 && length < Number.POSITIVE_INFINITY && !fields.isUnclear) answer.bytes = length;
  }

  answerContent(bytes: Uint8Array, from: number, to: number): void {
    this.open[0]?.targetContent?.take(bytes, from, to);
  }

  /** The answer to the first open request has ended, as its protocol says. */
  end(reader: AnswerReader, at: number): void {
    const request = this.open.shift();
    if (!request?.targetAnswer) return;
    const answer = request.targetAnswer;
    answer.bytes = reader.body.length;
    answer.lastByte = Math.max(answer.firstByte, at - request.begunAt);
    if (request.targetContent && !reader.hasUnseen) answer.digest = request.targetContent.digest();
    this.requests.settleTarget(request, "answered");
  }

  /** The answer to the first open request ends at `at`, before or without an end that can be seen. */
  private cut(request: Request, end: "closed" | "reset" | "unseen", at: number): void {
    const answer = request.targetAnswer!;
    answer.end = end;
    answer.lastByte = Math.max(answer.firstByte, at - request.begunAt);
    this.requests.settleTarget(request, "answered");
  }

  /** Where the answers to all open requests end was not seen, the last of them at `at`. */
  passOver(at: number): void {
    for (const request of this.open) {
      if (!request) continue;
      if (request.targetAnswer) this.cut(request, "unseen", at);
      else this.requests.settleTarget(request, "unknownEnd");
    }
    this.open.length = 0;
  }

  /** The target has accepted an Upgrade: what follows on the connection is of another protocol. */
  upgrade(): void {
    const request = this.open.shift();
    if (request?.targetAnswer) {
      request.targetAnswer.bytes = 0;
      request.targetAnswer.lastByte = request.targetAnswer.firstByte;
      this.requests.settleTarget(request, "answered");
    }
    this.leave("upgraded");
  }

  /** The answers of the target are not read any more. */
  leave(fate: Fate): void {
    for (const request of [...this.open, ...this.unsent]) {
      if (request) this.requests.settleTarget(request, fate);
    }
    this.open.length = this.unsent.length = 0;
  }

  /** As `ProtocolSession.targetEnded`. */
  targetEnded(isReset: boolean, reader: AnswerReader): void {
    this.hasEnded = true;
    const request = this.open[0];
    if (!request?.targetAnswer) return;
    if (!isReset && !reader.isLost && reader.body.isEndless) {
      this.end(reader, reader.at);
      return;
    }
    this.open.shift();
    if (!reader.isLost) request.targetAnswer.bytes = reader.body.length;
    this.cut(request, isReset ? "reset" : reader.isLost ? "unseen" : "closed", reader.at);
  }

  disconnected(reader: AnswerReader): void {
    if (reader.isLost || (reader.seeks && reader.hasSkipped)) this.passOver(reader.at);
    for (const request of this.open) {
      if (!request) continue;
      if (request.targetAnswer) this.requests.settleTarget(request, "ended");
      else this.unsure.push({ request, fate: this.fateUnanswered(request) });
    }
    this.open.length = 0;
    this.hasEnded = false;
  }

  close(reader: AnswerReader): void {
    this.disconnected(reader);
    for (const { request, fate } of this.unsure) this.requests.settleTarget(request, fate);
    this.unsure = [];
    this.forgetUnsent();
    this.production.close();
  }
}
