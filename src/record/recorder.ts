/** Writes packets to files: decides which blocks go into which file, and when they are written. */
import type { Packet } from "../wire/packet.ts";
import type { WallClock } from "./clock.ts";
import { FileError, type Files } from "./files.ts";
import { Blocks, INBOUND, LARGEST_OTHER, LARGEST_PACKET, OUTBOUND, PACKET_OVERHEAD } from "./pcapng.ts";

/** Bytes per write. */
const BUFFER = 1 << 20;
/** us after which a packet is written at the latest. */
const FLUSH_INTERVAL = 1_000_000;
/** us between two looks at the time of day. */
const CLOCK_INTERVAL = 1_000_000;
/** Bytes that the statistics at the end of a file take at most: together, and in addition for each interface. */
const STATISTICS_BYTES = 2048;
const STATISTICS_EACH = 96;
/** Set in a packet's index where a service sent it: OUTGOING of bpf/record/record.h. */
const OUTGOING = 0x80000000;

/** What each file says about the capture. */
export interface Description {
  hardware: string;
  os: string;
  application: string;
  comments: string[];
  /** In the pcap-filter language. */
  filter: string;
  /** Bytes; 0: packets are whole. */
  snaplen: number;
}

export interface RecorderOptions {
  description: Description;
  /** All interfaces that packets may come from. */
  interfaces: { ifindex: number; name: string }[];
  /** Whether packets say in which direction they went. */
  saysDirection: boolean;
  /** Bytes and us after which the next file begins; Infinity: never. */
  rotateBytes: number;
  rotateTime: number;
  /** Packets and bytes of files after which all ends; Infinity: never. */
  mostPackets: number;
  mostBytes: number;
}

/** The kernel programs' counts of packets that are not in the file. */
export interface LossSource {
  /** Packets of an interface that no ring had room for, since the start. */
  lostOf(ifindex: number): number;
  /** Packets that were not recorded since the start, by the reason that a comment names. */
  counts(): Record<string, number>;
}

/** Why recording ends by itself. */
export type End = "count" | "limit";

export class Recorder {
  /** Packets and their bytes that were taken from the rings, and those of them that are in files. */
  packets = 0;
  written = 0;
  bytes = 0;
  /** Packets of `packets` that a service sent. */
  outgoing = 0;
  /** Set when a limit is reached: later packets are not recorded. */
  end: End | null = null;

  readonly #blocks = new Blocks(BUFFER);
  /** Packets in `#blocks`; packets in the current file, those included. */
  #waiting = 0;
  #inFile = 0;
  /** By ifindex: the interface's number in this file; by that number: its packets. */
  readonly #numbers = new Map<number, number>();
  readonly #delivered: number[] = [];
  readonly #names: Map<number, string>;
  #fileBegan = 0;
  #rotateAt = 0;
  #flushAt = Number.POSITIVE_INFINITY;
  #clockAt: number;
  readonly #lostBefore = new Map<number, number>();
  #countsBefore: Record<string, number> = {};

  constructor(
    private readonly options: RecorderOptions,
    private readonly files: Files,
    private readonly clock: WallClock,
    private readonly losses: LossSource,
    now: number,
  ) {
    this.#names = new Map(options.interfaces.map(({ ifindex, name }) => [ifindex, name]));
    this.#clockAt = now + CLOCK_INTERVAL;
    for (const { ifindex } of options.interfaces) this.#lostBefore.set(ifindex, losses.lostOf(ifindex));
    this.#countsBefore = losses.counts();
    this.#begin(now);
  }

  /** Puts a packet into the file of its time. Throws a FileError. */
  packet(packet: Packet): void {
    if (this.end !== null) return;
    const captured = packet.end - packet.ip;
    const size = captured + PACKET_OVERHEAD + 16;
    if (!this.#blocks.hasRoom(LARGEST_PACKET + LARGEST_OTHER)) this.flush();
    if (this.#wouldExceed(this.options.rotateBytes, this.files.bytes, size) && this.#inFile > 0) {
      this.#rotate(packet.time);
    }
    if (this.#wouldExceed(this.options.mostBytes, this.files.total, size)) {
      this.end = "limit";
      return;
    }
    const isOutgoing = packet.index >= OUTGOING;
    const direction = isOutgoing ? OUTBOUND : INBOUND;
    const number = this.#numbers.get(packet.ifindex) ?? this.#addInterface(packet.ifindex);
    this.#blocks.packet(
      number,
      this.clock.timeOf(packet.time),
      this.options.saysDirection ? direction : 0,
      packet.bytes,
      packet.ip,
      captured,
      packet.length + packet.payload - packet.ip,
    );
    this.#delivered[number]!++;
    this.#waiting++;
    this.#inFile++;
    this.packets++;
    this.bytes += packet.length + packet.payload - packet.ip;
    if (isOutgoing) this.outgoing++;
    if (this.packets >= this.options.mostPackets) this.end = "count";
  }

  /** Does what is due at `now` (us). Returns by how many us the time of day was set, mostly 0. Throws a FileError. */
  advance(now: number): number {
    // A file without packets is not rotated: a quiet night would leave hundreds of them.
    if (now >= this.#rotateAt && this.#inFile > 0) this.#rotate(now);
    if (this.#blocks.length > 0 && this.#flushAt === Number.POSITIVE_INFINITY) {
      this.#flushAt = now + FLUSH_INTERVAL;
    }
    if (now >= this.#flushAt) this.flush();
    if (now < this.#clockAt) return 0;
    this.#clockAt = now + CLOCK_INTERVAL;
    return this.clock.adjust();
  }

  /** us until `advance` has something to do. */
  wait(now: number): number {
    return Math.min(this.#flushAt, this.#clockAt, this.#inFile > 0 ? this.#rotateAt : this.#clockAt) - now;
  }

  /** Writes what waits. Throws a FileError. */
  flush(): void {
    this.#flushAt = Number.POSITIVE_INFINITY;
    if (this.#blocks.length === 0) return;
    try {
      this.files.write(this.#blocks);
      this.written += this.#waiting;
    } catch (error) {
      if (error instanceof FileError) this.written += this.#blocks.packetsWithin(error.written);
      throw error;
    } finally {
      this.#blocks.length = 0;
      this.#waiting = 0;
    }
  }

  /** Ends the last file. Throws a FileError. */
  finish(now: number): void {
    this.#finishFile(now);
    this.files.close();
  }

  #begin(now: number): void {
    const { description, rotateTime } = this.options;
    this.#numbers.clear();
    this.#delivered.length = 0;
    this.#inFile = 0;
    this.#fileBegan = this.clock.timeOf(now);
    this.#rotateAt = now + rotateTime;
    this.#blocks.section(description);
  }

  #rotate(now: number): void {
    this.#finishFile(now);
    this.files.next(new Date(this.clock.timeOf(now) / 1000));
    this.#begin(now);
  }

  /** Whether a block of `size` bytes more would exceed `limit`; with compression only what is written already counts. */
  #wouldExceed(limit: number, bytes: number, size: number): boolean {
    if (this.files.isCompressed) return bytes >= limit;
    const statistics = STATISTICS_BYTES + this.#numbers.size * STATISTICS_EACH;
    return bytes + this.#blocks.length + size + statistics > limit;
  }

  #addInterface(ifindex: number): number {
    const { filter, snaplen } = this.options.description;
    const number = this.#numbers.size;
    this.#blocks.interface(this.#names.get(ifindex) ?? `interface ${ifindex}`, filter, snaplen);
    this.#numbers.set(ifindex, number);
    this.#delivered.push(0);
    return number;
  }

  /** The statistics of every interface that has any; of the first one where none has. */
  #finishFile(now: number): void {
    const end = this.clock.timeOf(now);
    const dropped = new Map<number, number>();
    for (const { ifindex } of this.options.interfaces) {
      const lost = this.losses.lostOf(ifindex);
      dropped.set(ifindex, lost - this.#lostBefore.get(ifindex)!);
      this.#lostBefore.set(ifindex, lost);
    }
    for (const [ifindex, lost] of dropped) {
      if (lost > 0 && !this.#numbers.has(ifindex)) this.#addInterface(ifindex);
    }
    const [first] = this.options.interfaces;
    if (this.#numbers.size === 0 && first) this.#addInterface(first.ifindex);
    const comment = this.#commentOnLosses();
    for (const [ifindex, number] of this.#numbers) {
      if (!this.#blocks.hasRoom(LARGEST_OTHER)) this.flush();
      const delivered = this.#delivered[number]!;
      const lost = dropped.get(ifindex) ?? 0;
      this.#blocks.statistics(number, {
        start: this.#fileBegan,
        end,
        received: delivered + lost,
        dropped: lost,
        delivered,
        comments: number === 0 ? [comment] : [],
      });
    }
    this.flush();
  }

  #commentOnLosses(): string {
    const counts = this.losses.counts();
    const changed = Object.entries(counts).map(
      ([what, count]) => `${what} ${count - (this.#countsBefore[what] ?? 0)}`,
    );
    this.#countsBefore = counts;
    return `all interfaces, since this file began: ${changed.join(", ")}`;
  }
}
