/** The account of UDP: the section `udp` of the JSON object, and its lines of the summary. */
import {
  DATAGRAM,
  DATAGRAM_DROP_REASONS,
  type DatagramCounter,
  type DatagramDropReason,
} from "../../datagram/counters.ts";
import { bytes, duration, type Loss, number, percent } from "../../runtime/figures.ts";
import { merged, spread } from "../../runtime/histogram.ts";
import { takeCounters } from "../../runtime/shared.ts";
import type { DatagramShared } from "../data-plane/datagram-shared.ts";

export type DatagramAccount = ReturnType<typeof accountOfDatagrams>;

const REASONS = Object.keys(DATAGRAM_DROP_REASONS) as DatagramDropReason[];

/** Everything counted about datagrams since the start; each copy counts as a datagram of its own. */
export function accountOfDatagrams(workers: readonly DatagramShared[]) {
  const counters = totalOf(workers.map(takeCounters));
  const count = (name: DatagramCounter) => counters[DATAGRAM[name]]!;
  const reasons = REASONS.map((reason) => [reason, count(`dropped.${reason}`)] as const);
  return {
    flows: { opened: count("flowsOpened"), active: count("flowsActive"), evicted: count("flowsEvicted") },
    datagrams: {
      captured: count("captured"),
      sent: count("sent"),
      answered: count("answered"),
      unanswered: count("unanswered"),
      waiting: count("waiting"),
      dropped: reasons.reduce((sum, [, dropped]) => sum + dropped, 0),
    },
    dropped: Object.fromEntries(reasons) as Record<DatagramDropReason, number>,
    fragments: {
      captured: count("fragments"),
      incomplete: count("fragmentsIncomplete"),
      overlapping: count("fragmentsOverlapping"),
      checksum_errors: count("checksumErrors"),
      unsampled: count("unsampled"),
    },
    sent: {
      packets: count("sentPackets"),
      bytes: count("sentBytes"),
      fragmented: count("fragmented"),
      errors: count("sendErrors"),
    },
    responses: {
      datagrams: count("responses"),
      bytes: count("responseBytes"),
      stray: count("strayResponses"),
      refused: count("refused"),
    },
    quic: count("quic"),
    latency_us: spread(merged(workers.map(({ latency }) => latency)), count("latencyMax")),
    lag_us: spread(merged(workers.map(({ lag }) => lag)), count("lagMax")),
  };
}

/** Counters whose total is the largest value of a worker, not the sum. */
const LARGEST: number[] = [DATAGRAM.lagMax, DATAGRAM.latencyMax];

/** The counters of all workers. */
function totalOf(all: readonly Float64Array[]): Float64Array {
  return all.reduce((total, counters) =>
    total.map((value, index) =>
      LARGEST.includes(index) ? Math.max(value, counters[index]!) : value + counters[index]!,
    ),
  );
}

/** Lines of the summary. */
export function datagramRows({ datagrams, flows, sent, latency_us, lag_us, dropped }: DatagramAccount) {
  const lost = datagrams.dropped - dropped.limit;
  const unanswered = datagrams.unanswered + datagrams.waiting;
  const rows: [name: string, text: string | false][] = [
    [
      "udp",
      `${number(datagrams.captured)} captured, ${number(datagrams.sent)} sent, ${number(datagrams.answered)} answered, ${number(unanswered)} unanswered`,
    ],
    ["udp lost", `${number(lost)} datagrams (${percent(lost, datagrams.captured)})`],
    [
      "udp sent",
      `${number(sent.packets)} packets (${bytes(sent.bytes)}) on ${number(flows.opened)} flows, ${number(sent.fragmented)} datagrams in fragments`,
    ],
    [
      "udp time",
      `lag p50 ${duration(lag_us.p50)}, p99 ${duration(lag_us.p99)}; responses p50 ${duration(latency_us.p50)}, p99 ${duration(latency_us.p99)}`,
    ],
  ];
  return rows;
}

/** What to do about a loss, by reason; --limit is no loss, as the user asked for it. */
const ADVICE: Record<Exclude<DatagramDropReason, "limit">, string> = {
  group: "none needed: only what is sent to one host is copied",
  malformed: "look at the clients: their packets are broken",
  cut: "raise -S",
  oversize: "leave --no-fragment out, or raise -M",
  ports: "add addresses with -c, ports with --ports, or a larger part of them with -f",
  flows: "raise --max-sessions",
  held: "find out why the intercept was not connected",
};

/** Every kind of loss, also those with the count 0. */
export function datagramLosses(account: DatagramAccount | undefined): Loss[] {
  if (!account) return [];
  const { dropped, fragments, sent } = account;
  return [
    ...(Object.keys(ADVICE) as (keyof typeof ADVICE)[]).map((reason) => ({
      count: dropped[reason],
      what: `datagrams: ${DATAGRAM_DROP_REASONS[reason]}`,
      advice: ADVICE[reason],
    })),
    {
      count: fragments.incomplete,
      what: "datagrams in fragments were never complete (also of services that are not copied)",
      advice: "see the packets lost in the capture above",
    },
    {
      count: fragments.overlapping,
      what: "datagrams in fragments that overlap (RFC 5722)",
      advice: "look at the clients: overlapping fragments come from faulty or hostile hosts",
    },
    {
      count: fragments.checksum_errors,
      what: "datagrams in fragments had a wrong checksum",
      advice: "none needed: the service here did not get them",
    },
    {
      count: sent.errors,
      what: "packets with datagrams could not be sent",
      advice: "check the interface towards the target",
    },
  ];
}
