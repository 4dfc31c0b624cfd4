/** The account of a run of `xcopy copy`: everything counted since its start, as the JSON object has it. */
import type { TraceCounter } from "../../capture/trace/counters.ts";
import {
  DROP_REASONS,
  type DropReason,
  INVALID_REASONS,
  type InvalidReason,
} from "../../engine/sessions/counters.ts";
import { SECURED, type SecuredName } from "../../engine/sessions/secured.ts";
import type { ProcessUse } from "../../runtime/figures.ts";
import { spread } from "../../runtime/histogram.ts";
import type { DatagramShared } from "../data-plane/datagram-shared.ts";
import { type Counter, type HistogramName, INDEX } from "../data-plane/shared.ts";
import type { WayCounts } from "../ways/way.ts";
import type { ComparedAccount } from "./comparison.ts";
import { accountOfDatagrams } from "./datagrams.ts";
import { takeMysql } from "./mysql.ts";
import { countersOf, histogramOf, totalOf, type WorkerView } from "./totals.ts";
import { turnsOf, workerAccount } from "./worker-account.ts";

/** What the capture counted since its start: by kernel programs, sockets or the reader of recordings. */
export interface CaptureCounts {
  source: string;
  packets: number;
  bytes: number;
  /** Requests that no ring had room for; by CPU, where that is known. */
  lost: number;
  lostByCpu?: number[];
  /** Packets of connections whose worker had died. */
  abandoned?: number;
  /** Captured packets that were not read before the end. */
  unread?: number;
  /** Responses that no ring had room for; TCP sends them again. */
  responsesLost: number;
  /** Packets that production's services have sent; absent: none was captured. `lost`: no ring had room for them. */
  answers?: { packets: number; bytes: number; lost: number };
  /** Packets without data that stayed in the kernel. */
  pureAcks: number;
  /** Seen on a second interface. */
  duplicates: number;
  fragments: number;
  oversize: number;
  /** Not captured because xcopy stalled. */
  inert: number;
  /** Not captured because -r or -g left their connection out. */
  unsampled: number;
  /** To services' ports at addresses that are not this host's. */
  forwarded?: number;
  /** Of recorded traffic: what became of its packets and files. */
  trace?: Record<TraceCounter, number>;
}

/** How answers come back: `direct`, or by intercepts. */
export interface ReturnPath {
  mode: string;
  intercepts: { address: string; mode: string | null; up: boolean }[];
  /** Fingerprint of the key that the intercepts have too; null: there is none. */
  key: string | null;
}

/** `comparison`: with --compare only. */
export type Account = ReturnType<typeof takeAccount> & { comparison?: ComparedAccount };

/** Everything counted since the start, `seconds` ago, by all workers. Each of the `copies` of a request counts as a turn. */
export function takeAccount(
  seconds: number,
  workers: readonly WorkerView[],
  capture: CaptureCounts,
  use: ProcessUse,
  copies: number,
  { mode, intercepts, key }: ReturnPath = { mode: "direct", intercepts: [], key: null },
  datagrams: readonly DatagramShared[] = [],
  ways: WayCounts = { gone: 0, held_s: 0, moved: 0 },
) {
  const each = workers.map(countersOf);
  const counters = totalOf(each);
  const times = (name: HistogramName, max?: number) => spread(histogramOf(workers, name), max);
  const count = (name: Counter) => counters[INDEX[name]]!;
  const reasons = Object.keys(DROP_REASONS) as DropReason[];
  const secured: Partial<Record<SecuredName, number>> = {};
  for (const name of Object.keys(SECURED) as SecuredName[])
    if (count(`secured.${name}`) > 0) secured[name] = count(`secured.${name}`);
  return {
    mode,
    seconds: Math.round(seconds * 10) / 10,
    ...(copies === 1 ? {} : { copies }),
    capture: {
      source: capture.source,
      packets: capture.packets,
      bytes: capture.bytes,
      lost: capture.lost + capture.oversize,
      ...(capture.lost > 0 && capture.lostByCpu ? { lost_by_cpu: capture.lostByCpu } : {}),
      abandoned: capture.abandoned ?? 0,
      unread: capture.unread ?? 0,
      ...(capture.answers ? { answers: capture.answers } : {}),
      pure_acks: capture.pureAcks,
      duplicates: capture.duplicates,
      fragments: capture.fragments + count("fragmentsLost"),
      oversize: capture.oversize,
      inert: capture.inert,
      unsampled: capture.unsampled,
      forwarded: capture.forwarded ?? 0,
      repeated: count("repeated"),
      stray: count("stray"),
      urgent: count("urgent"),
    },
    invalid: {
      checksum: count("checksumErrors") + (capture.trace?.checksumErrors ?? 0),
      ...(Object.fromEntries(
        (Object.keys(INVALID_REASONS) as InvalidReason[]).map((reason) => [
          reason,
          count(`invalid.${reason}`),
        ]),
      ) as Record<InvalidReason, number>),
    },
    mptcp: { joined: count("mptcp.joined"), incomplete: count("mptcp.incomplete") },
    ...(workers.length > 1
      ? { workers: each.map((own, index) => workerAccount(own, workers[index]!.isDead)) }
      : {}),
    ...(capture.trace
      ? { trace: accountOf(capture.trace), next_request: Math.round(count("nextRequest") / 1e6) }
      : {}),
    sessions: {
      opened: count("opened"),
      midstream: count("midstream"),
      established: count("established"),
      active: count("active"),
      closed: count("closed"),
      reset: count("resetSessions"),
      failed: count("failed"),
      reconnected: count("reconnected"),
      closed_by_target: count("closedByTarget"),
      shed: count("shed"),
      idle: count("idle"),
      displaced: count("displaced"),
      half_open: count("halfOpen"),
    },
    turns: turnsOf(count),
    overdue: count("turnsOverdue"),
    out_of_context: count("turnsOutOfContext"),
    ...(Object.keys(secured).length > 0 ? { secured } : {}),
    spread: count("turnsSpread"),
    dropped: Object.fromEntries(reasons.map((reason) => [reason, count(`dropped.${reason}`)])) as Record<
      DropReason,
      number
    >,
    sent: {
      packets: count("sentPackets"),
      bytes: count("sentBytes"),
      retransmitted: count("retransmitted"),
      errors: count("sendErrors"),
    },
    responses: {
      packets: count("responsePackets"),
      bytes: count("responseBytes"),
      lost: capture.responsesLost,
      stray: count("strayResponses"),
    },
    ...(intercepts.length > 0
      ? {
          intercepts,
          key,
          intercepts_lost: count("interceptsLost"),
          channels_broken: count("channelsBroken"),
        }
      : {}),
    ...(ways.gone + ways.moved > 0 ? { ways: { ...ways, held_s: Math.round(ways.held_s * 10) / 10 } } : {}),
    lag_us: times("lag", count("lagMax")),
    own_us: times("own", count("ownMax")),
    answer_wait_us: times("answerWait"),
    connection_wait_us: times("connectionWait"),
    behind: Math.round(count("behind") / 1000) / 1000,
    waiting: count("waiting"),
    waiting_for_connection: count("waitingForConnection"),
    answer_us: { production: times("productionAnswer"), target: times("targetAnswer") },
    ...(datagrams.length > 0 ? { udp: accountOfDatagrams(datagrams) } : {}),
    ...(count("protocolFailures") > 0 ? { protocol_failures: count("protocolFailures") } : {}),
    ...(count("sessionsNotHttp") > 0 ? { sessions_not_http: count("sessionsNotHttp") } : {}),
    ...(count("mysql.sessions") > 0
      ? {
          mysql: takeMysql(count, {
            production: histogramOf(workers, "productionLatency"),
            target: histogramOf(workers, "targetLatency"),
          }),
        }
      : {}),
    memory_bytes: count("memory"),
    cpu: { user: use.user / 1e6, system: use.system / 1e6 },
    rss_mb: Math.round(use.rss / 1e5) / 10,
  };
}

function accountOf(trace: Record<TraceCounter, number>) {
  return {
    files: trace.files,
    files_done: trace.filesDone,
    failures: trace.failures,
    bytes: trace.bytes,
    bytes_total: trace.bytesTotal,
    packets: trace.packets,
    not_wanted: trace.notWanted,
    not_ip: trace.notIp,
    outside: trace.outside,
    malformed: trace.malformed + trace.headersCut,
    snapped: trace.snapped,
    fragments: trace.fragments,
    fragments_incomplete: trace.fragmentsIncomplete,
    fragments_overlapping: trace.fragmentsOverlapping,
    unordered: trace.unordered,
    translated: trace.translated,
    translated_connections: trace.translatedConnections,
    translated_datagrams: trace.translatedDatagrams,
    clock_steps: trace.clockSteps,
    stray_stamps: trace.strayStamps,
  };
}
