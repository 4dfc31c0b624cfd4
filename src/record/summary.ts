/** The account of `xcopy record`: the JSON object, the status line, and the summary for people. */
import type { KernelStats } from "../capture/counters.ts";
import { bytes, number, type ProcessUse, percent } from "../runtime/figures.ts";
import { takeCounters } from "../runtime/shared.ts";
import { RECORD_INDEX, type RecordCounter, type RecordShared } from "./shared.ts";

/** How a record ends: by a signal, by -c, --duration or --limit-bytes, or because it cannot go on. */
export type RecordEnd = "signal" | "count" | "duration" | "limit" | "error";

/** What is known beside the counters. */
export interface RecordFacts {
  source: string;
  /** Paths of the first file and of the last. */
  first: string;
  last: string;
  /** Null while it goes on. */
  ended: RecordEnd | null;
}

export type RecordAccount = ReturnType<typeof takeRecordAccount>;

/** Everything counted since the start, `seconds` ago. */
export function takeRecordAccount(
  seconds: number,
  shared: RecordShared,
  stats: KernelStats,
  use: ProcessUse,
  { source, first, last, ended }: RecordFacts,
) {
  const counters = takeCounters(shared);
  const count = (name: RecordCounter) => counters[RECORD_INDEX[name]]!;
  return {
    seconds: Math.round(seconds * 10) / 10,
    ended,
    capture: {
      source,
      packets: stats.requestsCaptured,
      bytes: stats.requestBytes,
      lost: stats.requestRingFull + stats.oversize,
      pure_acks: stats.pureAcks,
      duplicates: stats.duplicates,
      fragments: stats.fragments,
      oversize: stats.oversize,
      unreadable: stats.unreadable,
      inert: stats.inert,
      unsampled: stats.unsampled,
      forwarded: stats.forwarded,
      own_mark: stats.ownMark,
    },
    responses: {
      packets: stats.outgoingCaptured,
      bytes: stats.outgoingBytes,
      lost: stats.outgoingRingFull,
    },
    written: {
      packets: count("written"),
      responses: count("outgoing"),
      bytes: count("fileBytes"),
      files: count("files"),
      first,
      last,
      /** Taken from the rings and not in a file yet; lost if the file could not be written. */
      pending: count("packets") - count("written"),
      /** Still in the rings: to be written, or beyond a limit. */
      left: stats.requestsCaptured + stats.outgoingCaptured - count("packets"),
    },
    cpu: { user: use.user / 1e6, system: use.system / 1e6 },
    rss_mb: Math.round(use.rss / 1e5) / 10,
  };
}

/** Packets that should be in a file and are not. */
function lostPackets({ capture, responses, written, ended }: RecordAccount): number {
  return (
    capture.lost + responses.lost + capture.inert + (ended === "error" ? written.pending + written.left : 0)
  );
}

/** `captured 1,200  written 1,200  lost 0  3.4 MB in 2 files`. */
export function renderRecordStatus(account: RecordAccount): string {
  const { capture, responses, written } = account;
  const files = written.files === 1 ? "1 file" : `${number(written.files)} files`;
  return [
    `captured ${number(capture.packets + responses.packets)}`,
    `written ${number(written.packets)}`,
    `lost ${number(lostPackets(account))}`,
    `${bytes(written.bytes)} in ${files}`,
  ].join("  ");
}

const ENDS: Record<RecordEnd, string> = {
  signal: "",
  count: ", ended by -c",
  duration: ", ended by --duration",
  limit: ", ended by --limit-bytes",
  error: ", ended by an error",
};

/** The account for a person: a few aligned lines, then every kind of loss and what to do about it. */
export function renderRecordSummary(account: RecordAccount): string {
  const { seconds, ended, capture, responses, written, cpu } = account;
  const captured = capture.packets + responses.packets;
  const lost = lostPackets(account);
  const found = captured + capture.lost + responses.lost + capture.inert;
  const per = captured > 0 ? `, ${(((cpu.user + cpu.system) * 1e6) / captured).toFixed(1)} us a packet` : "";
  const names = written.files > 1 ? `${written.first} to ${written.last}` : written.last;
  const rows: [name: string, text: string | false][] = [
    [
      "packets",
      `${number(captured)} captured (${bytes(capture.bytes + responses.bytes)}), ${number(written.packets)} written`,
    ],
    ["responses", responses.packets > 0 && `${number(responses.packets)} of the packets`],
    ["lost", `${number(lost)} packets (${percent(lost, found)})`],
    ["left out", capture.unsampled > 0 && `${number(capture.unsampled)} packets (-r)`],
    ["passed", capture.forwarded > 0 && `${number(capture.forwarded)} packets to addresses of other hosts`],
    ["pure ACKs", capture.pure_acks > 0 && `${number(capture.pure_acks)} left out`],
    ["files", `${number(written.files)}, ${bytes(written.bytes)}: ${names}`],
    ["cost", `${cpu.user.toFixed(1)} s user, ${cpu.system.toFixed(1)} s system${per}, ${account.rss_mb} MB`],
  ];
  const lines = [`recorded for ${seconds} s, captured by ${capture.source}${ended ? ENDS[ended] : ""}`];
  for (const [name, text] of rows) if (text) lines.push(`  ${name.padEnd(9)}  ${text}`);
  const losses: [count: number, what: string, advice: string][] = [
    [
      capture.lost - capture.oversize + responses.lost,
      "packets found no room in the rings",
      "raise -B if this happens in bursts; else write to a faster disk, record less (-r, --snaplen), or give xcopy more CPU",
    ],
    [
      ended === "error" ? written.pending + written.left : 0,
      "packets were captured when a file could not be written",
      "see the message above",
    ],
    [capture.inert, "packets passed while xcopy was stopped", "find out what stopped it for more than 2 s"],
    [
      capture.oversize,
      "packets were larger than this way of capture takes",
      "capture by tcx or clsact, which take all",
    ],
    [capture.unreadable, "packets were shorter than their headers say", "none: they were broken"],
    [
      capture.fragments,
      "IP fragments were not looked at",
      "avoid fragments on the way to this host: check the MTU",
    ],
  ];
  const there = losses.filter(([count]) => count > 0);
  if (there.length > 0) lines.push("what was not recorded:");
  for (const [count, what, advice] of there) lines.push(`  ${number(count)} ${what}`, `    ${advice}`);
  return lines.join("\n");
}
