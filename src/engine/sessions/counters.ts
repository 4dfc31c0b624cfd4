/** The counters of the engine. */

import { SECURED, type SecuredName } from "./secured.ts";

/** Why a captured turn was not delivered whole: each reason has a counter. The texts are for the report. */
export const DROP_REASONS = {
  midstream: "the first turn of a session that began before xcopy: its start is unknown",
  refused: "target refused the connection",
  unreachable: "no response to the connection attempt",
  reset: "target reset the connection before it had taken the whole turn",
  moved: "the address to send from changed before the target had taken the whole turn",
  unanswered: "target did not answer within -t",
  gap: "bytes of the client are missing in the capture",
  mptcp: "of Multipath TCP connections that use several subflows, or parts of them",
  memory: "over the memory bound",
  limit: "over --limit",
  late: "older than --late allows",
  sessions: "over the bound of sessions",
  ports: "no free source port",
  protocol: "left out or given up by the protocol module",
  login: "of clients whose login production refused",
  undecided: "of clients of whom it is not known whether production let them in",
  ended: "not acknowledged by the target before the end of the run",
  worker: "the worker that had them died",
} as const;

export type DropReason = keyof typeof DROP_REASONS;

/** Why production's TCP did not take a captured packet: each reason has a counter. The texts are for the report. */
export const INVALID_REASONS = {
  flags: "without an ACK flag, or with flags that exclude each other",
  acknowledgement: "acknowledging what was never sent, or much less than before (RFC 5961)",
  reset: "RST off the next expected byte (RFC 5961)",
  timestamp: "older by their timestamp than what came before (PAWS, RFC 7323)",
  signature: "signed in a connection that is not, or not signed in one that is (TCP-MD5, TCP-AO)",
} as const;

export type InvalidReason = keyof typeof INVALID_REASONS;

/**
 * Everything the engine counts. A counter only grows, except `active`, `turnsPending`, `memory` and what `Engine.look` sets;
 * `turnsSent`, `turnsAnswered` and `turnsOutOfContext` become smaller when a turn that was counted turns out to be longer or not delivered.
 */
export const ENGINE_COUNTERS = [
  /** Captured packets with nothing new (retransmissions, keep-alives, the same packet on a second interface). */
  "repeated",
  /** Captured packets that belong to no session (FIN, RST or ACK of an unknown connection). */
  "stray",
  /** Captured packets with urgent data, which is sent as ordinary data. */
  "urgent",
  /** SYNs that no handshake followed: nothing was opened for them. */
  "halfOpen",
  /** Subflows that joined a connection of Multipath TCP; such connections whose copy ended because data took another subflow. */
  "mptcp.joined",
  "mptcp.incomplete",
  "opened",
  "midstream",
  "established",
  "active",
  "closed",
  "resetSessions",
  "failed",
  "reconnected",
  /** Connections that the target closed although production's service kept them open. */
  "closedByTarget",
  "shed",
  /** Sessions without a sign of life for -k; sessions that made room for others: they had been idle longest. */
  "idle",
  "displaced",
  "turnsCaptured",
  "turnsSent",
  "turnsAnswered",
  /** Of those sent: on a connection that replaced one, so that the target does not know what came before. */
  "turnsOutOfContext",
  "turnsDropped",
  "turnsPending",
  /** Turns without an answer within --turn-timeout: the next turn is sent without it. */
  "turnsOverdue",
  /** Late turns that went over another connection of the same client. */
  "turnsSpread",
  /** Turns that wait to be sent; of these, how many wait for a connection; and us since the oldest of them was due. */
  "waiting",
  "waitingForConnection",
  "behind",
  /** Sessions whose protocol module failed: a bug in it. */
  "protocolFailures",
  "retransmitted",
  "responsePackets",
  "responseBytes",
  /** Bytes in use now: pages of payload and descriptors. */
  "memory",
  ...(Object.keys(SECURED) as SecuredName[]).map((name) => `secured.${name}` as const),
  ...(Object.keys(INVALID_REASONS).map((reason) => `invalid.${reason}`) as `invalid.${InvalidReason}`[]),
  ...(Object.keys(DROP_REASONS).map((reason) => `dropped.${reason}`) as `dropped.${DropReason}`[]),
] as const;

export type EngineCounter = (typeof ENGINE_COUNTERS)[number];

/** Index of each counter in the engine's Float64Array. */
export const COUNTER = Object.fromEntries(ENGINE_COUNTERS.map((name, index) => [name, index])) as Record<
  EngineCounter,
  number
>;
