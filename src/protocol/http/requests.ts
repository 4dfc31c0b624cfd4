/**
 * The requests of a worker that wait for their answers, by number: the number goes with the request in its tag, also to another connection
 * (--late spread). Each is handed over as exactly one pair.
 */
import {
  type Answer,
  MOST_BODY,
  MOST_HEAD,
  MOST_NAME,
  MOST_REQUEST_BODY,
  type NotCompared,
  type PairConfig,
  type PairSink,
} from "../../pairs/pair.ts";
import { Content } from "./content.ts";
import { Fields, methodOf, type RequestLine, textOf } from "./head.ts";

/** Bits of a tag that have the number; 0: the request is not in the table. */
export const NUMBER_BITS = 19;
const NUMBERS = 2 ** NUMBER_BITS - 1;
/** Bytes that a request counts beside its heads and content; share of the memory that content may have. */
const OVERHEAD = 1000;
const CONTENT_SHARE = 3 / 4;

/** What became of a request at one side. "none": no answer was captured, or given. */
export type Fate = "waiting" | "answered" | "none" | NotCompared;

export class Request {
  /** What it is at each side, and the answer as far as it has come. */
  production: Fate = "waiting";
  target: Fate = "waiting";
  productionAnswer: Answer | null = null;
  targetAnswer: Answer | null = null;
  /** The content of the request, and of its answers. */
  content: Content | null = null;
  productionContent: Content | null = null;
  targetContent: Content | null = null;
  /** It was handed over. */
  isDone = false;
  /** When it was begun at the target, us; 0: it was not. */
  begunAt = 0;
  path = -1;
  /** Bytes of production's answer were captured; some before its end were not. */
  hasBytes = false;
  hasGap = false;
  memory = 0;

  /** `ack`: the number of the first byte of production's stream that may be of its answer; `isExact`: it is, if it comes alone. */
  constructor(
    readonly number: number,
    readonly method: string,
    readonly name: string,
    readonly head: Uint8Array,
    readonly at: number,
    readonly ack: number,
    readonly isExact: boolean,
    readonly service: number,
    readonly copy: number,
  ) {}

  get isHead(): boolean {
    return this.method === "HEAD";
  }

  get isConnect(): boolean {
    return this.method === "CONNECT";
  }
}

/** What the sessions of a worker share to make pairs. */
export class Requests {
  /** What heads of answers are read into. */
  readonly fields: Fields;
  readonly hasContent: boolean;
  private readonly waiting = new Map<number, Request>();
  private number = 0;
  private memory: number;
  private contentMemory: number;

  /** `onOther`: called when the first bytes of a session are none of HTTP/1. */
  constructor(
    config: PairConfig,
    private readonly sink: PairSink,
    readonly onOther: () => void,
  ) {
    this.fields = new Fields(config.fields);
    this.hasContent = config.body;
    this.memory = config.memory;
    this.contentMemory = config.memory * CONTENT_SHARE;
  }

  /** Requests that wait. */
  get count(): number {
    return this.waiting.size;
  }

  /** Takes a captured request, whose head is `bytes` to `to`, and its first line `line`. If there is no room, it is handed over at once. */
  take(
    bytes: Uint8Array,
    to: number,
    line: RequestLine,
    at: number,
    ack: number,
    isExact: boolean,
    service: number,
    copy: number,
    hasRoom: boolean,
  ): Request {
    const size = Math.min(to - line.method, MOST_HEAD);
    const memory = OVERHEAD + size;
    const isKept = hasRoom && this.memory >= memory && this.waiting.size < NUMBERS / 2;
    const request = new Request(
      isKept ? this.nextNumber() : 0,
      methodOf(bytes, line.method, line.methodEnd),
      textOf(bytes, line.target, Math.min(line.targetEnd, line.target + MOST_NAME)),
      bytes.slice(line.method, line.method + size),
      at,
      ack,
      isExact,
      service,
      copy,
    );
    if (isKept) {
      this.memory -= memory;
      request.memory = memory;
      this.waiting.set(request.number, request);
      if (this.hasContent) request.content = new Content(this, MOST_REQUEST_BODY, false);
    } else {
      request.target = "tooMany";
      this.finish(request);
    }
    return request;
  }

  /** The request of a tag; null if it was handed over. */
  get(number: number): Request | null {
    return this.waiting.get(number) ?? null;
  }

  private nextNumber(): number {
    do this.number = this.number >= NUMBERS ? 1 : this.number + 1;
    while (this.waiting.has(this.number));
    return this.number;
  }

  /** Makes room for content that is kept; false if there is none. */
  reserve(bytes: number): boolean {
    if (this.contentMemory < bytes || this.memory < bytes) return false;
    this.contentMemory -= bytes;
    this.memory -= bytes;
    return true;
  }

  release(bytes: number): void {
    this.contentMemory += bytes;
    this.memory += bytes;
  }

  /** The first part of an answer: its head. */
  answer(
    request: Request,
    status: number,
    fields: Fields,
    bytes: Uint8Array,
    from: number,
    to: number,
    isWhole: boolean,
    since: number,
    at: number,
  ): Answer {
    const size = Math.min(to - from, MOST_HEAD);
    if (!request.isDone) {
      request.memory += size;
      this.memory -= size;
    }
    const isHeadWhole = isWhole && size === to - from;
    return {
      status,
      end: "complete",
      bytes: -1,
      count: 0,
      firstByte: Math.max(0, at - since),
      lastByte: 0,
      head: bytes.slice(from, from + size),
      isHeadWhole,
      fields: isHeadWhole ? fields.hash : 0,
      digest: null,
      body: null,
    };
  }

  /** Content of an answer begins, if it is compared. */
  contentOf(request: Request): Content | null {
    return this.hasContent && !request.isDone ? new Content(this, MOST_BODY, true) : null;
  }

  /** What became of a request at production; at the target. Where both are known, it is handed over. */
  settleProduction(request: Request, fate: Fate): void {
    if (request.production === "waiting") request.production = fate;
    this.look(request);
  }

  settleTarget(request: Request, fate: Fate): void {
    if (request.target === "waiting") request.target = fate;
    this.look(request);
  }

  private look(request: Request): void {
    if (request.isDone || request.target === "waiting") return;
    // Nothing is to be compared then.
    const isLost = request.target !== "answered" && request.target !== "none";
    if (request.production !== "waiting" || isLost) this.finish(request);
  }

  private finish(request: Request): void {
    request.isDone = true;
    this.waiting.delete(request.number);
    const { production, target, productionAnswer, targetAnswer } = request;
    const ours = production === "answered" ? productionAnswer : null;
    const theirs = target === "answered" ? targetAnswer : null;
    if (ours && theirs) keepBodies(request, ours, theirs);
    const hasBody = ours?.body || theirs?.body;
    this.sink.take({
      protocol: "http",
      outcome: outcomeOf(production, target),
      service: request.service,
      copy: request.copy,
      path: request.path,
      at: request.at,
      method: request.method,
      name: request.name,
      request: request.head,
      requestBody: hasBody ? (request.content?.bytes ?? null) : null,
      production: ours,
      target: theirs,
    });
    request.content?.close();
    request.productionContent?.close();
    request.targetContent?.close();
    request.content = request.productionContent = request.targetContent = null;
    this.memory += request.memory;
    request.memory = 0;
  }
}

/** Gives the answers their content where it, or the status, differs. */
function keepBodies(request: Request, production: Answer, target: Answer): void {
  if (!request.productionContent || !request.targetContent) return;
  const isSame =
    production.status === target.status &&
    production.digest !== null &&
    target.digest !== null &&
    Buffer.compare(production.digest, target.digest) === 0;
  if (isSame) return;
  production.body = request.productionContent.bytes;
  target.body = request.targetContent.bytes;
}

function outcomeOf(production: Fate, target: Fate) {
  if (target === "notSent" || target === "tooMany") return target;
  if (production === "upgraded" || target === "upgraded") return "upgraded";
  if (production === "answered" && target === "answered") return "compared";
  for (const fate of [production, target]) {
    if (fate !== "waiting" && fate !== "answered" && fate !== "none") return fate;
  }
  if (target === "answered") return "target only";
  return production === "answered" ? "production only" : "ended";
}
