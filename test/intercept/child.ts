/** An intercept in its network namespace: attaches, says so and stays; SIGTERM is its orderly end. */
import type { InterceptHook, InterceptMode } from "../../src/intercept/kernel.ts";
import { loadFilter } from "./filter.ts";
import { loadForTest } from "./load.ts";

const [hook, mode, linger, ...ifindexes] = process.argv.slice(2);
const { kernel, learned, beat } = loadForTest({
  hook: hook as InterceptHook,
  mode: mode as InterceptMode,
  linger: Number(linger),
});
const filter =
  mode === "assistant" ? loadFilter(hook === "xdp" ? "xdp" : "tc", kernel.swallowProgram) : undefined;
kernel.attach(ifindexes.map(Number), filter);
process.on("SIGTERM", () => {
  console.log(kernel.detach() ? "lingers" : "gone");
  process.exit(0);
});
beat();
setInterval(beat, 500);
setInterval(() => {
  if (learned.count() > 0) console.log("learned");
}, 10);
console.log("attached");
