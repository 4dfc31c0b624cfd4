/** Notes for users who copy UDP: options without effect on it, and QUIC, which no target can read. */
import { DATAGRAM } from "../datagram/counters.ts";
import type { Log } from "../host/log/log.ts";
import { takeCounters } from "../runtime/shared.ts";
import type { DatagramShared } from "./data-plane/datagram-shared.ts";
import type { CopyOptions } from "./options.ts";

/** ms between two looks. */
const LOOK = 1000;

/** A line for each option that was given and does not apply to UDP. */
export function datagramNotes(options: CopyOptions): string[] {
  const { fullSessions, noWait, pace, late, proxyProtocol, jitter, trace } = options;
  const notes: [string, boolean, string][] = [
    ["-O", fullSessions, "a datagram belongs to no connection"],
    ["-W", noWait, "datagrams never wait for responses"],
    [`--pace ${pace}`, pace !== "clock", "datagrams never wait for responses"],
    ["--late", late !== null, "datagrams never wait for responses"],
    ["--proxy-protocol", proxyProtocol > 0, "there is no connection that it could open"],
    ["--jitter", jitter > 0, "all copies of a datagram go at once"],
    ["--users", trace.users > 0, "datagrams go as recorded"],
  ];
  return notes.flatMap(([option, isGiven, why]) =>
    isGiven ? [`${option} does not apply to UDP: ${why}.`] : [],
  );
}

const QUIC =
  "QUIC packets were captured: they are copied as they are, but no target can read them without the keys of the connection. " +
  "Copy TCP of this port instead, or turn HTTP/3 off in the service (Alt-Svc).";

/** Says once that QUIC was captured; returns what ends it. */
export function watchQuic(workers: readonly DatagramShared[], log: Log): () => void {
  let isSaid = false;
  const look = () => {
    if (isSaid || !workers.some((shared) => takeCounters(shared)[DATAGRAM.quic]! > 0)) return;
    isSaid = true;
    log.warn(QUIC);
  };
  const timer = setInterval(look, LOOK);
  return () => {
    clearInterval(timer);
    look();
  };
}
