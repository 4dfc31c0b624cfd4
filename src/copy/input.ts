/** Where requests come from: this host's interfaces, or recorded traffic. */
import type { Forwarded } from "../capture/local-maps.ts";
import type { AnsweringService, KernelService } from "../capture/services.ts";
import type { SourceConfig } from "../capture/source.ts";
import { startTraceReader, type TraceReader } from "../capture/trace/start.ts";
import { protocolFor } from "../config/protocol.ts";
import { followLocal } from "../host/follow-local.ts";
import type { Failure } from "../native/failure.ts";
import { EFD_CLOEXEC, EFD_NONBLOCK, IPPROTO_TCP, libc } from "../native/libc.ts";
import { links } from "../native/netlink/netlink.ts";
import { entryOf } from "../runtime/entries.ts";
import type { CaptureCounts } from "./account/account.ts";
import type { OpenCapture } from "./capture.ts";
import type { TraceConfig } from "./data-plane/config.ts";
import { kernelServices, sentPayload } from "./load.ts";
import { tellSteps } from "./notes/clocks.ts";
import { nothingFound } from "./notes/nothing-found.ts";
import { type CopyOptions, signSpan } from "./options.ts";
import type { Plan } from "./plan.ts";
import { servicesByGreeting } from "./recognize.ts";

/** The counts of captured requests, without those of answers. */
export type RequestCounts = Omit<CaptureCounts, "responsesLost">;

/** The input of a run, live or recorded, behind one interface. */
export interface RequestInput {
  /** For the first message: `captured by tcx on lo, eth0`. */
  readonly description: string;
  /** See Capture; null for recorded requests. */
  readonly room: string | null;
  /** For the data plane: one of the two. */
  source: SourceConfig | null;
  trace: TraceConfig | null;
  /**
   * Requests may come from now on. Attaching takes time: ends early when `isStopped`. `warn` gets lines for the log, also later.
   * Rejects with a Failure.
   */
  begin(isStopped: () => boolean, warn: (text: string) => void): Promise<void>;
  /**
   * Attaches to new interfaces and forgets those that are not there; returns the names of the new ones. What is in `gone` was
   * gone meanwhile, even if there is one with that index again. Throws a Failure.
   */
  follow(gone?: ReadonlySet<number>): string[];
  /** See Capture; both for live requests only. */
  setFilter(filter: string | null): void;
  setServices(services: KernelService[], answering: AnsweringService[]): void;
  /** No more requests from now on. */
  stop(): void;
  counts(): RequestCounts;
  /** A destination whose packets only passed through this host; null: there was none. */
  forwarded(): Forwarded | null;
  /** Errors of recordings that could not be read to their ends or have no request; to be called after the end of the data plane. */
  failures(): Promise<Failure[]>;
}

/** Interfaces that are attached at once, before signals are looked at: some 10 ms each by tcx. */
const AT_ONCE = 16;

/** Live requests, by a back end that captures nothing yet. */
export function liveInput(plan: Plan, { capture }: OpenCapture): RequestInput {
  const names = new Set(plan.interfaces.map(({ name }) => name));
  const attached = new Map(plan.interfaces.map(({ ifindex, name }) => [ifindex, name]));
  let endFollowing: (() => void) | undefined;
  return {
    get description() {
      const byWay = Map.groupBy(attached, ([ifindex]) => capture.wayOn(ifindex));
      const parts = [...byWay].map(([way, those]) => `${way} on ${those.map(([, name]) => name).join(", ")}`);
      return `captured by ${parts.join("; ")}`;
    },
    room: capture.room,
    source: capture.source,
    trace: null,
    async begin(isStopped, warn) {
      const { setLocal } = capture;
      if (setLocal) {
        endFollowing = await followLocal((local) => {
          const left = setLocal(local);
          if (left > 0)
            warn(`This host has ${left} more addresses than xcopy tells from others: name those in -x.`);
        });
      }
      const ifindexes = [...attached.keys()];
      for (let at = 0; at < ifindexes.length && !isStopped(); at += AT_ONCE) {
        capture.attach(ifindexes.slice(at, at + AT_ONCE));
        await Bun.sleep(0);
      }
    },
    follow(gone) {
      const present = links();
      for (const ifindex of attached.keys()) {
        if (!gone?.has(ifindex) && present.some((link) => link.ifindex === ifindex)) continue;
        attached.delete(ifindex);
        capture.forget(ifindex);
      }
      const fresh = present.filter(
        ({ up, name, ifindex }) => !attached.has(ifindex) && (plan.followsAll ? up : names.has(name)),
      );
      // Noted before it is attached: an interface that fails is not tried again at every call.
      for (const { ifindex, name } of fresh) attached.set(ifindex, name);
      capture.refresh();
      if (fresh.length > 0) capture.attach(fresh.map(({ ifindex }) => ifindex));
      return fresh.map(({ name }) => name);
    },
    setFilter: (filter) => capture.setFilter(filter),
    setServices: (services, answering) => capture.setServices(services, answering),
    stop() {
      endFollowing?.();
      capture.stop();
    },
    forwarded: () => capture.forwarded(),
    counts: () => ({ ...capture.counts(), source: capture.name }),
    failures: async () => [],
  };
}

/**
 * Recorded requests. Resolves when every file was found to be a recording; rejects with a Failure if one is not. `warn`
 * gets lines for the log.
 */
export async function recordedInput(
  plan: Plan,
  options: CopyOptions,
  warn: (text: string) => void,
): Promise<RequestInput> {
  const { speed, longestGap, loops, start, end, rate } = options.trace;
  const wake = Number(libc.eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  const reader = startTraceReader(
    {
      paths: plan.files,
      services: kernelServices(plan),
      answering: recordedAnswers(plan, options),
      targets: targetNumbers(plan),
      protocol: IPPROTO_TCP,
      loops,
      start,
      end,
      signSpan: signSpan(options),
      leftOut: Math.round((1 - options.sample) * 2 ** 32),
      wake,
    },
    warn,
    tellSteps(warn),
    entryOf("capture/trace/thread.ts"),
  );
  await reader.ready;
  return {
    source: null,
    room: null,
    description: `read from ${plan.files.join(", ")}`,
    trace: { memory: reader.memory, wake, speed, longestGap: longestGap * 1000, rate },
    begin: async () => {},
    follow: () => [],
    setFilter() {},
    setServices() {},
    stop: () => reader.stop(),
    forwarded: () => null,
    counts: () => countRecorded(reader),
    async failures() {
      const broken = await reader.ended;
      const found = reader.unmatched();
      if (found === null) return broken;
      return [...broken, nothingFound(found, reader.counters(), plan.services, plan.files)];
    },
  };
}

/**
 * The services of which what they send to clients is read: those whose clients may have to log in, as far as that is known before
 * their targets are asked, and with --compare all.
 */
function recordedAnswers(plan: Plan, options: CopyOptions): AnsweringService[] {
  const byGreeting = new Set(servicesByGreeting(plan, options));
  return kernelServices(plan).flatMap((service) => {
    const planned = plan.services[service.index]!;
    const isMysql = protocolFor(options.protocols, planned) === "mysql" || byGreeting.has(planned);
    const payload = sentPayload(service, isMysql && !options.mysql.trustLogins, true, options);
    return payload ? [{ ...service, payload }] : [];
  });
}

/** See TraceOptions. */
function targetNumbers({ services }: Plan): number[] {
  const keys = services.map(({ routes }) =>
    JSON.stringify(
      routes.flatMap(({ targets }) => targets.map(({ address, port }) => [[...address.bytes], port])),
    ),
  );
  return keys.map((key) => keys.indexOf(key));
}

function countRecorded(reader: TraceReader): RequestCounts {
  const counters = reader.counters();
  return {
    source: "trace",
    packets: counters.requests,
    bytes: counters.requestBytes,
    lost: 0,
    pureAcks: counters.pureAcks,
    duplicates: counters.duplicates,
    fragments: counters.fragmentsIncomplete + counters.fragmentsOverlapping,
    oversize: 0,
    inert: 0,
    unsampled: counters.unsampled,
    trace: counters,
  };
}
