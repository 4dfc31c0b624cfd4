/**
 * Makes a pair of each command of a session that is answered: of what production said to it, and what the target did. Commands that
 * have no answer (COM_QUIT, COM_STMT_CLOSE, COM_STMT_SEND_LONG_DATA) make none.
 *
 *   captured()          a command was captured, and is for the target; `leftOut()` if it is not
 *   sent(), answered()  the target's side
 *   production*()       the other: see online-pairs.ts
 */
import type { Outcome, PairSink } from "../../../pairs/pair.ts";
import { answerOf, type Half } from "./half.ts";

/** Most commands of a session that wait for their answers. */
const MOST_OPEN = 256;

const NOTHING = new Uint8Array(0);

/** What is known of production's answer: nothing of it was captured; not its beginning; or its beginning at least. */
export type Online = "not captured" | "gap" | Half;

/** Of which service and copy a session is. Read when a pair is complete. */
export interface Origin {
  readonly service: number;
  readonly copy: number;
  readonly path: number;
}

export interface OpenPair {
  /** Of the command: see `Comparison.capture`. */
  readonly number: number;
  readonly method: string;
  readonly name: string;
  /** When it was captured, us. */
  readonly at: number;
  /** When it was sent to the target, us, and on which path; -1: it was not. */
  sentAt: number;
  path: number;
  /** When the target's answer began, us; -1: it has not. */
  answeredAt: number;
  target: Half | null;
  /** The target will not answer it. */
  isUnanswered: boolean;
  online: Online | null;
}

export class Pairing {
  private readonly open = new Map<number, OpenPair>();
  /** The one that was sent last. */
  private last: OpenPair | null = null;

  /** `isFramedAlike`: whether sizes of the session's answers can be compared; if not, production's are not known. */
  constructor(
    private readonly sink: PairSink,
    private readonly origin: Origin,
    private readonly isFramedAlike: () => boolean,
  ) {}

  /** A command was captured that is for the target; null if too many wait. */
  captured(number: number, method: string, name: string, at: number): OpenPair | null {
    const pair = openPair(number, method, name, at);
    if (this.open.size === MOST_OPEN) {
      this.end(pair, "tooMany");
      return null;
    }
    this.open.set(number, pair);
    return pair;
  }

  /** A command was captured that is not for the target. */
  leftOut(method: string, name: string, at: number): void {
    this.end(openPair(-1, method, name, at), "notSent");
  }

  /** A command is sent to the target, or once more on another connection. */
  sent(number: number, now: number): void {
    const { last } = this;
    // The target answers in order: if it has not answered the one before, its connection was lost meanwhile.
    if (last && last.number !== number) this.giveUp(last);
    const pair = this.open.get(number);
    this.last = pair ?? null;
    if (!pair) return;
    if (pair.sentAt < 0) pair.sentAt = now;
    pair.path = this.origin.path;
    pair.answeredAt = -1;
  }

  private giveUp(pair: OpenPair): void {
    pair.isUnanswered = true;
    if (pair.online) this.end(pair, outcomeOf(pair));
  }

  /** A command is not sent, or not again. */
  dropped(number: number): void {
    const pair = this.open.get(number);
    if (!pair) return;
    if (pair.sentAt < 0) this.end(pair, "notSent");
    else this.giveUp(pair);
  }

  /** All commands that wait to be sent were dropped. */
  dropUnsent(): void {
    for (const pair of this.open.values()) if (pair.sentAt < 0) this.end(pair, "notSent");
  }

  /** The target's answer has begun. */
  begun(number: number, time: number): void {
    const pair = this.open.get(number);
    if (pair && pair.answeredAt < 0) pair.answeredAt = time;
  }

  answered(number: number, half: Half): void {
    const pair = this.open.get(number);
    if (!pair || pair.target || pair.isUnanswered) return;
    pair.target = half;
    if (pair.answeredAt >= 0) half.firstAt = pair.answeredAt;
    if (pair.online) this.end(pair, outcomeOf(pair));
  }

  /** All that will be known of production's answer. */
  answeredOnline(pair: OpenPair, online: Online): void {
    if (pair.online) return;
    pair.online = online;
    if (pair.target || pair.isUnanswered) this.end(pair, outcomeOf(pair));
  }

  /** The session is over. */
  close(): void {
    for (const pair of this.open.values()) this.end(pair, pair.sentAt < 0 ? "notSent" : outcomeOf(pair));
  }

  private end(pair: OpenPair, outcome: Outcome): void {
    if (this.open.get(pair.number) === pair) this.open.delete(pair.number);
    else if (pair.number >= 0 && outcome !== "tooMany") return;
    // Its answers are not waited for any more.
    const { path, method, name, at, sentAt, online, target } = pair;
    pair.online ??= "not captured";
    const { service, copy } = this.origin;
    const half = online && typeof online === "object" ? online : null;
    if (half && !this.isFramedAlike()) half.bytes = -1;
    this.sink.take({
      protocol: "mysql",
      outcome,
      service,
      copy,
      path,
      at,
      method,
      name,
      request: NOTHING,
      requestBody: null,
      production: half && answerOf(half, at),
      target: target && answerOf(target, sentAt),
    });
  }
}

function openPair(number: number, method: string, name: string, at: number): OpenPair {
  return {
    number,
    method,
    name,
    at,
    sentAt: -1,
    path: -1,
    answeredAt: -1,
    target: null,
    isUnanswered: false,
    online: null,
  };
}

function outcomeOf({ online, target }: OpenPair): Outcome {
  if (online && typeof online === "object") return target ? "compared" : "production only";
  if (!target) return "ended";
  return online === "gap" ? "gap" : "target only";
}
