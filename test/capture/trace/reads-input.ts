/**
 * Reads a trace from standard input; run as `bun reads-input.ts [stop]`. Prints the sequence number of every request as
 * it comes, then what was counted; with `stop` it stops at the first.
 */
import { startTraceReader } from "../../../src/capture/trace/start.ts";
import { TraceRing } from "../../../src/capture/trace/trace-ring.ts";
import { optionsFor } from "./read.ts";

const reader = startTraceReader(optionsFor(["-"]), console.error);
await reader.ready;
const ring = new TraceRing(reader.memory);
while (!ring.isEnd) {
  const count = ring.drain((packet) => console.log(packet.seq), 10);
  if (count > 0 && process.argv[2] === "stop") reader.stop();
  if (count === 0) await Bun.sleep(1);
}
const failures = await reader.ended;
const { packets } = reader.counters();
console.log(JSON.stringify({ packets, failures: failures.map(({ message }) => message) }));
process.exit();
