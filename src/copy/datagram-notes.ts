/** What a user should know who copies UDP: options that mean nothing for it, and QUIC, which cannot be replayed. */
import { DATAGRAM } from "../datagram/counters.ts";
import type { Log } from "../host/log.ts";
import { takeCounters } from "../runtime/shared.ts";
import type { DatagramShared } from "./data-plane/datagram-shared.ts";
import type { CopyOptions } from "./options.ts";

/** ms between two looks. */
const LOOK = 1000;

/** A line for each option that was given and says nothing about UDP. */
export function datagramNotes({ fullSessions, noWait, proxyProtocol, jitter, trace }: CopyOptions): string[] {
  const notes: [string, boolean, string][] = [
    ["-O", fullSessions, "a datagram belongs to no connection"],
    ["-W", noWait, "datagrams never wait for answers"],
    ["--proxy-protocol", proxyProtocol > 0, "there is no connection that it could open"],
    ["--jitter", jitter > 0, "all copies of a datagram go at once"],
    ["--users", trace.users > 0, "datagrams go as recorded"],
  ];
  return notes.flatMap(([option, isGiven, why]) =>
    isGiven ? [`${option} does not apply to UDP: ${why}.`] : [],
  );
}

const QUIC =
  "QUIC came in: its packets are copied as they are, and no target can read them, because it has not the keys of the connection. " +
  "Copy TCP to the port instead, or keep HTTP/3 off the service (Alt-Svc).";

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
