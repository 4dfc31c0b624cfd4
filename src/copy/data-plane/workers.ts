/** Runs several data planes as one: they start together, are told to end together, and go on without one that dies. */
import type { WaysTaken } from "../ways/take.ts";
import type { DataPlaneConfig } from "./config.ts";
import type { InterceptState } from "./intercepts.ts";
import { type Findings, type ProbeResult, worstOf } from "./preflight.ts";
import { type DataPlane, startDataPlane } from "./start.ts";

export interface WorkersHandlers {
  /** An intercept came or went; with several workers, as soon as one has lost it, and when all have it again. */
  onIntercept(state: InterceptState): void;
  /** A worker has died after the start; `othersGoOn`: it was not the last one. */
  onDeath(worker: number, error: Error, othersGoOn: boolean): void;
  /** A worker has taken what was published of the ways. */
  onWays(taken: WaysTaken): void;
  /** More of the answers on a path must be captured, to see where they end; once for each path. */
  onEndUnseen(path: number): void;
  /** Something that the user should know. */
  onNote(text: string): void;
}

/** The results of one path, from all workers, as one. */
function mergeProbes(probes: ProbeResult[]): ProbeResult {
  return { ...worstOf(probes)!, facts: probes.flatMap(({ facts }) => facts) };
}

function worstState(states: InterceptState[]): InterceptState {
  const worst = states.find(({ isRefused }) => isRefused) ?? states.find(({ up }) => !up) ?? states[0]!;
  return { ...worst, welcome: worst.welcome ?? states.find(({ welcome }) => welcome)?.welcome ?? null };
}

/** The findings of all workers as one. */
export function mergeFindings(all: Findings[]): Findings {
  const [first] = all as [Findings, ...Findings[]];
  if (all.length === 1) return first;
  return {
    probes: first.probes.map((_, index) => mergeProbes(all.map(({ probes }) => probes[index]!))),
    intercepts: first.intercepts.map((_, index) =>
      worstState(all.map(({ intercepts }) => intercepts[index]!)),
    ),
    registersAll: all.some(({ registersAll }) => registersAll),
  };
}

/** Merges what several workers report of the intercepts, and hands it to `notify`. */
export class InterceptReports {
  /** By intercept and worker. */
  private readonly states: InterceptState[][] = [];
  /** By intercept: the worker that reported it as lost first, while it is lost. */
  private readonly reporter: (number | undefined)[] = [];

  constructor(
    private readonly workers: number,
    private readonly notify: (state: InterceptState) => void,
  ) {}

  take(worker: number, state: InterceptState): void {
    const { index } = state;
    this.states[index] ??= [];
    const states = this.states[index]!;
    states[worker] = state;
    if (!state.up) {
      this.reporter[index] ??= worker;
      if (this.reporter[index] === worker) this.notify(state);
      return;
    }
    if (states.filter(({ up }) => up).length < this.workers) return;
    this.reporter[index] = undefined;
    this.notify(state);
  }

  /** This worker has died: what it reported does not count any more. */
  forget(worker: number): void {
    for (const [index, states] of this.states.entries()) {
      if (!states) continue;
      const last = states[worker];
      if (last && !last.up && this.reporter[index] === worker) this.reporter[index] = undefined;
      const other = states.find((state, of) => of !== worker && state);
      if (other) states[worker] = { ...other, up: true };
    }
  }
}

/**
 * Starts a worker for each configuration, the first with index 0. As `startDataPlane`; `ready` rejects when one could not
 * start, `ended` when the last of them has died.
 */
export function startWorkers(
  configs: readonly DataPlaneConfig[],
  { onIntercept, onDeath, onWays, onEndUnseen, onNote }: WorkersHandlers,
): DataPlane {
  const reports = new InterceptReports(configs.length, onIntercept);
  // The same note from several workers is logged once.
  const told = new Set<string>();
  const tell = (text: string): void => {
    if (!told.has(text)) onNote(text);
    told.add(text);
  };
  const unseen = new Set<number>();
  const seeEnds = (path: number): void => {
    if (!unseen.has(path)) onEndUnseen(path);
    unseen.add(path);
  };
  const planes = configs.map((config, worker) =>
    startDataPlane(config, (state) => reports.take(worker, state), tell, onWays, seeEnds),
  );
  let isReady = false;
  let alive = planes.length;
  const endOf = async (plane: DataPlane, worker: number): Promise<void> => {
    try {
      await plane.ended;
    } catch (error) {
      alive--;
      if (!isReady) {
        for (const other of planes) other.stop();
        throw error;
      }
      reports.forget(worker);
      onDeath(worker, error as Error, alive > 0);
      if (alive === 0) throw error;
    }
  };
  const ended = Promise.all(planes.map(endOf)).then(() => {});
  // A caller that awaits only `ready` must not get an unhandled rejection.
  ended.catch(() => {});
  return {
    ready: Promise.all(planes.map(({ ready }) => ready)).then((all) => {
      isReady = true;
      return mergeFindings(all);
    }),
    ended,
    drain(ms) {
      for (const plane of planes) plane.drain(ms);
    },
    stop() {
      for (const plane of planes) plane.stop();
    },
    wake() {
      for (const plane of planes) plane.wake();
    },
    change: async (news) => (await Promise.all(planes.map((plane) => plane.change(news)))).flat(),
  };
}
