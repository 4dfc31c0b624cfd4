/**
 * Makes a pair of each query of DNS that is copied: what production has answered to it, and what the target. Answers are known by the
 * flow on which they come, the number of the query, and its question; of queries that are the same, the oldest is answered first.
 */
import { type Answer, MOST_NAME, type Outcome, type PairSink } from "../pairs/pair.ts";
import { answerCount, answerId, answers, isTruncated, type Query, rcodeOf, readQuery } from "./dns.ts";
import { KEY_WORDS } from "./table.ts";

/** Most queries that wait for answers, and most of a flow. */
const MOST_OPEN = 32_768;
const MOST_OF_FLOW = 1024;
/** Bytes of an answer that are kept. */
const MOST_KEPT = 512;
/** Answers of production that came before the record of their query, and us for which they are kept. */
const MOST_EARLY = 64;
const EARLY_SPAN = 1_000_000;

const NOTHING = new Uint8Array(0);

/** An answer, as it was captured. `length`: bytes of the datagram. */
interface Came {
  bytes: Uint8Array;
  at: number;
  to: number;
  length: number;
  time: number;
}

interface Open {
  readonly query: Query;
  readonly flow: number;
  readonly service: number;
  readonly copy: number;
  readonly path: number;
  /** When it was captured, and sent, us. */
  readonly at: number;
  readonly sentAt: number;
  production: Answer | null;
  target: Answer | null;
  older: Open | null;
  newer: Open | null;
}

interface Early {
  key: Int32Array;
  came: Came;
}

export class DnsPairs {
  /** By flow, a row of the table. */
  private readonly flows = new Map<number, Open[]>();
  private count = 0;
  private oldest: Open | null = null;
  private newest: Open | null = null;
  private early: Early[] = [];

  /** `timeout`: us after which an answer is not waited for any more. */
  constructor(
    private readonly sink: PairSink,
    private readonly timeout: number,
  ) {}

  /** As `readQuery`. */
  read(bytes: Uint8Array, at: number, length: number): Query | null {
    return readQuery(bytes, at, length);
  }

  /** A query that was captured at `at` is sent at `now`, us. `key`: of its client's flow, with the copy; `flow`: its row. */
  sent(
    query: Query,
    key: Int32Array,
    flow: number,
    service: number,
    copy: number,
    path: number,
    at: number,
    now: number,
  ): void {
    const open: Open = {
      query,
      flow,
      service,
      copy,
      path,
      at,
      sentAt: now,
      production: null,
      target: null,
      older: this.newest,
      newer: null,
    };
    const waiting = this.flows.get(flow);
    if (this.count === MOST_OPEN || (waiting && waiting.length >= MOST_OF_FLOW)) {
      this.tell(open, "tooMany");
      return;
    }
    if (waiting) waiting.push(open);
    else this.flows.set(flow, [open]);
    if (this.newest) this.newest.newer = open;
    else this.oldest = open;
    this.newest = open;
    this.count++;
    if (this.early.length > 0) this.lookAtEarly(open, key, now);
  }

  /** A query that was captured is not sent. */
  notSent(query: Query, service: number, copy: number, at: number): void {
    const none = { production: null, target: null, older: null, newer: null };
    this.tell({ query, flow: -1, service, copy, path: -1, at, sentAt: at, ...none }, "notSent");
  }

  /** Production has answered on a client's flow; false if no query waits for this answer. `bytes` from `at` to `to` were captured. */
  production(flow: number, bytes: Uint8Array, at: number, to: number, length: number, time: number): boolean {
    const open = this.find(flow, { bytes, at, to, length, time }, (one) => one.production === null);
    if (!open) return false;
    open.production = answerOf({ bytes, at, to, length, time }, open.at);
    if (open.target) this.end(open);
    return true;
  }

  /** An answer of production that no query waits for; its query may not have been read yet. `key`: of the client's flow. */
  keepEarly(key: Int32Array, bytes: Uint8Array, at: number, to: number, length: number, time: number): void {
    if (answerId(bytes, at, to) < 0) return;
    if (this.early.length === MOST_EARLY) this.early.shift();
    const kept = bytes.slice(at, Math.min(to, at + MOST_KEPT));
    this.early.push({ key: key.slice(), came: { bytes: kept, at: 0, to: kept.length, length, time } });
  }

  /** The target has answered on the flow. */
  target(flow: number, bytes: Uint8Array, at: number, to: number, length: number, time: number): void {
    const came = { bytes, at, to, length, time };
    const open = this.find(flow, came, (one) => one.target === null);
    if (!open) return;
    open.target = answerOf(came, open.sentAt);
    if (open.production) this.end(open);
  }

  /** The flow's row is free for another one. */
  forget(flow: number): void {
    const waiting = this.flows.get(flow);
    if (waiting) for (const open of [...waiting]) this.end(open);
  }

  /** Ends the queries whose answers are not waited for any more. */
  advance(now: number): void {
    while (this.oldest && now - this.oldest.sentAt >= this.timeout) this.end(this.oldest);
    while (this.early.length > 0 && now - this.early[0]!.came.time >= EARLY_SPAN) this.early.shift();
  }

  /** When `advance` has something to do, us. */
  get dueAt(): number {
    return this.oldest ? this.oldest.sentAt + this.timeout : Number.POSITIVE_INFINITY;
  }

  /** The run is over. */
  close(): void {
    while (this.oldest) this.end(this.oldest);
  }

  private find(flow: number, { bytes, at, to }: Came, waits: (open: Open) => boolean): Open | undefined {
    const id = answerId(bytes, at, to);
    if (id < 0) return undefined;
    return this.flows
      .get(flow)
      ?.find((open) => open.query.id === id && waits(open) && answers(bytes, at, to, open.query.question));
  }

  private lookAtEarly(open: Open, key: Int32Array, now: number): void {
    for (const [index, { key: other, came }] of this.early.entries()) {
      const { bytes, at, to, time } = came;
      if (answerId(bytes, at, to) !== open.query.id || now - time >= EARLY_SPAN || time < open.at) continue;
      let same = 0;
      while (same < KEY_WORDS && key[same] === other[same]) same++;
      if (same < KEY_WORDS || !answers(bytes, at, to, open.query.question)) continue;
      this.early.splice(index, 1);
      open.production = answerOf(came, open.at);
      return;
    }
  }

  private end(open: Open): void {
    const { older, newer, flow, production, target } = open;
    if (older) older.newer = newer;
    else this.oldest = newer;
    if (newer) newer.older = older;
    else this.newest = older;
    this.count--;
    const waiting = this.flows.get(flow)!;
    if (waiting.length === 1) this.flows.delete(flow);
    else waiting.splice(waiting.indexOf(open), 1);
    if (production) this.tell(open, target ? "compared" : "production only");
    else this.tell(open, target ? "target only" : "ended");
  }

  private tell({ query, service, copy, path, at, production, target }: Open, outcome: Outcome): void {
    this.sink.take({
      protocol: "dns",
      outcome,
      service,
      copy,
      path,
      at,
      method: query.type,
      name: query.name.slice(0, MOST_NAME),
      request: NOTHING,
      requestBody: null,
      production,
      target,
    });
  }
}

/** `since`: when its query was captured, or sent, us. */
function answerOf({ bytes, at, to, length, time }: Came, since: number): Answer {
  const end = Math.min(to, at + MOST_KEPT);
  const took = Math.max(0, time - since);
  return {
    status: rcodeOf(bytes, at, to),
    end: isTruncated(bytes, at) ? "closed" : "complete",
    bytes: length,
    count: answerCount(bytes, at),
    firstByte: took,
    lastByte: took,
    head: bytes.slice(at, end),
    isHeadWhole: end - at === length,
    fields: 0,
    digest: null,
    body: null,
  };
}
