/** Publishes rounds in which all counters have the same value, as fast as it can. */
import { createCounters, viewShared } from "../../src/copy/data-plane/shared.ts";
import { publish } from "../../src/runtime/shared.ts";

declare const self: Worker;

self.onmessage = (event: MessageEvent<SharedArrayBuffer>): void => {
  const shared = viewShared(event.data);
  const counters = createCounters();
  for (let round = 1; round <= 100_000; round++) {
    counters.fill(round);
    publish(shared, counters);
  }
  self.postMessage("done");
};
