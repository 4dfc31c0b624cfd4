/** The end of a packet's way: batches go to their injectors, and the lag of each request ends. */
import type { Injector } from "../../inject/injector.ts";
import { monotonicMicroseconds } from "../../native/libc.ts";
import { record } from "../../runtime/histogram.ts";
import type { PacketBatch } from "../../wire/batch.ts";
import { INDEX, type Shared } from "./shared.ts";

/** Hands every batch to its injector, and counts; the lag of a row ends when the kernel has taken it. */
export function sendAll(
  batches: PacketBatch[],
  injectors: Injector[],
  counters: Float64Array,
  { lag, connectionWait, answerWait, own }: Shared["histograms"],
): void {
  for (let i = 0; i < batches.length; i++) {
    const batch = batches[i]!;
    const injector = injectors[i]!;
    if (batch.count > 0) {
      injector.send(batch);
      const sentAt = monotonicMicroseconds();
      for (let row = 0; row < batch.count; row++) {
        const due = batch.due[row]!;
        if (due === 0) continue;
        const connected = batch.connected[row]!;
        const ready = batch.ready[row]!;
        record(lag, sentAt - due);
        record(connectionWait, connected - due);
        record(answerWait, ready - connected);
        record(own, sentAt - ready);
        if (sentAt - due > counters[INDEX.lagMax]!) counters[INDEX.lagMax] = sentAt - due;
        if (sentAt - ready > counters[INDEX.ownMax]!) counters[INDEX.ownMax] = sentAt - ready;
      }
      batch.clear();
    }
  }
  countSent(injectors, counters, INDEX);
}

/** Notes what the injectors have sent since the start, all together, in `counters` at the places of `index`. */
export function countSent(
  injectors: readonly Injector[],
  counters: Float64Array,
  index: Readonly<Record<"sentPackets" | "sentBytes" | "sendErrors", number>>,
): void {
  let packets = 0;
  let bytes = 0;
  let errors = 0;
  for (let i = 0; i < injectors.length; i++) {
    packets += injectors[i]!.packets;
    bytes += injectors[i]!.bytes;
    errors += injectors[i]!.errors;
  }
  counters[index.sentPackets] = packets;
  counters[index.sentBytes] = bytes;
  counters[index.sendErrors] = errors;
}
