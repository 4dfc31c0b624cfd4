/** From a plan: loads the kernel programs, and makes the configuration of the data plane. */
import type { KernelCapture } from "../capture/kernel/capture.ts";
import { loadKernelCapture } from "../capture/kernel/load.ts";
import type { KernelPath, RequestHook } from "../capture/kernel/options.ts";
import { possibleCpus, ringBytes } from "../capture/maps.ts";
import type { AnsweringService, KernelService } from "../capture/services.ts";
import type { ResponseSocketConfig } from "../capture/socket/response-source.ts";
import type { SourceConfig } from "../capture/source.ts";
import { protocolFor } from "../config/protocol.ts";
import { labelOf } from "../config/transfer.ts";
import { kernelPrograms, outgoingProgram } from "../host/carried-programs.ts";
import { ringBytesFor, waitingBytes } from "../host/memory.ts";
import { requireBpf } from "../host/privileges.ts";
import type { CarriedLibrary } from "../native/carried.ts";
import { Failure } from "../native/failure.ts";
import { DATAGRAM_BYTES, mostOf, type Prefix, WHOLE, widerPrefix } from "../wire/prefix.ts";
import { SPARE } from "./changes/news.ts";
import { type CompareOptions, pairConfig } from "./comparison/options.ts";
import type { ChannelConfig, TraceConfig } from "./data-plane/config.ts";
import type { WholeConfig } from "./data-plane/share-out.ts";
import { type CopyOptions, signSpan } from "./options.ts";
import type { Plan } from "./plan.ts";
import { createPublishedWays } from "./ways/published.ts";

/** Bytes of a ring for requests, at least; all of them together have the bytes of -B. */
export const REQUEST_RING_LEAST = 256 << 10;
/** The same for answers, and bytes of all their rings together. */
const RESPONSE_RINGS = { total: 4 << 20, least: 256 << 10 };
/** Where responses are captured with their payload. */
const READ_RESPONSE_RINGS = { total: 32 << 20, least: 1 << 20 };
/** The least where several workers share the traffic, each with rings of its own. */
const RESPONSE_RING_OF_SEVERAL = 64 << 10;

/** Address families of a service's clients: where their addresses are sent from, only the family of the targets. */
function familiesOf({ services, paths }: Plan, index: number): (4 | 6)[] {
  const path = paths[services[index]!.routes[0]!.targets[0]!.paths[0]!]!;
  return path.local === null ? [path.family] : [4, 6];
}

/** The services whose requests are captured, or picked from recorded traffic. */
export function kernelServices(plan: Plan): KernelService[] {
  return plan.services.flatMap(({ address, port, transport }, index): KernelService[] => {
    const common = { port, index, ...(transport && { transport }) };
    return address
      ? [{ address: address.bytes, family: address.family, ...common }]
      : familiesOf(plan, index).map((family) => ({ address: null, family, ...common }));
  });
}

/** Whether services without address are captured at addresses of this host only: what it forwards to others is no request. */
export function takesOnlyLocal({ services }: Plan, { capture }: CopyOptions): boolean {
  return capture.direction === "in" && services.some(({ address }) => address === null);
}

/** What is captured of production's answers to logins, as far as the module mysql reads them. */
const LOGIN_ANSWERS: Prefix = { bytes: 332, takesHeads: false };

/** What is captured of answers that are compared, whose protocol needs no more. */
function comparedPrefix({ body, prefix }: CompareOptions): Prefix {
  return body ? WHOLE : { bytes: prefix, takesHeads: true };
}

/**
 * What is captured of what a service sends to clients; null: nothing. `logsIn`: its clients log in (MySQL); `isRead`: a protocol
 * module reads it, or may.
 */
export function sentPayload(
  { transport }: KernelService,
  logsIn: boolean,
  isRead: boolean,
  { comparison }: CopyOptions,
): Prefix | null {
  if (transport === "udp") return comparison && { bytes: DATAGRAM_BYTES, takesHeads: false };
  if (comparison && isRead)
    return widerPrefix(comparedPrefix(comparison), logsIn ? LOGIN_ANSWERS : undefined);
  return logsIn ? LOGIN_ANSWERS : null;
}

/** The services of which what they send to clients is captured: those whose clients log in, and what is compared. */
export function answeringServices(plan: Plan, options: CopyOptions): AnsweringService[] {
  return kernelServices(plan).flatMap((service): AnsweringService[] => {
    const protocol = protocolFor(options.protocols, plan.services[service.index]!);
    const payload = sentPayload(service, protocol === "mysql", protocol !== null, options);
    return payload ? [{ ...service, payload }] : [];
  });
}

/** By path: what protocol modules, and pairs of DNS, read of the payload of responses. Paths that none reads are not there. */
export function pathsRead(plan: Plan, { protocols, comparison }: CopyOptions): Map<number, Prefix> {
  const read = new Map<number, Prefix>();
  for (const service of plan.services) {
    const protocol = service.transport ? null : protocolFor(protocols, service);
    const isCompared = comparison !== null && service.transport === "udp";
    if (protocol === null && !isCompared) continue;
    let prefix = comparison && protocol === "http" ? comparedPrefix(comparison) : WHOLE;
    if (isCompared) prefix = { bytes: DATAGRAM_BYTES, takesHeads: false };
    for (const { targets } of service.routes)
      for (const { paths } of targets)
        for (const path of paths) read.set(path, widerPrefix(prefix, read.get(path)));
  }
  return read;
}

/** Most bytes that protocol modules read of the payload of a response; 0: none does. */
export function mostRead(plan: Plan, options: CopyOptions): number {
  return Math.max(0, ...[...pathsRead(plan, options).values()].map(mostOf));
}

/**
 * Loads the kernel programs that a plan needs; nothing is attached yet. `hook`: how requests are captured, null if not by
 * programs of the kernel. Null if none is needed. Throws a Failure (exit code 4 or 5).
 */
export function loadKernel(
  plan: Plan,
  options: CopyOptions,
  libraries: CarriedLibrary[],
  hook: "auto" | RequestHook | null,
): KernelCapture | null {
  const isDirect = plan.intercepts.length === 0;
  if (hook === null && !isDirect) return null;
  requireBpf();
  const { bufferBytes, snaplen, direction } = options.capture;
  const workers = plan.workers.count;
  const rings = workers * possibleCpus();
  const responseLeast = workers === 1 ? RESPONSE_RINGS.least : RESPONSE_RING_OF_SEVERAL;
  const read = pathsRead(plan, options);
  const services = kernelServices(plan);
  const outgoingServices = answeringServices(plan, options);
  return loadKernelCapture({
    ...kernelPrograms(),
    // Where requests leave this host, answers to them come in.
    outgoingObject: outgoingServices.length > 0 && direction !== "out" ? outgoingProgram() : undefined,
    outgoingServices,
    libraries,
    services: hook === null ? null : services,
    paths: isDirect
      ? plan.paths.map((path, index) => withPayload(path as KernelPath, read.get(index)))
      : null,
    // A service without address may have one of each family.
    room: { services: 2 * SPARE.services, paths: SPARE.paths },
    mayTakeDatagrams: mayTakeUdp(plan, options),
    mark: options.mark,
    workers,
    snaplen,
    signSpan: signSpan(options),
    isOutgoing: direction === "out",
    onlyLocal: takesOnlyLocal(plan, options),
    requestRingBytes: ringBytesFor(bufferBytes, rings, REQUEST_RING_LEAST),
    requestRingLeast: REQUEST_RING_LEAST,
    responseRingBytes: ringBytes(
      read.size > 0 ? READ_RESPONSE_RINGS : { ...RESPONSE_RINGS, least: responseLeast },
      rings,
    ),
    hook: hook ?? "auto",
  });
}

function withPayload(path: KernelPath, payload: Prefix | undefined): KernelPath {
  return payload ? { ...path, payload } : path;
}

/** Whether UDP services are copied. */
export function hasUdp({ services }: Plan): boolean {
  return services.some(({ transport }) => transport === "udp");
}

/** Whether a reload may bring the first UDP service. */
function mayTakeUdp({ files }: Plan, { isReloadable, compat, insecure }: CopyOptions): boolean {
  return isReloadable && files.length === 0 && !compat && !insecure;
}

/** What more to say to somebody whose UDP services cannot be copied for want of eBPF. */
export const UDP_WAYS =
  "Responses of UDP services need eBPF here, or an intercept at the target: xcopy intercept there, -s here.";

/**
 * As `loadKernel`, for answers alone. Where the host allows no eBPF, `tell` gets the cause and null is returned: answers
 * then come by a socket (see `answersBySocket`).
 */
export function loadForAnswers(
  plan: Plan,
  options: CopyOptions,
  libraries: CarriedLibrary[],
  tell: (reason: Failure) => void,
): KernelCapture | null {
  try {
    return loadKernel(plan, options, libraries, null);
  } catch (error) {
    if (!(error instanceof Failure) || error.exitCode < 4) throw error;
    // A socket only gets copies of packets, and the netfilter rule keeps only TCP from this host.
    if (hasUdp(plan)) throw error.withFix(UDP_WAYS);
    tell(error);
    return null;
  }
}

/** A line for the log, and the fix where a capability is missing: what xcopy does instead is for hosts that cannot do better. */
export interface Note {
  text: string;
  fix: string | null;
}

/** What is done `instead`, as better ways failed by `causes`, the best first. */
export function noteOf(instead: string, causes: readonly Failure[]): Note {
  const messages = causes.map(({ message }) => message);
  const forbidden = causes.find(({ exitCode }) => exitCode === 4);
  return { text: [instead, messages.join("; ")].filter(Boolean).join(": "), fix: forbidden?.fix ?? null };
}

/** Writes it to the log: what a user can mend is a warning. */
export function tellNote(
  { text, fix }: Note,
  log: { info(text: string): void; warn(text: string): void },
): void {
  if (fix === null) log.info(text);
  else log.warn(`${text}\n${fix}`);
}

/** About answers that come by a socket, for `cause`; null: that is said already. */
export function answersBySocket(cause: Failure | null): Note {
  const what =
    "catching responses by a packet socket instead of eBPF, kept from this host's TCP by a netfilter rule, which stays after kill -9 until the next start or xcopy cleanup";
  return noteOf(what, cause === null ? [] : [cause]);
}

function channelConfig(plan: Plan, options: CopyOptions): ChannelConfig | null {
  if (plan.intercepts.length === 0) return null;
  const read = [...pathsRead(plan, options).values()];
  return {
    intercepts: plan.intercepts.map(({ label, address, port }) => ({ label, address: address.bytes, port })),
    connections: options.connections,
    key: plan.key?.bytes ?? null,
    compat: options.compat,
    readsPayload: read.length > 0,
    prefix: read.reduce((one, other) => widerPrefix(one, other), read[0] ?? WHOLE),
    probeFrom: plan.probeFrom,
  };
}

function datagramsConfig(
  plan: Plan,
  options: CopyOptions,
  responseSocket: ResponseSocketConfig | null,
): WholeConfig["datagrams"] {
  // By a socket come answers over TCP only.
  if (!hasUdp(plan) && (responseSocket !== null || !mayTakeUdp(plan, options))) return null;
  return {
    services: kernelServices(plan).filter(({ transport }) => transport === "udp"),
    timeout: options.datagramTimeout * 1e6,
    idleTimeout: options.datagramKeepalive * 1e6,
    noFragment: options.noFragment,
  };
}

/**
 * What all workers of the data plane are told: where requests come from, live (`source`) or recorded (`trace`), and answers
 * (`kernel`).
 */
export function dataPlaneConfig(
  plan: Plan,
  options: CopyOptions,
  kernel: KernelCapture | null,
  source: SourceConfig | null,
  trace: TraceConfig | null = null,
  responseSocket: ResponseSocketConfig | null = null,
): WholeConfig {
  return {
    source,
    responseRings: kernel?.responseRings ?? [],
    responseRingBytes: kernel?.responseRingBytes ?? 0,
    responseSocket,
    controlMap: kernel?.controlMap ?? -1,
    flowsMap: kernel?.flowsMap ?? -1,
    trace,
    users: options.trace.users,
    services: plan.services.map((service) => ({
      label: labelOf(service),
      ...(service.transport && { transport: service.transport }),
      routes: service.routes.map(({ targets }) => targets.map(({ weight, paths }) => ({ weight, paths }))),
      protocol: service.transport ? null : protocolFor(options.protocols, service),
    })),
    segmentServices: kernelServices(plan).filter(({ transport }) => transport !== "udp"),
    datagrams: datagramsConfig(plan, options, responseSocket),
    mysql: options.mysql,
    pairs: options.comparison && pairConfig(options.comparison),
    paths: plan.paths,
    egresses: plan.egresses,
    ways: {
      memory: createPublishedWays(plan.ways.length + SPARE.ways),
      paths: plan.ways.map(({ paths }) => paths),
    },
    mostPaths: plan.paths.length + SPARE.paths,
    channel: channelConfig(plan, options),
    keepsClientPorts: plan.keepsClientPorts,
    mark: options.mark,
    ports: plan.ports,
    maxSessions: options.maxSessions,
    memory: waitingBytes(options.memory),
    sessionTimeout: options.timeout * 1e6,
    idleTimeout: options.keepalive * 1e6,
    sample: options.sample,
    ramp: options.ramp,
    replicas: options.replicas,
    jitter: Math.round(options.jitter * 1000),
    waitsForAnswers: !options.noWait,
    pace: trace && options.trace.speed === Number.POSITIVE_INFINITY ? "fast" : options.pace,
    late: options.late,
    turnTimeout: Math.round(options.turnTimeout * 1e6),
    quiet: Math.round(options.rtt * 1000),
    takesMidstream: !options.fullSessions,
    turnLimit: options.limit,
    proxyProtocol: options.proxyProtocol,
    probe: !options.force,
  };
}
