/** The status line of `xcopy copy` while it runs. */
import { duration } from "../../runtime/figures.ts";
import type { Account } from "./account.ts";
import { comparisonWords } from "./comparison.ts";
import type { DatagramAccount } from "./datagrams.ts";
import { renderLateness, renderPause } from "./lateness.ts";
import { lost } from "./losses.ts";

/**
 * `captured 1,200  sent 1,200  answered 1,199  lost 0  lag 0.3 ms`: counts of requests, the lag that 99 % do not exceed.
 * After `lost` comes what --limit left out, if anything, and with --compare what was compared; after the lag how far the copy is behind production, and why.
 */
export function renderStatus(account: Account): string {
  const { turns, dropped, lag_us, udp, workers = [] } = account;
  const pause = renderPause(account.next_request ?? 0);
  const waiting = pause === null ? [] : [pause];
  const compared = account.comparison ? comparisonWords(account.comparison) : [];
  if (udp && turns.captured === 0)
    return [...progress(account), renderDatagrams(udp), ...compared, ...waiting].join("  ");
  const counts: [string, number][] = [
    ["captured", turns.captured],
    ["sent", turns.sent],
    ["answered", turns.answered],
    ["lost", lost(account)],
  ];
  if (dropped.limit > 0) counts.push(["left out", dropped.limit]);
  if (account.sessions.closed_by_target > 0)
    counts.push(["closed by the target", account.sessions.closed_by_target]);
  const words = counts.map(([name, count]) => `${name} ${count.toLocaleString("en-US")}`);
  const died = workers.filter((worker) => worker.died).length;
  if (died > 0) words.push(`workers ${workers.length - died} of ${workers.length}`);
  words.push(...compared, `lag ${duration(lag_us.p99)}`);
  const lateness = renderLateness(account);
  words.push(...waiting);
  if (lateness !== null) words.push(`behind ${duration(account.behind * 1e6)}  (${lateness})`);
  return [...progress(account), ...words, ...(udp ? [renderDatagrams(udp)] : [])].join("  ");
}

/** `udp captured 1,200  sent 1,200  answered 1,199  lost 0  lag 0.3 ms`. */
function renderDatagrams({ datagrams, dropped, lag_us }: DatagramAccount): string {
  const counts: [string, number][] = [
    ["udp captured", datagrams.captured],
    ["sent", datagrams.sent],
    ["answered", datagrams.answered],
    ["lost", datagrams.dropped - dropped.limit],
  ];
  const words = counts.map(([name, count]) => `${name} ${count.toLocaleString("en-US")}`);
  return [...words, `lag ${duration(lag_us.p99)}`].join("  ");
}

/** `read 42 %` and `3 min left`, as far as they are known; only for recordings. */
function progress({ trace, seconds }: Account): string[] {
  if (!trace || trace.bytes_total === 0) return [];
  const share = Math.min(1, trace.bytes / trace.bytes_total);
  const percent = `read ${Math.floor(share * 100)} %`;
  if (share === 0 || share === 1 || seconds < 1) return [percent];
  return [percent, `${time((seconds * (1 - share)) / share)} left`];
}

/** `45 s`, `12 min`, `3.5 h`. */
function time(seconds: number): string {
  if (seconds < 90) return `${Math.round(seconds)} s`;
  return seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}
