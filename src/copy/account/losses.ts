/** What was not copied, why, and what to do about each kind of loss. */
import { DROP_REASONS, type DropReason } from "../../engine/sessions/counters.ts";
import { type Loss, number } from "../../runtime/figures.ts";
import type { Account } from "./account.ts";
import { datagramLosses } from "./datagrams.ts";
import { MULTIPATH_ADVICE } from "./mptcp.ts";

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
  undecided: "capture the interfaces by which production's responses leave too, or give --trust-logins",
  ports: "add addresses with -c, ports with --ports, or a larger part of them with -f",
  late: "see why the target is slower than the service here; --late says what becomes of late requests",
  ended: "raise --drain",
  worker: "report this: no worker should ever die",
};

/** Every kind of loss that occurred. */
export function lossesOf(account: Account): Loss[] {
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
      what: "packets of production's responses found no room in the rings: nobody knows what it answered there",
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
      what: "packets of responses found no room (and were sent again, where they are of TCP)",
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
export function lostRequests({ turns, dropped }: Account): number {
  return turns.dropped - dropped.limit;
}

/** Requests that were captured and not delivered (without those of --limit), and packets that the capture lost. */
export function lost(account: Account): number {
  const { lost, inert, abandoned, unread } = account.capture;
  return lostRequests(account) + lost + inert + abandoned + unread;
}
