/**
 * Runs xcopy from its source with workers that can be killed one by one: a worker whose `FILE.N` (N from 0, in the order of
 * their start) appears throws; if it says "exit" its thread is gone without a word, if it says "hang" it stands still.
 * usage: MORTAL=FILE bun mortal.ts WORD...
 */
import { join } from "node:path";

const SOURCE = join(import.meta.dir, "../../src");
const words = process.argv.slice(2);
const OriginalWorker = globalThis.Worker;
let started = 0;

globalThis.Worker = class extends OriginalWorker {
  constructor(url: string | URL, options?: WorkerOptions) {
    super(
      join(import.meta.dir, "mortal-worker.ts"),
      `${url}`.endsWith("/copy/data-plane/thread.ts")
        ? { ...options, env: { ...process.env, MORTAL: `${process.env.MORTAL}.${started++}` } }
        : options,
    );
  }
} as typeof Worker;

process.argv.splice(1, Number.POSITIVE_INFINITY, join(SOURCE, "main.ts"), ...words);
await import("../../src/main.ts");
