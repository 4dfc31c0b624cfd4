/** The summary of a run of `xcopy copy`: its account for people. */
import { INVALID_REASONS } from "../../engine/sessions/counters.ts";
import { bytes, duration, number, percent } from "../../runtime/figures.ts";
import type { WayCounts } from "../ways/way.ts";
import type { Account } from "./account.ts";
import { closedRows } from "./closed.ts";
import { comparisonRows } from "./comparison.ts";
import { datagramRows } from "./datagrams.ts";
import { renderLateness } from "./lateness.ts";
import { lossesOf, lostRequests } from "./losses.ts";
import { renderMultipath } from "./mptcp.ts";
import { mysqlRows } from "./mysql.ts";
import { renderWorkers } from "./worker-account.ts";

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
    ["overdue", overdue > 0 && `${number(overdue)} requests sent without a response to the one before`],
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
