/**
 * Production's answers for the pairs of a session. Of each segment only the beginning may be captured, segments may come late, twice
 * or never, and before the command that they answer. What is known:
 *
 *   where an answer begins   where the client had read to when it sent the command, if it waited for the answer before; else where
 *                            that ends. Its first packet must have the right number there.
 *   where it ends            by its packets, as long as the headers of all were captured; else where the client had read to when it
 *                            sent its next command, if an answer begins there
 *
 * Unlike `OnlineAnswers`, which decides who is let in, it finds its way again after a gap, unless the client sends commands without
 * waiting: then it cannot be told how many answers are in the gap.
 */
import type { End } from "../../../pairs/pair.ts";
import { Answer, LOOK_AT_MESSAGES } from "../packets/answer.ts";
import { type Algorithm, beginningOf, FRAME_HEADER } from "../packets/compression.ts";
import {
  CLIENT_DEPRECATE_EOF,
  CLIENT_OPTIONAL_METADATA,
  COM_CHANGE_USER,
  ERR,
  LOCAL_DATA,
  MARIADB_CACHE_METADATA,
  OK,
  PROGRESS,
} from "../packets/constants.ts";
import { HEADER, PacketStream } from "../packets/packets.ts";
import { integer24, Malformed } from "../packets/reader.ts";
import { messageOf } from "../sql/message.ts";
import { NO_MESSAGE } from "./half.ts";
import type { Escapes } from "./naming.ts";
import type { Online, OpenPair, Pairing } from "./pairing.ts";

/** Segments that are kept until it is known what they answer, and bytes of each: what is captured without content, and more. */
const MOST_HELD = 16;
const MOST_BYTES = 4096;
/** Most commands that wait: a client that sends so many without waiting is not followed. */
const MOST_ASKED = 256;
/** The number of an answer's first packet, or frame. */
const FIRST_NUMBER = 1;

/** What a client and production's server both can. */
export interface Agreed {
  capabilities: number;
  mariadb: number;
}

/** A command that waits for production's answer. */
interface Asked {
  readonly command: number;
  /** Null: no pair is made of it. */
  readonly pair: OpenPair | null;
  readonly algorithm: Algorithm | null;
  /** Where the client had read to when it sent the command. */
  readonly ack: number;
  /** Numbers of the first byte of the answer, and of the one behind it; null: not known. */
  start: number | null;
  end: number | null;
  /** When its first byte was captured, and the last one that was, us; -1: none was. */
  firstAt: number;
  lastAt: number;
  /** Number of the byte behind the last one that was captured. */
  seenTo: number;
  /** -1: its first packet was not read. */
  status: number;
  message: Uint8Array;
  isMessageWhole: boolean;
}

/** `end`: number of the byte behind it, captured or not. */
interface Segment {
  seq: number;
  end: number;
  bytes: Uint8Array;
  time: number;
}

export class OnlinePairs {
  private readonly asked: Asked[] = [];
  private readonly held: Segment[] = [];
  /** Which answers are whose is not known any more. */
  private isAstray = false;
  private readonly answer = new Answer();
  private readonly packets = new PacketStream(LOOK_AT_MESSAGES, (bytes, from, to, length, sequence) =>
    this.takePacket(bytes, from, to, length, sequence),
  );
  // The answer that is being read, of the first command that waits.
  private isReading = false;
  private hasEofs = true;
  private cachesMetadata = false;
  /** Whether these two are known. */
  private isFramed = false;
  /** Where its packets begin is not known any more. */
  private isLost = false;
  /** It has ended, with a packet that ends before this number. */
  private isDone = false;
  private doneAt = 0;
  private hasProgress = false;
  /** Number of the next byte, and bytes of the packets before it. */
  private next = 0;
  private size = 0;

  /** `agreed`: null: not known. */
  constructor(
    private readonly pairing: Pairing,
    private readonly escapes: Escapes,
    private readonly agreed: () => Agreed | null,
  ) {}

  /** The client has sent a command that is answered, when it had read to before `ack`. */
  expect(command: number, pair: OpenPair | null, ack: number, algorithm: Algorithm | null): void {
    if (this.isAstray) {
      if (pair) this.pairing.answeredOnline(pair, "gap");
      return;
    }
    const last = this.asked.at(-1);
    // The client has read more since its command before.
    const isNews = last === undefined || !isBefore(ack | 0, last.ack);
    // What would tell that its end is one has not come.
    if (isNews) while (this.asked.length > 1 && this.asked[0]!.end !== null) this.finish(false);
    const [first] = this.asked;
    const waits = !first || (isNews && this.asked.length === 1 && this.endsAt(first, ack | 0));
    if (last && !waits && this.isBehind(last.ack, isNews)) {
      this.isAstray = true;
      this.lose();
      this.expect(command, pair, ack, algorithm);
      return;
    }
    this.asked.push({
      command,
      pair,
      algorithm,
      ack: ack | 0,
      start: waits ? ack | 0 : null,
      end: null,
      firstAt: -1,
      lastAt: -1,
      seenTo: 0,
      status: -1,
      message: NO_MESSAGE,
      isMessageWhole: true,
    });
    this.goOn();
  }

  /** The client has sent COM_QUIT. */
  quit(ack: number): void {
    if (this.asked.length === 1) this.endsAt(this.asked[0]!, ack | 0);
  }

  /** Bytes of the client are missing, or not understood. */
  lose(): void {
    while (this.asked.length > 0) this.finish(false);
  }

  /** Takes the beginning of a captured segment; `missing` bytes follow. */
  take(bytes: Uint8Array, from: number, to: number, missing: number, seq: number, time: number): void {
    const end = (seq + to - from + missing) | 0;
    if (this.isReading && isBefore(end, this.next)) return;
    if (this.isReading && !this.isLost && isBefore(seq, this.next)) {
      this.read({ seq, end, bytes: bytes.subarray(from, to), time });
    } else this.hold({ seq, end, bytes: bytes.slice(from, Math.min(to, from + MOST_BYTES)), time });
    this.goOn();
  }

  /** The server has ended its stream before the byte with this number. */
  endAt(seq: number, isReset: boolean): void {
    const [last] = this.asked;
    if (!last || this.asked.length > 1) {
      this.lose();
      return;
    }
    // With COM_QUIT the client says to where it has read; it may not have read all.
    const isConfirmed = last.end === (seq | 0);
    if (!isConfirmed) last.end = null;
    const isCut = this.isReading && !this.isLost && !isConfirmed;
    this.finish(isConfirmed, isCut ? (isReset ? "reset" : "closed") : "unseen");
  }

  close(): void {
    this.lose();
    this.held.length = 0;
  }

  /** Whether the client has read the answer to its end, which is before `ack` then; else it has sent a command without waiting. */
  private endsAt(asked: Asked, ack: number): boolean {
    if (asked.start !== null && isBefore(ack, asked.start)) return false;
    if (asked.start !== null && this.isReading && !this.isLost && isBefore(ack, this.next)) return false;
    asked.end = ack;
    return true;
  }

  /**
   * Whether the answers to commands that the client has sent without waiting cannot be told apart: the packets of one are lost, or
   * were when the client had sent its last command (`ack`), and it has read on.
   */
  private isBehind(ack: number, isNews: boolean): boolean {
    if (this.asked.length === MOST_ASKED) return true;
    if (this.asked.length === 1 || !isNews || !this.isReading) return false;
    return this.isLost || !isBefore(ack, this.next);
  }

  private hold(segment: Segment): void {
    if (this.held.some(({ seq, end }) => seq === segment.seq && end === segment.end)) return;
    if (this.held.length === MOST_HELD) this.held.shift();
    this.held.push(segment);
  }

  /** Whether anything from `start` to `end` is held. */
  private holds(start: number, end: number | null): boolean {
    return this.held.some(
      (segment) => !isBefore(segment.end, start) && (end === null || !isBefore(end, segment.seq)),
    );
  }

  private see(first: Asked, { end, time }: Segment): void {
    first.lastAt = time;
    first.seenTo = end;
  }

  /** Reads what can be read of what is held. */
  private goOn(): void {
    for (;;) {
      const [first] = this.asked;
      if (!first || first.start === null) return;
      if (!this.isReading) this.begin(first, first.start);
      const { next } = this;
      const at = this.isLost
        ? -1
        : this.held.findIndex(({ seq, end }) => isBefore(seq, next) && !isBefore(end, next));
      if (at >= 0) this.read(this.held.splice(at, 1)[0]!);
      else if (first.end !== null && this.beginsAt(first.end)) this.finish(true);
      else return;
    }
  }

  private begin(first: Asked, start: number): void {
    this.isReading = true;
    this.isLost = false;
    this.isDone = false;
    this.hasProgress = false;
    this.next = start;
    this.size = 0;
    this.packets.reset();
    this.packets.continued = 0;
    first.seenTo = start;
    this.answer.begin(first.command);
  }

  /** Whether an answer is known to begin at this number, that of the second command that waits. */
  private beginsAt(number: number): boolean {
    const segment = this.held.find(({ seq }) => seq === number);
    if (!segment || segment.bytes.length <= HEADER) return false;
    return this.asked[1]?.command === LOCAL_DATA || segment.bytes[3] === FIRST_NUMBER;
  }

  /** Reads a segment that has the next byte. */
  private read(segment: Segment): void {
    const first = this.asked[0]!;
    const { seq, end, bytes, time } = segment;
    const from = Math.min(bytes.length, (this.next - seq) | 0);
    if (first.firstAt < 0) first.firstAt = time;
    try {
      if (first.algorithm) this.readFrame(first.algorithm, bytes, from);
      else this.packets.take(bytes, from, bytes.length);
    } catch (error) {
      if (!(error instanceof Malformed)) throw error;
      this.isLost = true;
    }
    this.see(first, segment);
    if (!this.isDone) {
      const known = Math.max((this.next - seq) | 0, bytes.length);
      this.isLost ||= !this.packets.pass(((end - seq) | 0) - known);
      this.next = end;
      return;
    }
    const { doneAt } = this;
    first.end = doneAt;
    this.finish(true);
    if (!isBefore(end, doneAt)) {
      this.hold({ seq: doneAt, end, bytes: bytes.slice((doneAt - seq) | 0, MOST_BYTES), time });
    }
  }

  /** Reads as much as there is of the first frame of an answer, which has all of most answers. */
  private readFrame(algorithm: Algorithm, bytes: Uint8Array, from: number): void {
    const content = beginningOf(algorithm, bytes, from, bytes.length);
    if (content) this.packets.take(content, 0, content.length);
    this.isLost = !this.isDone;
    if (this.isDone) this.doneAt = (this.next + FRAME_HEADER + integer24(bytes, from)) | 0;
  }

  private takePacket(bytes: Uint8Array, from: number, to: number, length: number, sequence: number): void {
    const first = this.asked[0]!;
    if (this.isDone || this.isLost) return;
    this.size += HEADER + length;
    const marker = length === 0 ? -1 : bytes[from]!;
    if (marker === ERR && to - from >= 3 && (bytes[from + 1]! | (bytes[from + 2]! << 8)) === PROGRESS) {
      this.hasProgress = true;
      return;
    }
    // Steps of the exchange.
    if (first.command === COM_CHANGE_USER && marker !== OK && marker !== ERR) return;
    const isNumbered = first.command !== COM_CHANGE_USER && first.command !== LOCAL_DATA && !this.hasProgress;
    if (first.status < 0 && isNumbered && sequence !== FIRST_NUMBER) {
      this.isLost = true;
      return;
    }
    if (!this.isFramed) this.learnFraming();
    const progress = this.answer.take(bytes, from, to, length, this.hasEofs, this.cachesMetadata);
    first.status = this.answer.code;
    if (this.answer.isError) {
      first.isMessageWhole = to - from === length;
      first.message = messageOf(bytes, from, to, first.isMessageWhole);
    }
    if (progress === "more") {
      // Its first packet looks the same with any framing.
      this.isLost = !this.isFramed;
      return;
    }
    if (!this.answer.isError && this.answer.flags !== 0) this.escapes.see(this.answer.flags);
    this.isDone = true;
    this.doneAt = (first.start! + this.size + this.packets.continued) | 0;
  }

  private learnFraming(): void {
    const agreed = this.agreed();
    if (agreed === null || agreed.capabilities & CLIENT_OPTIONAL_METADATA) return;
    this.hasEofs = !(agreed.capabilities & CLIENT_DEPRECATE_EOF);
    this.cachesMetadata = (agreed.mariadb & MARIADB_CACHE_METADATA) !== 0;
    this.isFramed = true;
  }

  /** The first command that waits is done with. `isConfirmed`: its `end` is that of the answer. `otherwise`: how it ended, if not. */
  private finish(isConfirmed: boolean, otherwise: End = "unseen"): void {
    const first = this.asked.shift()!;
    const { pair, start, end } = first;
    const isDone = this.isReading && this.isDone;
    if (this.isReading && !isDone) {
      for (const segment of this.held) {
        const isOfIt = end === null || isBefore(segment.end, end);
        if (isOfIt && !isBefore(segment.end, first.seenTo)) this.see(first, segment);
      }
    }
    if (pair) this.pairing.answeredOnline(pair, this.onlineOf(first, isDone, isConfirmed, otherwise));
    this.isReading = false;
    this.isLost = false;
    this.isDone = false;
    if (end === null) return;
    for (let at = this.held.length - 1; at >= 0; at--) {
      if (isBefore(this.held[at]!.end, end)) this.held.splice(at, 1);
    }
    const next = this.asked[0];
    if (next && next.start === null && start !== null && isConfirmed) next.start = end;
  }

  private onlineOf(first: Asked, isDone: boolean, isConfirmed: boolean, otherwise: End): Online {
    const { start, end, firstAt, status } = first;
    if (status < 0) {
      const isSeen = firstAt >= 0 || start === null || this.holds(start, end);
      return isSeen ? "gap" : "not captured";
    }
    const isKnown =
      isConfirmed &&
      start !== null &&
      end !== null &&
      !first.algorithm &&
      !this.hasProgress &&
      first.command !== COM_CHANGE_USER;
    return {
      status,
      end: isDone || (isConfirmed && first.seenTo === end) ? "complete" : otherwise,
      bytes: isKnown ? (end! - start!) >>> 0 : -1,
      count: isDone && !this.answer.isError ? this.answer.count : -1,
      firstAt,
      lastAt: first.lastAt,
      message: first.message,
      isMessageWhole: first.isMessageWhole,
    };
  }
}

/** Whether a sequence number is that of another byte, or before it. */
function isBefore(number: number, other: number): boolean {
  return ((number - other) | 0) <= 0;
}
