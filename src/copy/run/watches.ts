/** What is looked at while a copy runs, to tell its user what he should know. */
import { forwardedNote, watchForwarded } from "../../host/forwarded.ts";
import { localTest } from "../../host/local-addresses.ts";
import type { Log } from "../../host/log/log.ts";
import type { Account } from "../account/account.ts";
import type { DatagramShared } from "../data-plane/datagram-shared.ts";
import { watchQuic } from "../datagram-notes.ts";
import type { RequestInput } from "../input.ts";
import { watchPauses } from "../notes/pauses.ts";
import { watchSilence } from "../notes/silence.ts";
import { watchClosed } from "../watch-closed.ts";
import { watchLateness } from "../watch-lateness.ts";
import type { RunningCopy } from "./running.ts";

/** Looks from now on, until what it returns is called. */
export function watchCopy(
  source: RequestInput,
  current: RunningCopy["current"],
  datagrams: readonly DatagramShared[],
  take: () => Account,
  log: Log,
): () => Promise<void> {
  const { plan, options } = current;
  const ends: (() => void)[] = [
    watchQuic(datagrams, log),
    watchForwarded(() => forwardedNote(source.counts(), source.forwarded()), log),
    watchLateness(take, current, log),
    watchClosed(take, log),
  ];
  if (source.trace) ends.push(watchPauses(take, options.trace.longestGap, log));
  const endSilence = source.trace
    ? null
    : watchSilence(
        // What only passed through is told by itself.
        () => source.counts().packets + (source.counts().forwarded ?? 0),
        plan.services,
        () => source.description,
        localTest(),
        log,
      );
  return async () => {
    for (const end of ends) end();
    await endSilence?.();
  };
}
