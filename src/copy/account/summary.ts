/** The account of a run of `xcopy copy`: the JSON object, and the summary for people. */
import type { TraceCounter } from "../../capture/trace/counters.ts";
import {
  DROP_REASONS,
  type DropReason,
  INVALID_REASONS,
  type InvalidReason,
} from "../../engine/sessions/counters.ts";
import { SECURED, type SecuredName } from "../../engine/sessions/secured.ts";
import { bytes, duration, type Loss, number, type ProcessUse, percent } from "../../runtime/figures.ts";
import { spread } from "../../runtime/histogram.ts";
import type { DatagramShared } from "../data-plane/datagram-shared.ts";
import { type Counter, type HistogramName, INDEX } from "../data-plane/shared.ts";
import type { WayCounts } from "../ways/follow.ts";
import { closedRows } from "./closed.ts";
import { type ComparedAccount, comparisonRows } from "./comparison.ts";
import { accountOfDatagrams, datagramLosses, datagramRows } from "./datagrams.ts";
import { renderLateness } from "./lateness.ts";
import { MULTIPATH_ADVICE, renderMultipath } from "./mptcp.ts";
import { mysqlRows, takeMysql } from "./mysql.ts";
import { countersOf, histogramOf, totalOf, type WorkerView } from "./totals.ts";
import { renderWorkers, turnsOf, workerAccount } from "./worker-account.ts";

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

/** What --limit leaves out is no loss: the user asked for it. */
type LossReason = Exclude<DropReason, "limit">;

/** What to do about a loss, for each reason. */
const ADVICE: Record<LossReason, string> = {
  midstream: "none needed: these connections are copied from their next request on",
  refused: "start the service on the target, or correct the port in -x",
  unreachable: "check the target and the firewalls on the way to it",
  reset: "see the target's log: it closes connections that the service here keeps",
  moved: "none needed: these connections are copied from their next request on",
  unanswered: "see why the target does not answer, or raise -t",
  gap: "see the packets lost in the capture above",
  mptcp: MULTIPATH_ADVICE,
  memory: "raise -m, or find out why the target is slower than the service here",
  sessions: "raise --max-sessions",
  protocol: "see the account of the protocol module above",
  login: "none needed: production did not let them in either",
  undecided: "capture the interfaces by which production's answers leave too, or give --trust-logins",
  ports: "add addresses with -c, ports with --ports, or a larger part of them with -f",
  late: "see why the target is slower than the service here; --late says what becomes of late requests",
  ended: "raise --drain",
  worker: "report this: no worker should ever die",
};

/** Every kind of loss that occurred. */
function lossesOf(account: Account): Loss[] {
  const { capture, dropped, sent, responses, udp } = account;
  const losses = [
    {
      count: capture.lost - capture.oversize,
      what: `packets found no room in the rings${byCpu(capture.lost_by_cpu)}`,
      advice: "raise -B if this happens in bursts; else give xcopy more CPU (see --workers and --cpu-limit)",
    },
    {
      count: capture.abandoned,
      what: "packets came for a worker that had died",
      advice: "report this: no worker should ever die",
    },
    {
      count: capture.unread,
      what: "packets were captured and not read before the end",
      advice: "raise --drain, or give xcopy more CPU (see --workers and --cpu-limit)",
    },
    {
      count: capture.answers?.lost ?? 0,
      what: "packets of production's answers found no room in the rings: nobody knows what it answered there",
      advice: "raise -B if this happens in bursts; else give xcopy more CPU (see --workers and --cpu-limit)",
    },
    {
      count: capture.inert,
      what: "packets passed while xcopy was stopped",
      advice: "find out what stopped it for more than 2 s",
    },
    {
      count: capture.oversize,
      what: "packets were larger than this way of capture takes",
      advice:
        "capture by tcx or clsact, which take all; start xcopy anew if BIG TCP came to an interface after it began",
    },
    {
      count: capture.fragments,
      what: "TCP packets in IP fragments could not be put together",
      advice: "see why fragments are lost on the way to this host: check the MTU",
    },
    ...(Object.keys(ADVICE) as LossReason[]).map((reason) => ({
      count: dropped[reason],
      what: `requests: ${DROP_REASONS[reason]}`,
      advice: ADVICE[reason],
    })),
    ...datagramLosses(udp),
    {
      count: account.protocol_failures ?? 0,
      what: "sessions in which the protocol module failed",
      advice: "this is a bug: please report it with the message above",
    },
    {
      count: account.channels_broken ?? 0,
      what: "times what came from an intercept was changed on its way, or stopped in the middle of a record",
      advice: "see the messages above: find out who is between the two hosts, if no intercept was killed",
    },
    {
      count: responses.lost,
      what: "packets of answers found no room (and were sent again, where they are of TCP)",
      advice: "give xcopy more CPU (see --workers and --cpu-limit), or copy less at a time",
    },
    {
      count: sent.errors,
      what: "packets could not be sent (and were sent again, where they carried a request)",
      advice: "check the interface towards the target",
    },
  ];
  return losses.filter(({ count }) => count > 0);
}

/** `, 3 on CPU 0, 5 on CPU 2`. */
function byCpu(counts: readonly number[] = []): string {
  const parts = counts.flatMap((count, cpu) => (count > 0 ? [`, ${number(count)} on CPU ${cpu}`] : []));
  return parts.join("");
}

/** Requests that were captured and not delivered, though they should have been. */
function lostRequests({ turns, dropped }: Account): number {
  return turns.dropped - dropped.limit;
}

/** Requests that were captured and not delivered (without those of --limit), and packets that the capture lost. */
export function lost(account: Account): number {
  const { lost, inert, abandoned, unread } = account.capture;
  return lostRequests(account) + lost + inert + abandoned + unread;
}

/** What the options of the user left out. */
function leftOut({ capture, dropped }: Account): string {
  const parts: [string, number][] = [
    ["requests (--limit)", dropped.limit],
    ["packets (-r, -g)", capture.unsampled],
  ];
  return parts
    .filter(([, count]) => count > 0)
    .map(([what, count]) => `${number(count)} ${what}`)
    .join(", ");
}

/** What each kind of packet that production drops is, in words. */
const INVALID: Record<keyof Account["invalid"], string> = {
  checksum: "with a wrong checksum",
  ...INVALID_REASONS,
};

/** Captured packets that production drops, so that they are not copied. */
function renderInvalid({ invalid }: Account): string {
  const kinds = Object.keys(INVALID) as (keyof Account["invalid"])[];
  const parts = kinds
    .filter((kind) => invalid[kind] > 0)
    .map((kind) => `${number(invalid[kind])} ${INVALID[kind]}`);
  return parts.length > 0 ? `packets that the service here never saw: ${parts.join(", ")}` : "";
}

/** What became of the packets of a recording. */
function renderTrace(trace: NonNullable<Account["trace"]>): string {
  const { packets, not_wanted, not_ip, outside, translated, malformed, snapped, fragments_incomplete } =
    trace;
  const { clock_steps, stray_stamps } = trace;
  const others: [number, string][] = [
    [not_wanted + not_ip, "of others"],
    [outside, "outside of --start and --end"],
    [translated, "of connections seen before and after translation"],
    [malformed, "malformed"],
    [snapped, "requests cut by the capture"],
    [fragments_incomplete, "datagrams with fragments missing"],
    [clock_steps, clock_steps === 1 ? "step of the clock" : "steps of the clock"],
    [stray_stamps, "with a time that fits none around them"],
  ];
  const parts = others.filter(([count]) => count > 0).map(([count, what]) => `${number(count)} ${what}`);
  return [`${number(packets)} packets in ${bytes(trace.bytes)}`, ...parts].join(", ");
}

function timesLost(count: number): string {
  return count === 0 ? "never lost" : `lost ${count === 1 ? "once" : `${number(count)} times`}`;
}

/** What became of the ways to the targets: `gone 2 times, for 7.1 s; moved once`. */
function renderWays({ gone, held_s, moved }: WayCounts): string {
  const times = (count: number) => (count === 1 ? "once" : `${number(count)} times`);
  const parts = [gone > 0 && `gone ${times(gone)}, for ${held_s} s`, moved > 0 && `moved ${times(moved)}`];
  return parts.filter(Boolean).join("; ");
}

type Spread = Account["lag_us"];

function spreadOf({ p50, p99 }: Spread): string {
  return `p50 ${duration(p50)}, p99 ${duration(p99)}`;
}

/** What the lag is made of. */
function partsOfLag({ own_us, answer_wait_us, connection_wait_us }: Account): string {
  const parts: [string, Spread][] = [
    ["xcopy's own", own_us],
    ["waiting for the target", answer_wait_us],
    ["waiting for a connection", connection_wait_us],
  ];
  return `of it ${parts.map(([what, times]) => `${what} ${spreadOf(times)}`).join("; ")}`;
}

/** What else became of connections, where it happened. */
function othersOf({ idle, displaced, half_open }: Account["sessions"]): string {
  const parts: [number, string][] = [
    [idle, "forgotten without a sign of life for -k"],
    [displaced, "idle ones ended to make room for others (see --max-sessions, --ports and -c)"],
    [half_open, "SYNs that no handshake followed"],
  ];
  return parts
    .filter(([count]) => count > 0)
    .map(([count, what]) => `; ${number(count)} ${what}`)
    .join("");
}

/** Names of the rows that are about TCP only. */
const OF_SESSIONS = new Set(["requests", "lost", "sessions", "packets", "lag", ""]);

/** The account for a person: a few aligned lines, then every kind of loss and what to do about it. */
export function renderSummary(account: Account): string {
  const { seconds, capture, sessions, turns, sent, lag_us, answer_us, cpu } = account;
  const per =
    turns.sent > 0 ? `, ${Math.round(((cpu.user + cpu.system) * 1e6) / turns.sent)} us a request` : "";
  const { copies = 1, overdue } = account;
  const missing = lostRequests(account);
  const rows: [name: string, text: string | false | undefined][] = [
    ["copies", copies > 1 && `${number(copies)} of each connection; every copy of a request counts`],
    [
      "requests",
      `${number(turns.captured)} captured, ${number(turns.sent)} sent, ${number(turns.answered)} answered`,
    ],
    [
      "lost",
      `${number(missing)} requests (${percent(missing, turns.captured)}), ${number(capture.lost)} packets`,
    ],
    ...closedRows(account),
    ["left out", leftOut(account)],
    ["passed", capture.forwarded > 0 && `${number(capture.forwarded)} packets to addresses of other hosts`],
    ["invalid", renderInvalid(account)],
    ["mptcp", renderMultipath(account) ?? undefined],
    ["workers", account.workers && renderWorkers(account.workers, turns.captured)],
    ["read", account.trace && renderTrace(account.trace)],
    ["overdue", overdue > 0 && `${number(overdue)} requests sent without an answer to the one before`],
    ["urgent", capture.urgent > 0 && `${number(capture.urgent)} packets with urgent data, sent in line`],
    [
      "sessions",
      `${number(sessions.opened)} opened, ${number(sessions.midstream)} began before, ${number(sessions.failed)} failed${othersOf(sessions)}`,
    ],
    [
      "packets",
      `${number(capture.packets)} captured (${bytes(capture.bytes)}), ${number(sent.packets)} sent (${bytes(sent.bytes)}), ${number(sent.retransmitted)} of them again`,
    ],
    [
      "return",
      account.intercepts &&
        `by ${account.intercepts.map(({ address, mode }) => `${address} (${mode ?? "never connected"})`).join(", ")}; ${timesLost(account.intercepts_lost ?? 0)}`,
    ],
    ["ways", account.ways && renderWays(account.ways)],
    ...(account.udp ? datagramRows(account.udp) : []),
    ...(account.mysql ? mysqlRows(account.mysql, number, duration) : []),
    ["spread", account.spread > 0 && `${number(account.spread)} late requests over other connections`],
    ["lag", `${spreadOf(lag_us)}, max ${duration(lag_us.max)}`],
    ["", lag_us.max > 0 && partsOfLag(account)],
    [
      "answers",
      answer_us.target.max > 0 &&
        !account.mysql &&
        `target ${spreadOf(answer_us.target)}${answer_us.production.max > 0 ? `; production ${spreadOf(answer_us.production)}` : ""}`,
    ],
    ["behind", renderLateness(account) ?? undefined],
    ...(account.comparison ? comparisonRows(account.comparison) : []),
    ["cost", `${cpu.user.toFixed(1)} s user, ${cpu.system.toFixed(1)} s system${per}, ${account.rss_mb} MB`],
  ];
  // Where only UDP was captured, rows about TCP are left out.
  const isShown = !account.udp || turns.captured > 0;
  const lines = [
    `copied for ${seconds} s, ${capture.source === "trace" ? "from recorded traffic" : `captured by ${capture.source}`}`,
  ];
  for (const [name, text] of rows)
    if (text && (isShown || !OF_SESSIONS.has(name))) lines.push(`  ${name.padEnd(8)}  ${text}`);
  const losses = lossesOf(account);
  if (losses.length > 0) lines.push("what was not copied:");
  for (const { count, what, advice } of losses) lines.push(`  ${number(count)} ${what}`, `    ${advice}`);
  return lines.join("\n");
}
