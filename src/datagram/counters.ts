/** The counters of the datagram replay. */

/** Why a captured datagram was not sent: each reason has a counter. The texts are for the report. */
export const DATAGRAM_DROP_REASONS = {
  group: "sent to a broadcast or multicast address",
  malformed: "lengths that contradict each other",
  cut: "cut by the capture",
  oversize: "larger than a packet to the target may be",
  ports: "no free source port",
  flows: "over the bound of flows",
  limit: "over --limit",
  held: "no intercept would have caught the response",
} as const;

export type DatagramDropReason = keyof typeof DATAGRAM_DROP_REASONS;

/**
 * Everything that is counted about datagrams. A counter only grows, except `flowsActive` and `waiting`. Each copy counts:
 * captured = sent + the sum of dropped, sent = answered + unanswered + waiting.
 */
export const DATAGRAM_COUNTERS = [
  "captured",
  "sent",
  /** Sent in more than one packet. */
  "fragmented",
  "answered",
  "unanswered",
  "waiting",
  "flowsOpened",
  "flowsActive",
  /** Flows removed before they were idle for long enough, because another flow needed the row or the port. */
  "flowsEvicted",
  "responses",
  "responseBytes",
  /** Responses that belong to no flow. */
  "strayResponses",
  /** ICMP messages of a target that nothing listens on the port. */
  "refused",
  /** Captured packets with a QUIC long header (RFC 8999): QUIC cannot be replayed. */
  "quic",
  /** Captured fragments; datagrams given up because fragments were missing, or overlapped. */
  "fragments",
  "fragmentsIncomplete",
  "fragmentsOverlapping",
  /** Reassembled datagrams with a wrong checksum, which production drops. */
  "checksumErrors",
  /** Reassembled datagrams that -r or -g leaves out. */
  "unsampled",
  "sentPackets",
  "sentBytes",
  "sendErrors",
  "lagMax",
  "latencyMax",
  ...(Object.keys(DATAGRAM_DROP_REASONS).map(
    (reason) => `dropped.${reason}`,
  ) as `dropped.${DatagramDropReason}`[]),
] as const;

export type DatagramCounter = (typeof DATAGRAM_COUNTERS)[number];

/** Index of each counter in the Float64Array of a worker. */
export const DATAGRAM = Object.fromEntries(DATAGRAM_COUNTERS.map((name, index) => [name, index])) as Record<
  DatagramCounter,
  number
>;
