/** What a service manager hears of several runs, as of one: no clock, no process. */
import type { Notification, ServiceManager } from "../host/manager/manager.ts";

interface State {
  phase: "starting" | "works" | "reloads" | "ended";
  /** One line for people. */
  status: string;
  /** ms; when it was alive last. */
  alive: number;
}

/** The runs as one; times are in ms. */
export interface Together {
  /** A run has been started, again too; one with another name is one more. */
  started(name: string, now: number): void;
  /** What a run has told its parent. */
  heard(name: string, message: Notification, now: number): void;
  /** A run is told to read its settings again. */
  reloads(name: string): void;
  ended(name: string, status: string): void;
  /** A run has ended for good, and is shown no more. */
  left(name: string): void;
  /** Resolves when it does not start any more: it works, or has ended. */
  settled(name: string): Promise<void>;
  /** Whether it works: signals about its work mean something to it. */
  works(name: string): boolean;
  /** Whether all have come to work. */
  readonly isReady: boolean;
  /** Whether none that works has been silent for longer than this. */
  allAlive(patience: number, now: number): boolean;
}

/** Tells `manager` about the runs with these names, which are shown in this order. */
export function together(names: readonly string[], manager: ServiceManager): Together {
  const states = new Map(
    names.map((name): [string, State] => [name, { phase: "starting", status: "starts", alive: 0 }]),
  );
  let isReady = false;
  let isReloading = false;
  let waiting: { name: string; resolve: () => void }[] = [];
  const isStarting = (name: string) => states.get(name)?.phase === "starting";
  const some = (phase: State["phase"]) => [...states.values()].some((state) => state.phase === phase);
  const tell = () => manager.status([...states].map(([name, { status }]) => `${name}: ${status}`).join("; "));
  /** `ready` is said once for the start of all, and once for a reload of any. */
  const settle = () => {
    for (const { name, resolve } of waiting) if (!isStarting(name)) resolve();
    waiting = waiting.filter(({ name }) => isStarting(name));
    const isDue = isReloading ? !some("reloads") : !isReady && !some("starting");
    if (!isDue) return;
    isReady = true;
    isReloading = false;
    manager.ready();
  };
  const reloads = (name: string) => {
    states.get(name)!.phase = "reloads";
    if (!isReloading) manager.reloading();
    isReloading = true;
  };
  return {
    reloads,
    get isReady() {
      return isReady;
    },
    started(name, now) {
      states.set(name, { phase: "starting", status: "starts", alive: now });
    },
    heard(name, message, now) {
      const state = states.get(name);
      // The last words of one that has left.
      if (state === undefined) return;
      state.alive = now;
      if (message.RELOADING) reloads(name);
      if (message.READY) {
        state.phase = "works";
        settle();
      }
      if (message.STATUS !== undefined) {
        state.status = message.STATUS;
        tell();
      }
    },
    ended(name, status) {
      Object.assign(states.get(name)!, { phase: "ended", status });
      settle();
      tell();
    },
    left(name) {
      states.delete(name);
      settle();
      tell();
    },
    settled(name) {
      if (!isStarting(name)) return Promise.resolve();
      return new Promise((resolve) => waiting.push({ name, resolve }));
    },
    works: (name) => ["works", "reloads"].includes(states.get(name)?.phase ?? "ended"),
    allAlive: (patience, now) =>
      [...states.values()].every(
        ({ phase, alive }) => phase === "starting" || phase === "ended" || now - alive <= patience,
      ),
  };
}
