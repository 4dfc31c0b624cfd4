/** Why a captured turn was not delivered whole. Each has a counter of its own; the text is for people. */
export const DROP_REASONS = {
  midstream: "began before xcopy, first turn of unknown start",
  refused: "target refused the connection",
  unreachable: "no answer to the connection attempt",
  reset: "target closed the connection in the middle",
  unanswered: "target did not answer within -t",
  gap: "bytes of the client are missing in the capture",
  memory: "over the memory bound",
  limit: "over --limit",
  sessions: "over the bound of sessions",
  ports: "no free source port",
  protocol: "left out or given up by the protocol module",
  ended: "not acknowledged by the target before the end of the run",
  worker: "the worker that had them died",
} as const;

export type DropReason = keyof typeof DROP_REASONS;

/**
 * Everything the engine counts. A counter only grows, but for `active`, `pending` and, when more bytes of a
 * turn come that was counted already, `sent`.
 */
export const ENGINE_COUNTERS = [
  /** Captured packets that carried what was known already (retransmissions, keep-alives, a second interface). */
  "repeated",
  /** Captured packets that belong to no session (FIN, RST or ACK of a connection never seen). */
  "stray",
  /** Captured packets with urgent data; it is sent in line. */
  "urgent",
  "opened",
  "midstream",
  "established",
  "active",
  "closed",
  "resetSessions",
  "failed",
  "reconnected",
  "shed",
  "turnsCaptured",
  "turnsSent",
  "turnsAnswered",
  "turnsDropped",
  "turnsPending",
  /** Turns that went on although the turn before had no answer yet (--turn-timeout). */
  "turnsOverdue",
  /** Sessions whose protocol module failed: a bug in it. */
  "protocolFailures",
  "retransmitted",
  "responsePackets",
  "responseBytes",
  /** Bytes of arena and descriptors in use. */
  "memory",
  ...(Object.keys(DROP_REASONS).map((reason) => `dropped.${reason}`) as `dropped.${DropReason}`[]),
] as const;

export type EngineCounter = (typeof ENGINE_COUNTERS)[number];

/** Index of each counter in the engine's Float64Array. */
export const COUNTER = Object.fromEntries(ENGINE_COUNTERS.map((name, index) => [name, index])) as Record<
  EngineCounter,
  number
>;
