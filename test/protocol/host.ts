/** The engine's part for a module under test: keeps the queue, sends what may be sent to a server that the test plays. */
import {
  ADMITTED,
  DROP,
  GO,
  HOLD,
  type Outlet,
  type ProtocolModule,
  type ProtocolSession,
  REFUSED,
  UNDECIDED,
} from "../../src/protocol/module.ts";

/** Of one segment of the engine's queue. */
const MOST_BYTES = 65536;

interface Queued {
  tag: number;
  /** As it was written. */
  parts: Uint8Array[];
  /** It was begun before, on a connection that is gone. */
  again: boolean;
  /** It is the rest of the request before it, after a `pause`. */
  isRest: boolean;
}

export class Host implements Outlet {
  readonly session: ProtocolSession;
  /** What was sent on the connection that is open, in order. */
  sent: Uint8Array[] = [];
  dropped = 0;
  leftOut = 0;
  isRefused = false;
  hasGivenUp = false;
  /** "plain" once the module has handed the session over. */
  handedOver: "waiting" | "streaming" | null = null;
  private readonly queue: Queued[] = [];
  private inserts: Uint8Array[] = [];
  /** What `begin` or `more` makes of what it is given. */
  private replaced: Uint8Array = new Uint8Array(0);
  /** What was sent last, as it was sent. */
  private unanswered: Queued | null = null;
  private isSkipping = false;
  private isWoken = false;
  private isNew = true;
  time = 0;
  /** TCP numbers of the client's next byte. */
  seq = 1000;
  ack = 5000;
  readonly service = 0;
  readonly copy = 0;
  path = 0;

  /** `receive` is what the server does with bytes that are sent. */
  constructor(
    module: ProtocolModule,
    private readonly receive: (bytes: Uint8Array) => void = () => {},
  ) {
    this.session = module.open(this);
  }

  get now(): number {
    return this.time;
  }

  /** The client's bytes, in pieces of `size`. */
  request(bytes: Uint8Array, isTurn = true, size = bytes.length, isFresh = false): void {
    // The engine drops what waits before it goes on behind a gap (closeAtGap, shed).
    while (isFresh && this.queue.length > 0) this.skip();
    for (let from = 0; from < bytes.length; from += size) {
      // A copy: what the module is given is gone after the call.
      const shifted = new Uint8Array(3 + Math.min(size, bytes.length - from));
      shifted.set(bytes.subarray(from, from + size), 3);
      this.session.request(
        shifted,
        3,
        shifted.length,
        (isFresh && from === 0) || this.isNew,
        isTurn && from === 0,
        this.time++,
        this.seq,
        this.ack,
      );
      this.isNew = false;
      this.seq = (this.seq + shifted.length - 3) | 0;
      shifted.fill(0xee);
    }
    this.pump();
  }

  /** The target's bytes, in pieces of `size`, of which the first `captured` bytes are captured. */
  response(bytes: Uint8Array, size = bytes.length, captured = size): void {
    for (let from = 0; from < bytes.length && !this.handedOver && !this.isRefused; from += size) {
      const end = Math.min(from + size, bytes.length);
      const piece = copy(bytes, from, Math.min(end, from + captured));
      this.session.response(piece, 0, piece.length, end - from - piece.length, this.time++);
      piece.fill(0xee);
    }
    this.pump();
  }

  connect(): void {
    this.session.connected();
    this.pump();
  }

  /** `retries`: the command that was sent last is to be sent again. */
  disconnect(retries = false): void {
    this.session.disconnected();
    this.inserts = [];
    this.sent = [];
    if (retries && this.unanswered) this.queue.unshift(this.unanswered);
  }

  /** All that was sent, in one piece. */
  get stream(): Uint8Array {
    return Buffer.concat(this.sent);
  }

  get waiting(): number {
    return this.queue.length;
  }

  /** There is no memory for what is written. */
  forgets = false;

  begin(tag: number): void {
    this.isSkipping = this.forgets;
    if (this.forgets) return;
    this.queue.push({ tag, parts: [], again: false, isRest: false });
    this.isSkipping = false;
  }

  pause(): void {
    if (!this.isSkipping) this.queue.push({ tag: 0, parts: [], again: false, isRest: true });
  }

  write(bytes: Uint8Array, from: number, to: number): void {
    if (this.isSkipping) return;
    const last = this.queue.at(-1);
    // The request that this belongs to is on its way already.
    if (!last) this.sendMore(copy(bytes, from, to));
    else last.parts.push(copy(bytes, from, to));
  }

  leaveOut(): void {
    this.leftOut++;
    this.isSkipping = true;
  }

  insert(bytes: Uint8Array): void {
    this.inserts.push(copy(bytes, 0));
  }

  replace(bytes: Uint8Array): void {
    this.replaced = copy(bytes, 0);
  }

  wake(): void {
    // As the engine does: later, not within the call.
    this.isWoken = true;
  }

  /** The engine's own rule, where the module cannot see where an answer ends. */
  isSilent = (): boolean => true;

  private hasFallenSilent(): boolean {
    return this.session.isEndUnseen?.() === true && this.isSilent();
  }

  /** Takes a segment of production's server, which the session was given, to its end. */
  settle(): void {
    if (!this.isWoken) return;
    this.isWoken = false;
    this.pump();
  }

  /** The time is over for which the next request waits for production's answer to the login. */
  loseLogin(): void {
    while (this.queue[0] && !this.isRefused && this.session.login?.(this.queue[0].tag) === UNDECIDED) {
      this.session.undecided?.();
      this.skip();
    }
  }

  private skip(): void {
    const { tag, parts, again } = this.queue.shift()!;
    const bytes = copy(Buffer.concat(parts), 0, MOST_BYTES);
    this.dropped++;
    this.session.skipped(tag, bytes, 0, bytes.length, again);
  }

  handOver(waiting: boolean): void {
    this.handedOver = waiting ? "waiting" : "streaming";
  }

  refuse(): void {
    this.isRefused = true;
  }

  giveUp(): void {
    this.hasGivenUp = true;
  }

  /** As the engine has it: in segments. */
  private sendMore(bytes: Uint8Array): void {
    for (let from = 0; from < bytes.length; from += MOST_BYTES) {
      const segment = copy(bytes, from, from + MOST_BYTES);
      this.replaced = segment;
      this.session.more?.(segment, 0, segment.length);
      this.send(this.replaced);
    }
  }

  private send(bytes: Uint8Array): void {
    this.sent.push(bytes);
    this.receive(bytes);
  }

  private pump(): void {
    for (;;) {
      const insert = this.inserts.shift();
      if (insert) {
        this.send(insert);
        continue;
      }
      const next = this.queue[0];
      if (!next || this.isRefused || this.hasGivenUp) return;
      const login = next.isRest ? ADMITTED : (this.session.login?.(next.tag) ?? ADMITTED);
      if (login === UNDECIDED) return;
      if (login === REFUSED) {
        this.skip();
        continue;
      }
      if (next.isRest) {
        if (!this.handedOver && !this.session.mayGoOn?.()) return;
        this.queue.shift();
        for (const part of next.parts) this.sendMore(part);
        continue;
      }
      if (!this.handedOver && !this.session.mayBegin(next.tag) && !this.hasFallenSilent()) {
        if (this.inserts.length > 0) continue;
        return;
      }
      const bytes = Buffer.concat(next.parts);
      const first = copy(bytes, 0, MOST_BYTES);
      this.replaced = first;
      const verdict = this.handedOver
        ? GO
        : this.session.begin(next.tag, first, 0, first.length, next.again, this.time++);
      if (verdict === HOLD) return;
      this.queue.shift();
      if (verdict === DROP) {
        this.dropped++;
        // What is written of it later is dropped too.
        if (this.queue.length === 0) this.isSkipping = true;
        continue;
      }
      this.unanswered = { tag: next.tag, parts: [this.replaced], again: true, isRest: false };
      this.send(this.replaced);
      if (!this.handedOver) this.sendMore(copy(bytes, MOST_BYTES));
    }
  }
}

/** The bytes themselves: slices of a Buffer share its memory. */
function copy(bytes: Uint8Array, from: number, to = bytes.length): Uint8Array {
  return Uint8Array.from(bytes.subarray(from, to));
}
