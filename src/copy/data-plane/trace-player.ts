/**
 * Plays recorded requests: hands each to the engine when its time has come, by the clock of the recording or as fast as
 * the targets answer.
 */
import { TraceRing } from "../../capture/trace/trace-ring.ts";
import type { Engine } from "../../engine/engine.ts";
import { address, libc } from "../../native/libc.ts";
import { Packet } from "../../wire/packet.ts";
import type { TraceConfig } from "./config.ts";
import type { Datagrams } from "./datagrams.ts";
import { INDEX } from "./shared.ts";

/** Requests that may be pending: beyond that, reading goes on only as they are sent. */
const MOST_PENDING = 4096;
/** The same for datagrams without an answer, at speed max. */
const MOST_OWED = 64;
/** The same for bytes that sessions keep: at most this many, and this share of the memory bound. */
const MOST_BYTES = 16e6;
const MEMORY_SHARE = 0.5;
/** us without any progress after which a few requests are read anyway: what the targets wait for may come later in the file. */
const STALL = 100_000;
const STALL_READS = 16;
/** us between two looks when only the targets' progress lets it go on. */
const PROGRESS_LOOK = 1000;
/** us: a pause of more is told. */
const LONG_PAUSE = 60_000_000;
/** us without any progress after which sessions that are still open are not waited for, if all was answered. */
const LAST_LOOK = 500_000;

export class TracePlayer {
  private readonly ring: TraceRing;
  private readonly packet = new Packet(new Uint8Array(0));
  private readonly drained = new Uint8Array(new ArrayBuffer(8));
  private isWaiting = false;
  private loop = -1;
  /** The moment of the recording that is played at `base`. */
  private origin = 0;
  private base = 0;
  /** Capture time of the record played last. */
  private last = 0;
  private beganAt = 0;
  /** Requests that had begun at `beganAt`. */
  private begunAt = 0;
  /** The last seen sum of the counters that show progress, and when it last changed, us. */
  private progress = -1;
  private progressAt = 0;
  private nextAt = 0;
  private hasEnded = false;

  constructor(
    private readonly config: TraceConfig,
    private readonly memory: number,
    private readonly turnTimeout: number,
    private readonly engine: Engine,
    private readonly counters: Float64Array,
    private readonly datagrams: Datagrams | null = null,
  ) {
    this.ring = new TraceRing(config.memory);
  }

  /** Hands at most `limit` requests that are due to `sink`; returns how many. `now`: us. */
  drain(sink: (packet: Packet) => void, limit: number, now: number): number {
    if (this.isWaiting) this.endWaiting();
    this.lookForProgress(now);
    let done = 0;
    let most = this.mayTake(now, limit);
    for (; done < most; done++) {
      const due = this.findDue(now);
      this.nextAt = due;
      if (due > now) break;
      const { packet, config } = this;
      this.ring.next(packet);
      this.last = packet.time;
      packet.time = config.speed === Number.POSITIVE_INFINITY ? now : due;
      if (packet.think >= 0) packet.think = Math.round(packet.think / config.speed);
      sink(packet);
      if (config.rate > 0) most = Math.min(most, this.mayTake(now, limit));
    }
    if (done === most) this.nextAt = now + PROGRESS_LOOK;
    const pause = this.nextAt - now;
    this.counters[INDEX.nextRequest] = pause > LONG_PAUSE && pause !== Infinity ? pause : 0;
    this.ring.release();
    return done;
  }

  /** us until `drain` has something to do, at most `limit`. */
  wait(now: number, limit: number): number {
    return Math.max(0, Math.min(limit, this.nextAt - now));
  }

  /** Whether nothing is due; asks the reader to wake us when it has put something into an empty ring. */
  isIdle(now: number): boolean {
    this.ring.setWaiting(true);
    this.isWaiting = true;
    return this.ring.isEmpty ? !this.ring.isEnd || this.nextAt > now : this.nextAt > now;
  }

  /** Whether everything was played, and nothing more is expected from the targets. */
  isDone(now: number): boolean {
    if (!this.ring.isEnd) return false;
    if (!this.hasEnded) {
      // Clients that were still connected when the recording ended are gone.
      this.hasEnded = true;
      this.engine.endClients(now);
    }
    this.lookForProgress(now);
    const { counters } = this;
    const quiet = now - this.progressAt;
    this.nextAt = now + PROGRESS_LOOK;
    if (this.engine.pending > 0 || this.engine.segmentsHeld > 0) return false;
    const isOwed =
      (this.datagrams?.owed ?? 0) > 0 || counters[INDEX.turnsAnswered]! < counters[INDEX.turnsSent]!;
    if (isOwed) return quiet >= this.turnTimeout;
    return (counters[INDEX.active] === 0 && !this.datagrams?.unsettled) || quiet >= LAST_LOOK;
  }

  /** When the next record is to be played, us; Infinity while there is none. */
  private findDue(now: number): number {
    const { ring, config } = this;
    const time = ring.peekTime();
    if (time === Number.POSITIVE_INFINITY) return time;
    if (ring.peekLoop() !== this.loop) this.beginLoop(ring.peekLoop(), time, now);
    if (config.speed === Number.POSITIVE_INFINITY) return now;
    const gap = time - this.last;
    if (config.longestGap > 0 && gap > config.longestGap) {
      this.origin += gap - config.longestGap;
      this.last += gap - config.longestGap;
    }
    return this.base + (time - this.origin) / config.speed;
  }

  private beginLoop(loop: number, time: number, now: number): void {
    if (this.loop < 0) this.beganAt = now;
    else {
      this.engine.endClients(now);
      this.datagrams?.endClients();
    }
    this.loop = loop;
    this.origin = time;
    this.last = time;
    this.base = now;
  }

  /** How many requests may be taken now. */
  private mayTake(now: number, limit: number): number {
    const { counters, config } = this;
    const owed = config.speed === Number.POSITIVE_INFINITY ? (this.datagrams?.owed ?? 0) : 0;
    const mostBytes = Math.min(MOST_BYTES, this.memory * MEMORY_SHARE);
    const isFull =
      this.engine.pending > MOST_PENDING || owed > MOST_OWED || counters[INDEX.memory]! > mostBytes;
    if (isFull) return now - this.progressAt > STALL ? STALL_READS : 0;
    if (config.rate === 0) return limit;
    const allowed = (config.rate * (now - this.beganAt)) / 1e6 + 1;
    return this.loop < 0 || this.begun - this.begunAt < allowed ? limit : 0;
  }

  private get begun(): number {
    return this.counters[INDEX.turnsCaptured]! + (this.datagrams?.captured ?? 0);
  }

  /** Another limit of requests per second holds. */
  change({ rate }: { rate: number }, now: number): void {
    if (rate === this.config.rate) return;
    this.config.rate = rate;
    this.beganAt = now;
    this.begunAt = this.begun;
  }

  private lookForProgress(now: number): void {
    const { counters } = this;
    const progress =
      counters[INDEX.turnsSent]! +
      counters[INDEX.turnsAnswered]! +
      counters[INDEX.turnsDropped]! +
      counters[INDEX.responsePackets]! +
      (this.datagrams?.progress ?? 0);
    if (progress === this.progress) return;
    this.progress = progress;
    this.progressAt = now;
  }

  private endWaiting(): void {
    this.isWaiting = false;
    this.ring.setWaiting(false);
    libc.read(this.config.wake, address(this.drained), 8);
  }
}
