/** The main thread's side of the data plane: starts its worker thread, tells it to drain or stop. */
import { prepareNext, stopWaiting, whenTaken } from "../../native/page.ts";
import { entryOf } from "../../runtime/entries.ts";
import { publishData } from "../../runtime/published.ts";
import { DRAIN, STOP } from "../../runtime/shared.ts";
import { type CreatedThread, createThread, startThread } from "../../runtime/thread.ts";
import type { NewsTaken, PlaneNews } from "../changes/news.ts";
import type { WaysTaken } from "../ways/take.ts";
import type { DataPlaneConfig } from "./config.ts";
import type { InterceptState } from "./intercepts.ts";
import type { PlaneEvent } from "./loop.ts";
import type { Findings } from "./preflight.ts";
import { viewShared } from "./shared.ts";

export interface DataPlane {
  /** Resolves when the loop runs and the preflight is over (within seconds); rejects if it could not start. */
  ready: Promise<Findings>;
  /** Resolves when the loop has ended, rejects with the error if the worker died. */
  ended: Promise<void>;
  /** Takes no new turns, finishes what is in flight for at most `ms`, then ends. */
  drain(ms: number): void;
  /** Ends at once. */
  stop(): void;
  /** Something is published for it: see src/copy/ways. */
  wake(): void;
  /** Tells every worker of a change; resolves with what those say that have taken it and did not end before. One at a time. */
  change(news: PlaneNews): Promise<NewsTaken<Findings>[]>;
}

const ENTRY = "copy/data-plane/thread.ts";
/** ms between two pieces of memory that are made ready. */
const PREPARE_INTERVAL = 10;
/** A thread that was created before its configuration was known. */
let early: CreatedThread | null = null;

/** Creates the first worker's thread: it loads its modules while the plan is made and the kernel programs are loaded. */
export function prepareDataPlane(): void {
  early ??= createThread(entryOf(ENTRY));
}

/**
 * Keeps memory of a worker ready, from its start to its end. Here, as the worker would be late meanwhile with what it has to
 * send; --cpu-limit holds here too.
 */
async function prepareMemory(
  { reserve, worker: { count, cpuLimit } }: DataPlaneConfig,
  ready: Promise<unknown>,
  ended: Promise<unknown>,
): Promise<void> {
  let hasEnded = false;
  const end = () => {
    hasEnded = true;
    stopWaiting(reserve);
  };
  ended.then(end, end);
  try {
    await ready;
  } catch {
    return;
  }
  while (!hasEnded) {
    const begun = performance.now();
    if (!prepareNext(reserve)) {
      await whenTaken(reserve);
      continue;
    }
    const rest = cpuLimit > 0 ? ((performance.now() - begun) * count) / cpuLimit : 0;
    await Bun.sleep(Math.max(PREPARE_INTERVAL, rest));
  }
}

/**
 * Starts the worker. The caller has loaded the kernel side and attached the response program. `onIntercept` is called when
 * an intercept comes or goes, `onNote` with lines for the log, `onWays` when it has taken what was published of the ways,
 * `onEndUnseen` for a path of whose answers more must be captured.
 */
export function startDataPlane(
  config: DataPlaneConfig,
  onIntercept: (state: InterceptState) => void = () => {},
  onNote: (text: string) => void = () => {},
  onWays: (taken: WaysTaken) => void = () => {},
  onEndUnseen: (path: number) => void = () => {},
): DataPlane {
  const { command } = viewShared(config.shared);
  const thread = early ?? createThread(entryOf(ENTRY));
  early = null;
  let taken: PromiseWithResolvers<NewsTaken<Findings>[]> | null = null;
  const onEvent = (event: PlaneEvent): void => {
    if (typeof event === "string") onNote(event);
    else if (typeof event === "number") onEndUnseen(event);
    else if ("version" in event) onWays(event);
    else if ("taken" in event) taken?.resolve([event]);
    else onIntercept(event);
  };
  const { ready, ended, ask, rouse } = startThread<Findings, PlaneEvent>(thread, config, command, onEvent);
  prepareMemory(config, ready, ended);
  let hasEnded = false;
  const noteEnd = () => {
    hasEnded = true;
    taken?.resolve([]);
  };
  ended.then(noteEnd, noteEnd);
  return {
    ready,
    ended,
    drain(ms) {
      Atomics.store(command, 1, ms);
      ask(DRAIN);
    },
    stop: () => ask(STOP),
    wake: rouse,
    change(news) {
      if (hasEnded) return Promise.resolve([]);
      taken = Promise.withResolvers();
      publishData(config.changes, news);
      rouse();
      return taken.promise;
    },
  };
}
