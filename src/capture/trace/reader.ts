/** Reads all traces, merges them by time, and puts the requests in them into the ring: the work of the reader's thread. */
import { Failure } from "../../native/failure.ts";
import { IPPROTO_TCP } from "../../wire/ip.ts";
import { isKnownLink, LINK_LINUX_SLL } from "../../wire/link.ts";
import { Packet } from "../../wire/packet.ts";
import { endOfPrefix, type Prefix } from "../../wire/prefix.ts";
import { FIN, RST, SYN } from "../../wire/tcp.ts";
import { answerHash, DUPLICATE, flowHash, History, PURE_ACK } from "../history.ts";
import { BLANK, checkIpHeader, checkTransport, MERGED, OFFLOADED, RIGHT, WRONG } from "../integrity.ts";
import { OUTGOING } from "../record-index.ts";
import { type KernelService, Services } from "../services.ts";
import { TRACE_INDEX, type TraceCounter } from "./counters.ts";
import { Dissector, FRAGMENT, HEADERS_CUT, MALFORMED, NOT_IP, NOT_WANTED } from "./dissector.ts";
import { type Frame, TraceError } from "./frame.ts";
import { type ClockEvents, Input, windowFor } from "./input.ts";
import { viewTraceMemory } from "./memory.ts";
import { merge } from "./merge.ts";
import type { Moment, TimeStep, TraceOptions, TraceSummary } from "./options.ts";
import { findTraces } from "./paths.ts";
import { RingWriter } from "./ring-writer.ts";
import { isOfFile, isStream, reasonOf, STANDARD_INPUT, sizeOf } from "./source.ts";
import { type ClockStep, Timeline } from "./timeline.ts";
import { Translations } from "./translation/translations.ts";
import { type Sightings, Unmatched } from "./unmatched/unmatched.ts";

const NOT_A_TRACE_FIX = 'It takes pcap and pcapng files, also gzip or zstd, as of "tcpdump -w FILE".';
/** See integrity.ts: a recording does not say who has captured what, and where. */
const ACCEPTED = OFFLOADED | MERGED | BLANK;
/** By chance one in 65,536 is right. */
const RIGHT_SHARE = 16;
const BROKEN_FIX = 'The packets before were read. "editcap FILE NEW" saves what else can be read.';

const GOLDEN = 0x9e3779b1;

export interface ReaderEvents {
  /** Something that the user should know. */
  onWarning(text: string): void;
  /** A clock was set while a trace was made, or two traces are days apart: the replay goes on without a pause. */
  onStep(step: TimeStep): void;
  /** All files exist and are traces; reading begins. */
  onReady(summary: TraceSummary): void;
  /** A file could not be read to its end. */
  onBroken(failure: Failure): void;
  /** All is read, and there was no packet to a service; what there was instead. */
  onUnmatched(found: Sightings): void;
}

/**
 * Reads until the end of the last loop, or until it is told to stop: by STOP in the shared memory, and by `stopped` in case it
 * waits for bytes. Then marks the end in the ring. Rejects with a Failure if it cannot begin: 2 where a path is not a trace, 4
 * where it may not be read.
 */
export async function readTraces(
  options: TraceOptions,
  memory: SharedArrayBuffer,
  events: ReaderEvents,
  stopped: Promise<void>,
): Promise<void> {
  const reader = new Reader(options, memory, events);
  try {
    // A read from a pipe may never return.
    await Promise.race([reader.run(), stopped]);
  } finally {
    reader.end();
  }
}

class Reader {
  private readonly counters: Float64Array;
  private readonly writer: RingWriter;
  private readonly dissector: Dissector;
  private readonly history: History;
  private readonly translations: Translations;
  /** By service: what is read of its packets to clients. */
  private readonly prefixes: (Prefix | undefined)[] = [];
  /** Stands for a place where none is known. */
  private serial = 0;
  private readonly packet = new Packet(new Uint8Array(0));
  private inputs: Input[] = [];
  private loop = 0;
  private start: Bound = { stamp: -Infinity, time: -Infinity };
  private endBound: Bound = { stamp: Infinity, time: Infinity };
  private lastTime = -Infinity;
  /** Of what several files make together. */
  private timeline = new Timeline(() => {});
  /** Whether the traces are being read, not only looked at. */
  private isReading = false;
  private isStopped = false;
  /** While no request was found: what else there is. */
  private unmatched: Unmatched | null;

  constructor(
    private readonly options: TraceOptions,
    memory: SharedArrayBuffer,
    private readonly events: ReaderEvents,
  ) {
    this.history = new History(options.signSpan);
    const view = viewTraceMemory(memory);
    this.counters = view.counters;
    this.writer = new RingWriter(view, options.wake);
    this.translations = new Translations(options.services, options.targets);
    this.unmatched = new Unmatched(options.services);
    const isUdp = ({ transport }: KernelService) => transport === "udp";
    const isTcp = (service: KernelService) => !isUdp(service);
    const { answering = [] } = options;
    for (const { index, payload } of answering) this.prefixes[index] = payload;
    this.dissector = new Dissector(
      new Services(options.services.filter(isTcp)),
      options.protocol,
      new Services(options.services.filter(isUdp)),
      answering.some(isTcp) ? new Services(answering.filter(isTcp)) : null,
      answering.some(isUdp) ? new Services(answering.filter(isUdp)) : null,
    );
  }

  async run(): Promise<void> {
    const { options } = this;
    const files = await this.findInputs();
    const total = files.every(({ bytes }) => bytes > 0)
      ? files.reduce((sum, { bytes }) => sum + bytes, 0) * options.loops
      : 0;
    this.counters[TRACE_INDEX.bytesTotal] = total;
    const firstTime = this.inputs.reduce((first, input) => Math.min(first, input.firstTime), Infinity);
    this.start = boundOf(options.start, firstTime, -Infinity);
    this.endBound = boundOf(options.end, firstTime, Infinity);
    this.events.onReady({ files, firstTime });
    this.isReading = true;
    const broken = new Set<Input>();
    for (this.loop = 0; this.loop < options.loops && !this.writer.isStopped; this.loop++) {
      this.count("files", this.inputs.length);
      this.lastTime = -Infinity;
      this.timeline = new Timeline((step) => this.noteStep(null, step));
      this.history.clear();
      this.translations.clear();
      await merge(this.inputs, {
        onFrame: (frame, input) => this.take(frame, input),
        onRead: (input) => {
          this.count("bytes", input.countBytes());
          this.writer.publish();
          this.isStopped = this.writer.isStopped;
        },
        onEnd: (input, error) => {
          this.count("filesDone", 1);
          if (this.loop === 0) this.warnOfChecksums(input);
          if (error === undefined || this.isStopped) return;
          if (!isOfFile(error)) throw error;
          this.count("failures", 1);
          // Reported once, not in every loop.
          if (broken.has(input)) return;
          broken.add(input);
          this.events.onBroken(
            new Failure(`Cannot read "${input.path}" to its end: ${reasonOf(error)}`, BROKEN_FIX, 1),
          );
        },
      });
      this.dissector.fragments.clear();
      this.countFragments();
      for (const input of this.inputs) input.close();
    }
    if (this.unmatched && !this.isStopped) this.events.onUnmatched(this.unmatched.take());
  }

  end(): void {
    // After STOP, `run` may still be waiting for bytes: it must not write any more.
    this.isStopped = true;
    for (const input of this.inputs) input.close();
    const translated = this.translations.describe();
    if (translated !== null) this.events.onWarning(translated);
    this.writer.end();
  }

  /** Opens each file once to check that it is a trace, and to learn when it begins. */
  private async findInputs(): Promise<{ path: string; bytes: number }[]> {
    const { paths, loops } = this.options;
    const found = tryPaths(paths, this.events.onWarning);
    const stream = loops > 1 && found.find(({ path }) => isStream(path));
    if (stream) throw readTwice(stream.path, loops);
    const size = windowFor(found.length);
    const files: { path: string; bytes: number }[] = [];
    const clock: ClockEvents = {
      onStep: ({ path }, step) => this.noteStep(path, step),
      onStray: () => this.isReading && this.count("strayStamps", 1),
    };
    for (const { path, isNamed } of found) {
      const input = new Input(path, this.inputs.length, size, clock);
      try {
        await input.peek();
      } catch (error) {
        if (!isOfFile(error)) throw error;
        if (isNamed) throw refusal(path, error);
        this.events.onWarning(`"${path}" is left out: ${reasonOf(error)}`);
        continue;
      }
      this.inputs.push(input);
      files.push({ path, bytes: sizeOf(path) });
    }
    if (files.length === 0) {
      throw new Failure(`Cannot read "${paths.join(" ")}": there is no trace in it`, NOT_A_TRACE_FIX, 2);
    }
    return files;
  }

  /** Counts a packet, and writes it to the ring if it is a request. False if the reader was told to stop. */
  private take(frame: Frame, input: Input): boolean {
    if (this.isStopped) return false;
    const { start, endBound } = this;
    if (this.inputs.length > 1) frame.time = this.timeline.place(frame.time, 0);
    const { time, stamp } = frame;
    this.count("packets", 1);
    if (time < this.lastTime) this.count("unordered", 1);
    this.lastTime = time;
    if (stamp < start.stamp || time < start.time || stamp > endBound.stamp || time > endBound.time) {
      this.count("outside", 1);
      return true;
    }
    const index = this.dissector.read(frame);
    if (index >= OUTGOING) return this.takeAnswer(frame, input, index);
    if (index >= 0) return this.takeRequest(frame, input, index);
    this.count(REASONS[-index]!, 1);
    if (this.unmatched) this.noteUnmatched(this.unmatched, frame, index);
    if (index === NOT_IP && !isKnownLink(frame.linkType)) this.count("unknownLink", 1);
    if (index === FRAGMENT) this.countFragments();
    return true;
  }

  private noteUnmatched(unmatched: Unmatched, { linkType }: Frame, index: number): void {
    if (index === NOT_IP) unmatched.noteFrame(linkType, isKnownLink(linkType));
    else if (index === NOT_WANTED) unmatched.notePacket(this.dissector.view, this.dissector.header);
  }

  /**
   * Passes on what a service has sent, as far as it is wanted. Nobody looks at its checksums: most recordings are made where it is
   * sent, and there they are not finished yet.
   */
  private takeAnswer(frame: Frame, input: Input, index: number): boolean {
    this.count("notWanted", 1);
    if (this.unmatched) this.noteUnmatched(this.unmatched, frame, NOT_WANTED);
    const { packet } = this;
    this.place(frame, index);
    const isTcp = this.dissector.header.protocol === IPPROTO_TCP;
    if (isTcp && packet.length === 0 && !(packet.flags & (SYN | FIN | RST))) return true;
    const hash = answerHash(packet);
    if (hash < this.options.leftOut || this.isRepeatedAnswer(frame, input, hash, isTcp)) return true;
    packet.end = endOfPrefix(packet, this.prefixes[index - OUTGOING]!);
    this.count("answers", 1);
    return this.writer.write(packet, this.loop);
  }

  /** Whether the packet was read as another interface saw it before. */
  private isRepeatedAnswer(frame: Frame, input: Input, hash: number, isTcp: boolean): boolean {
    const { packet, history } = this;
    const seenAt = this.tellsInterface(frame) ? this.placeOf(frame, input) : this.serial++;
    return isTcp
      ? history.isRepeatedSegment(packet, ~hash >>> 0, seenAt)
      : history.isRepeatedDatagram(packet, ~hash >>> 0, seenAt);
  }

  private placeOf(frame: Frame, input: Input): number {
    return (Math.imul(input.number, GOLDEN) ^ this.dissector.placeOf(frame)) >>> 0;
  }

  /** Sets `packet` to what the dissector has found. */
  private place(frame: Frame, index: number): void {
    const { packet, dissector } = this;
    const { header } = dissector;
    packet.bytes = dissector.bytes;
    packet.view = dissector.view;
    packet.ip = header.ip;
    packet.tcp = header.transport;
    packet.payload = dissector.payload;
    packet.end = header.end;
    packet.length = header.ip + header.length - dissector.payload;
    packet.time = frame.time;
    packet.think = -1;
    packet.acksFar = false;
    packet.index = index;
  }

  private takeRequest(frame: Frame, input: Input, index: number): boolean {
    const { packet, dissector } = this;
    const { header } = dissector;
    this.unmatched = null;
    this.place(frame, index);
    if (this.isDamaged(input)) return this.count("checksumErrors", 1);
    const hash = flowHash(packet);
    const place = this.placeOf(frame, input);
    if (this.isTranslated(hash, place)) return this.count("translated", 1);
    if (hash < this.options.leftOut) return this.count("unsampled", 1);
    const seenAt = this.tellsInterface(frame) ? place : this.serial++;
    if (header.protocol !== IPPROTO_TCP) {
      if (this.history.isRepeatedDatagram(packet, hash, seenAt)) return this.count("duplicates", 1);
    } else {
      const seen = this.history.look(packet, hash, seenAt);
      if (seen === PURE_ACK) return this.count("pureAcks", 1);
      if (seen === DUPLICATE) return this.count("duplicates", 1);
    }
    this.count("requests", 1);
    this.count("requestBytes", header.length);
    if (packet.end - packet.payload < packet.length) this.count("snapped", 1);
    return this.writer.write(packet, this.loop);
  }

  private isTranslated(hash: number, place: number): boolean {
    const { packet, translations, dissector } = this;
    const isTcp = dissector.header.protocol === IPPROTO_TCP;
    const isOne = isTcp
      ? translations.isTranslated(packet, hash, place)
      : translations.isTranslatedDatagram(packet, hash, place);
    if (isOne) {
      this.counters[TRACE_INDEX.translatedConnections] = translations.connections;
      this.counters[TRACE_INDEX.translatedDatagrams] = translations.datagrams;
    }
    return isOne;
  }

  /** In LINUX_SLL nothing tells interfaces apart: the same packet may always be that of another one, if it is numbered. */
  private tellsInterface({ linkType }: Frame): boolean {
    const { family, id } = this.dissector.header;
    return linkType !== LINK_LINUX_SLL || family === 6 || id === 0;
  }

  private noteStep(path: string | null, step: ClockStep): void {
    if (!this.isReading) return;
    this.count("clockSteps", 1);
    // Each loop has the same.
    if (this.loop === 0) this.events.onStep({ path, ...step });
  }

  /**
   * Whether production has dropped the packet for its checksums. In a recording that was rewritten (addresses, lengths) hardly any
   * are right: then they tell nothing.
   */
  private isDamaged(input: Input): boolean {
    const { packet } = this;
    const header = this.dissector.isReassembled ? RIGHT : checkIpHeader(packet, ACCEPTED);
    const verdict = header === WRONG ? WRONG : checkTransport(packet, ACCEPTED);
    if (verdict === RIGHT) input.right++;
    if (verdict !== WRONG) return false;
    input.wrong++;
    return isTelling(input);
  }

  private warnOfChecksums(input: Input): void {
    if (input.wrong === 0 || isTelling(input)) return;
    this.events.onWarning(
      `nearly all checksums in ${nameOf(input.path)} are wrong, as if it had been rewritten: they are not looked at`,
    );
  }

  private countFragments(): void {
    const { incomplete, overlapping } = this.dissector.fragments;
    this.counters[TRACE_INDEX.fragmentsIncomplete] = incomplete;
    this.counters[TRACE_INDEX.fragmentsOverlapping] = overlapping;
  }

  private count(counter: TraceCounter, amount: number): true {
    this.counters[TRACE_INDEX[counter]]! += amount;
    return true;
  }
}

/** Whether checksums in a file tell right packets from wrong ones: at least one in RIGHT_SHARE is right. */
function isTelling({ right, wrong }: Input): boolean {
  return wrong < right * RIGHT_SHARE;
}

/** The counter for each reason of the dissector, by the negative of it. */
const REASONS: Record<number, TraceCounter> = {
  [-NOT_IP]: "notIp",
  [-NOT_WANTED]: "notWanted",
  [-HEADERS_CUT]: "headersCut",
  [-MALFORMED]: "malformed",
  [-FRAGMENT]: "fragments",
};

/** A bound of what is replayed, us since 1970: by the clock of the trace as it was, and on the timeline. */
interface Bound {
  stamp: number;
  time: number;
}

function boundOf(moment: Moment | null, firstTime: number, otherwise: number): Bound {
  if (moment === null) return { stamp: otherwise, time: otherwise };
  return "at" in moment
    ? { stamp: moment.at, time: otherwise }
    : { stamp: otherwise, time: firstTime + moment.after };
}

function tryPaths(paths: string[], warn: (text: string) => void): ReturnType<typeof findTraces> {
  try {
    return findTraces(paths, warn);
  } catch (error) {
    throw refusal((error as NodeJS.ErrnoException).path ?? paths.join(" "), error);
  }
}

function nameOf(path: string): string {
  return path === STANDARD_INPUT ? "standard input" : `"${path}"`;
}

function readTwice(path: string, loops: number): Failure {
  return new Failure(
    `Cannot read ${nameOf(path)} ${loops} times: it can be read only once`,
    "Save it to a file, and name that file.",
    2,
  );
}

/** The Failure for a named path that is not a trace or cannot be read at all. */
function refusal(path: string, error: unknown): Failure {
  const name = nameOf(path);
  const reason = error instanceof TraceError && error.offset === 0 ? error.reason : reasonOf(error);
  const message = `Cannot read ${name}: ${reason}`;
  const { code } = error as NodeJS.ErrnoException;
  if (code === "EACCES") return new Failure(message, "Run it as a user who may read it.", 4);
  if (code === "ENOENT") return new Failure(message, "Check the path.", 2);
  return new Failure(message, NOT_A_TRACE_FIX, 2);
}
