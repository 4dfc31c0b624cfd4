/** A thread that writes pairs as fast as it can. */
import { PairWriter } from "../../src/pairs/ring.ts";

declare const self: Worker;

self.onmessage = ({
  data: { memory, total },
}: MessageEvent<{ memory: SharedArrayBuffer; total: number }>) => {
  const writer = new PairWriter(memory);
  for (let at = 0; at < total; at++) {
    writer.take({
      protocol: "http",
      outcome: "compared",
      service: 0,
      copy: 0,
      path: 0,
      at,
      method: "GET",
      name: `/${at}`,
      request: new Uint8Array(at % 300),
      requestBody: null,
      production: null,
      target: null,
    });
  }
  postMessage("done");
};
