/**
 * The data plane: a blocking loop that reads the rings, runs the engine and sends what it wants sent. No event loop, no
 * allocation per packet; it shares nothing with the main thread but the memory of shared.ts.
 */
import { createHash, randomBytes } from "node:crypto";
import { Control } from "../../capture/control.ts";
import { Flows } from "../../capture/flows.ts";
import { checkTransport, WRONG } from "../../capture/integrity.ts";
import { Reassembly } from "../../capture/reassembly.ts";
import { OUTGOING, SEGMENT_FRAGMENT_INDEX } from "../../capture/record-index.ts";
import { RingSet } from "../../capture/ring-set.ts";
import { Services } from "../../capture/services.ts";
import { ResponseSource } from "../../capture/socket/response-source.ts";
import type { RequestSource } from "../../capture/source.ts";
import { type AnswerTimes, Engine, type EngineConfig } from "../../engine/engine.ts";
import {
  address,
  cpuMicroseconds,
  libc,
  monotonicMicroseconds,
  sleepMicroseconds,
  strerror,
} from "../../native/libc.ts";
import { HugePages } from "../../native/page.ts";
import { pinThread } from "../../native/scheduling.ts";
import { PairWriter } from "../../pairs/ring.ts";
import { CpuLimit } from "../../runtime/cpu-limit.ts";
import { record } from "../../runtime/histogram.ts";
import { Pause } from "../../runtime/pause.ts";
import { DRAIN, publish, STOP } from "../../runtime/shared.ts";
import type { PacketBatch } from "../../wire/batch.ts";
import { IPPROTO_TCP, ipPair } from "../../wire/ip.ts";
import type { Packet } from "../../wire/packet.ts";
import { COOKIE_BYTES } from "../../wire/tcp.ts";
import type { NewsTaken } from "../changes/news.ts";
import { Changes, type Part } from "../changes/take.ts";
import { Egresses } from "../ways/egresses.ts";
import { Ways, type WaysTaken } from "../ways/take.ts";
import type { ChannelConfig, DataPlaneConfig, WorkerConfig } from "./config.ts";
import { Datagrams } from "./datagrams.ts";
import { Housekeeping } from "./housekeeping.ts";
import { type InterceptState, Intercepts } from "./intercepts.ts";
import { describe, moduleMaker, SecuredNotes } from "./modules.ts";
import { type Findings, Preflight } from "./preflight.ts";
import { acceptedOf, RequestReading, reserveOf } from "./request-reading.ts";
import { createSource } from "./request-source.ts";
import { sendAll } from "./send-all.ts";
import { createCounters, INDEX, type Shared, viewShared } from "./shared.ts";
import { TracePlayer } from "./trace-player.ts";

/** Records of each kind per round: what is due is sent before more is read. */
const ROUND = 256;
/** us that a round sends on while more is due. */
const MOST_SENDING = 5000;
/**
 * Bytes that the engine keeps, and bytes sent in a round: for FLOWING us after such a round acknowledgements are looked for at short
 * intervals, because they let more go.
 */
const BACKLOG = 4 << 20;
const MUCH = 64 << 10;
const FLOWING = 20_000;
/** us: the longest wait of a round, while draining and otherwise. */
const DRAIN_LOOK = 10_000;
const LONGEST_WAIT = 500_000;
/** A session may keep at most this share of the memory bound of all workers, and this share of its own worker's. */
const SESSION_SHARE = 1 / 8;
const MOST_OF_WORKER = 1 / 2;
/** us: the longest sleep for the CPU limit between two looks at commands and heartbeats. */
const REST = 50_000;

/** What the loop's thread tells the main thread, in the order of LoopHandlers: of an intercept, ways, changes, a path, a note. */
export type PlaneEvent = InterceptState | WaysTaken | NewsTaken<Findings> | number | string;

/** What the loop tells the main thread. */
export interface LoopHandlers {
  /** Called once, when the loop runs and the preflight is over. */
  onReady(findings: Findings): void;
  /** An intercept came or went. */
  onIntercept(state: InterceptState): void;
  /** What the main thread published of the ways is taken. */
  onWays(taken: WaysTaken): void;
  /** What the main thread published of changes is taken. */
  onNews(taken: NewsTaken<Findings>): void;
  /** More of the answers on a path must be captured, to see where they end; once for each path. */
  onEndUnseen(path: number): void;
  /** Something that the user should know, once. */
  onNote(text: string): void;
}

/** Runs until the main thread asks for the end. `wake` is its eventfd. */
export function runLoop(config: DataPlaneConfig, wake: number, handlers: LoopHandlers): void {
  // Descriptors belong to the process, which outlives a worker that dies: closed here, intercepts see that the copy is gone.
  const closers: (() => void)[] = [];
  try {
    run(config, wake, handlers, closers);
  } finally {
    for (const close of closers) close();
  }
}

function run(config: DataPlaneConfig, wake: number, handlers: LoopHandlers, closers: (() => void)[]): void {
  const { worker } = config;
  if (worker.cpu !== null) pin(worker.cpu);
  const shared = viewShared(config.shared);
  const counters = createCounters();
  const control = new Control(config.controlMap, worker.index);
  // The kernel needs to know our flows only where answers come back to this host.
  const flows = config.channel ? null : new Flows(config.flowsMap, config.mostPaths);
  const requests = config.source && createSource(config.source, control);
  const responses: RequestSource = config.responseSocket
    ? new ResponseSource(config.responseSocket)
    : new RingSet(config.responseRings, config.responseRingBytes);
  const egresses = new Egresses(config.egresses, config.mark);
  const { batches, injectors } = egresses;
  let now = monotonicMicroseconds();
  const openFlow = (path: number, port: number, words: Int32Array, at: number, iss = 0): void => {
    if (intercepts) intercepts.openFlow(path, port, words, at, iss);
    else flows?.add(path, port);
  };
  const payload = new HugePages(config.reserve);
  const pairs = config.pairs && new PairWriter(config.pairs.memory, config.trace?.speed);
  const moduleOf = moduleMaker(config, pairs, counters, shared, handlers.onNote);
  const engine = createEngine(config, moduleOf, counters, openFlow, batches, now, shared, payload, {
    ...handlers,
    onEndUnseen: (path) => {
      intercepts?.readWhole();
      handlers.onEndUnseen(path);
    },
  });
  const intercepts = config.channel && createIntercepts(config, config.channel, engine, handlers, now);
  const datagrams =
    config.datagrams &&
    new Datagrams(config, config.datagrams, {
      control,
      openFlow,
      allow: (at) => engine.allowRequest(at),
      isHeld: (path) => engine.isHeld(path),
      // Of datagrams intercepts send the headers only.
      pairs: config.channel ? null : pairs,
      settle: () => intercepts?.settle(onResponse) ?? true,
    });
  if (intercepts && datagrams)
    intercepts.forEachDatagramFlow = (path, each) => datagrams.replay.forEachFlow(path, each);
  const player =
    config.trace &&
    new TracePlayer(config.trace, config.memory, config.turnTimeout, engine, counters, datagrams);
  const accepted = acceptedOf(config);
  const segmentServices = new Services(config.segmentServices);
  const reassembly = new Reassembly(segmentServices, IPPROTO_TCP, worker);
  const preflight = new Preflight(config, engine, intercepts, now);
  closers.push(() => requests?.close());
  closers.push(() => intercepts?.close("it ended"));
  closers.push(() => egresses.close());
  closers.push(() => datagrams?.close());
  const descriptors = [
    ...(requests?.descriptors ?? []),
    ...responses.descriptors,
    ...(intercepts?.descriptors ?? []),
    ...(config.trace ? [config.trace.wake] : []),
    wake,
  ];
  const pause = new Pause(control, descriptors, config.trace !== null);
  closers.push(() => pause.close());
  const housekeeping = new Housekeeping(
    config,
    control,
    [requests, responses],
    engine,
    egresses,
    handlers.onNote,
    now,
  );
  const knowPaths = [datagrams, responses instanceof ResponseSource ? responses : null].filter(
    (one) => one !== null,
  );
  const ways = new Ways(config.ways, egresses, engine, knowPaths, handlers.onWays);
  const own: Part = {
    change(numbers) {
      if (numbers.cpuLimit === worker.cpuLimit) return;
      worker.cpuLimit = numbers.cpuLimit;
      cpuLimit = isReady ? cpuLimitOf(worker) : null;
    },
    addPath({ config: path, probeFrom }) {
      config.paths.push(path);
      if (probeFrom) config.channel?.probeFrom.push(probeFrom);
    },
    setServices({ services, captured, answering }) {
      for (const { index, config: service } of services) config.services[index] = service;
      segmentServices.become(captured.filter(({ transport }) => transport !== "udp"));
      requests?.setServices?.(captured, answering);
    },
  };
  // Its own is first: others look into the list of paths.
  const parts: Part[] = [own, housekeeping, player, intercepts, ways, ...knowPaths].filter(
    (one) => one !== null,
  );
  const changes = new Changes(
    config.changes,
    {
      engine,
      parts,
      moduleOf,
      tryPaths: (paths, isTried, at) => new Preflight(config, engine, intercepts, at, paths, isTried),
      leftOut: () => control.leftOut,
      onTaken: handlers.onNews,
    },
    config.paths.length,
    config.sample,
  );

  const onRequest = (packet: Packet): void => {
    if (packet.index >= OUTGOING) {
      packet.index -= OUTGOING;
      if (!datagrams?.takeProduction(packet)) engine.production(packet, now);
      return;
    }
    if (packet.index === SEGMENT_FRAGMENT_INDEX) {
      const whole = reassembly.take(packet);
      if (whole === null) return;
      if (checkTransport(whole, accepted) === WRONG) counters[INDEX.checksumErrors]!++;
      else takeSegment(whole);
    } else if (!datagrams?.takeRequest(packet, now)) takeSegment(packet);
  };
  const takeSegment = (packet: Packet): void => {
    counters[INDEX.requests]!++;
    counters[INDEX.requestBytes]! += packet.length;
    engine.request(packet, now);
  };
  const onResponse = (packet: Packet): void => {
    if (datagrams?.takeResponse(packet, now)) return;
    // Without a TCP header it is an ICMP message: see bpf/record/record.h.
    if (packet.tcp === packet.ip) engine.tooBig(packet, now);
    else engine.response(packet, now);
  };
  const reading =
    requests && new RequestReading(requests, onRequest, counters, ROUND, reserveOf(config), accepted);
  const isEmpty = (): boolean =>
    (requests?.isEmpty ?? true) && responses.isEmpty && (player?.isIdle(now) ?? true);
  const send = (): void => {
    // An intercept must know a flow before its target answers; what is cleared here is retransmitted later.
    if (intercepts && !intercepts.settle(onResponse)) for (const batch of batches) batch.clear();
    sendAll(batches, injectors, counters, shared.histograms);
  };

  /** Sleeps, except for heartbeats, until the CPU limit allows the next round. */
  const rest = (limit: CpuLimit): void => {
    const told = Atomics.load(shared.command, 0);
    let span = limit.wait(monotonicMicroseconds(), cpuMicroseconds());
    for (; span > 0; span = limit.wait(now, cpuMicroseconds())) {
      if (Atomics.load(shared.command, 0) !== told || (drainUntil > 0 && now >= drainUntil)) return;
      sleepMicroseconds(Math.min(span, REST));
      now = monotonicMicroseconds();
      housekeeping.run(now);
      // The same numbers again: it rests, and has not stalled.
      publish(shared, counters);
    }
  };

  const asked = new Uint8Array(new ArrayBuffer(8));
  let isReady = false;
  let drainUntil = 0;
  let flowedAt = 0;
  let cpuLimit: CpuLimit | null = null;

  for (;;) {
    now = monotonicMicroseconds();
    housekeeping.run(now);
    const haveWaysChanged = ways.hasNews;
    if (haveWaysChanged || changes.hasNews) {
      // It would end every wait at once.
      libc.read(wake, address(asked), 8);
      if (changes.hasNews) changes.take(now);
      if (haveWaysChanged) ways.take(now);
    }
    changes.run(now);
    const caught = intercepts?.run(onResponse, now) ?? responses.drain(onResponse, ROUND, now);
    const taken = (player ? isReady && player.drain(onRequest, ROUND, now) : reading?.take(now)) || 0;
    const records = caught + taken;
    engine.advance(now);
    // Not until all is sent: a target that takes much at once must not keep us from reading.
    const sendUntil = monotonicMicroseconds() + MOST_SENDING;
    const sentBefore = counters[INDEX.sentBytes]!;
    let hasSentAll = engine.dispatch(now);
    send();
    while (!hasSentAll && monotonicMicroseconds() < sendUntil) {
      hasSentAll = engine.dispatch(now);
      send();
    }
    datagrams?.advance(now);
    housekeeping.heedErrors(now);

    if (!isReady && preflight.run(now)) {
      isReady = true;
      cpuLimit = cpuLimitOf(worker);
      housekeeping.begin(now);
      handlers.onReady(preflight.findings);
    }
    if (intercepts) {
      counters[INDEX.strayResponses] = intercepts.strays;
      counters[INDEX.interceptsLost] = intercepts.losses;
      counters[INDEX.channelsBroken] = intercepts.broken;
    }
    counters[INDEX.fragmentsLost] = reassembly.incomplete + reassembly.overlapping;
    publish(shared, counters);
    if (isReady && player?.isDone(now)) break;
    const command = Atomics.load(shared.command, 0);
    if (command === DRAIN && drainUntil === 0) {
      drainUntil = now + shared.command[1]! * 1000;
      // It would end every wait at once.
      libc.read(wake, address(asked), 8);
    }
    const isQuiet = datagrams?.isQuiet(now) ?? true;
    if (
      command === STOP ||
      (drainUntil > 0 && isDrained(records, hasSentAll && isQuiet, engine, now, drainUntil))
    )
      break;
    if (cpuLimit) rest(cpuLimit);
    if (records >= ROUND || !hasSentAll) continue;
    const longest = Math.min(
      housekeeping.wait(now),
      drainUntil > 0 ? DRAIN_LOOK : LONGEST_WAIT,
      preflight.wait(now),
      changes.wait(now),
      datagrams?.wait(now, LONGEST_WAIT) ?? LONGEST_WAIT,
    );
    const other = intercepts?.wait(now, longest) ?? longest;
    const limit = player && isReady ? player.wait(now, other) : other;
    const isFilling = (requests?.isFilling || responses.isFilling) === true;
    if (counters[INDEX.sentBytes]! - sentBefore > MUCH) flowedAt = now;
    const isFlowing = counters[INDEX.memory]! > BACKLOG && now - flowedAt < FLOWING;
    const hurries = isFilling || isFlowing || engine.isHeldUp(now);
    pause.wait(records, hurries, engine.wait(now, limit), isEmpty);
  }

  reassembly.clear();
  counters[INDEX.fragmentsLost] = reassembly.incomplete + reassembly.overlapping;
  engine.look(now);
  while (!engine.end(monotonicMicroseconds())) send();
  send();
  publish(shared, counters);
  requests?.count();
  responses.count();
}

/** Null: no limit. */
function cpuLimitOf({ cpuLimit }: WorkerConfig): CpuLimit | null {
  return cpuLimit > 0 ? new CpuLimit(cpuLimit, monotonicMicroseconds(), cpuMicroseconds()) : null;
}

function pin(cpu: number): void {
  const code = pinThread(cpu);
  if (code !== 0) throw new Error(`Cannot run on CPU ${cpu}: ${strerror(code)}`);
}

function createIntercepts(
  config: DataPlaneConfig,
  channel: ChannelConfig,
  engine: Engine,
  { onIntercept, onNote }: LoopHandlers,
  now: number,
): Intercepts {
  const { worker, paths } = config;
  const instance = randomBytes(COOKIE_BYTES);
  return new Intercepts(channel, paths, engine, instance, worker.count > 1, onIntercept, onNote, now);
}

function createEngine(
  config: DataPlaneConfig,
  moduleOf: ReturnType<typeof moduleMaker>,
  counters: Float64Array,
  openFlow: EngineConfig["openFlow"],
  batches: PacketBatch[],
  now: number,
  shared: Shared,
  payload: HugePages,
  { onNote, onEndUnseen }: LoopHandlers,
): Engine {
  const { worker } = config;
  const unseen = new Set<number>();
  const notes = new SecuredNotes(onNote);
  return new Engine(
    {
      services: config.services.map((service) => service.routes),
      paths: config.paths.map((path) => ({
        pair: ipPair(path.local ?? new Uint8Array(path.target.length), path.target),
        fromClient: path.local === null,
        targetPort: path.targetPort,
        egress: path.egress,
        mtu: config.egresses[path.egress]!.mtu,
      })),
      ports: config.ports,
      maxSessions: config.maxSessions,
      memory: config.memory,
      sessionBytes: config.memory * Math.min(worker.count * SESSION_SHARE, MOST_OF_WORKER),
      share: {
        worker: worker.index,
        workers: worker.count,
        words: new Int32Array(worker.words),
        since: worker.since,
      },
      replicas: config.replicas,
      jitter: config.jitter,
      waitsForAnswers: config.waitsForAnswers,
      pace: config.pace,
      late: config.late,
      answerTimes: answerTimesOf(config, shared),
      turnTimeout: config.turnTimeout,
      quiet: config.quiet,
      takesMidstream: config.takesMidstream,
      turnLimit: config.turnLimit,
      proxyProtocol: config.proxyProtocol,
      sessionTimeout: config.sessionTimeout,
      idleTimeout: config.idleTimeout,
      counters,
      modules: config.services.map(moduleOf),
      sha256: (bytes) => createHash("sha256").update(bytes).digest(),
      onSecured: (service, name) => notes.add(config.services[service]!, name),
      onProtocolFailure: (module, error) =>
        onNote(`the protocol module ${module} failed, which is a bug: ${describe(error)}`),
      onEndUnseen: (path) => {
        if (unseen.has(path)) return;
        unseen.add(path);
        onEndUnseen(path);
      },
      openFlow,
      keepsClientPorts: config.keepsClientPorts,
      users: config.users,
      random: Math.random,
      takePiece: () => payload.take(),
    },
    batches,
    now,
  );
}

function answerTimesOf({ trace }: DataPlaneConfig, { histograms }: Shared): AnswerTimes {
  // At another speed the clock of a recording is not ours.
  const isReal = trace === null || trace.speed === 1;
  return {
    production: (us) => isReal && record(histograms.productionAnswer, us),
    target: (us) => record(histograms.targetAnswer, us),
  };
}

function isDrained(records: number, isQuiet: boolean, engine: Engine, now: number, until: number): boolean {
  return now >= until || (records === 0 && isQuiet && engine.pending === 0);
}
