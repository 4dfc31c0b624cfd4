/** Why a captured datagram was not sent. Each has a counter of its own; the text is for people. */
export const DATAGRAM_DROP_REASONS = {
  group: "to a broadcast or multicast address, which have no one client",
  malformed: "lengths that contradict each other",
  cut: "cut by the capture",
  oversize: "larger than a packet to the target may be",
  ports: "no free source port",
  flows: "over the bound of flows",
  limit: "over --limit",
  held: "nobody would have caught the answer",
} as const;

export type DatagramDropReason = keyof typeof DATAGRAM_DROP_REASONS;

/**
 * Everything that is counted about datagrams. A counter only grows, but for `active` and `waiting`. Each copy counts:
 * captured is sent + the sum of dropped, sent is answered + unanswered + waiting.
 */
export const DATAGRAM_COUNTERS = [
  "captured",
  "sent",
  /** In more than one packet. */
  "fragmented",
  "answered",
  "unanswered",
  "waiting",
  "flowsOpened",
  "flowsActive",
  /** Given up for others, before their time. */
  "flowsEvicted",
  "responses",
  "responseBytes",
  /** Responses to no flow that is known. */
  "strayResponses",
  /** The target said that nothing listens there. */
  "refused",
  /** Long headers of QUIC (RFC 8999), which cannot be replayed. */
  "quic",
  /** Fragments that were captured, and what became of datagrams that were not put together. */
  "fragments",
  "fragmentsIncomplete",
  "fragmentsOverlapping",
  /** Datagrams of -r and -g, that were put together first. */
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
