/**
 * SIGINT, SIGTERM and SIGHUP: the first one requests an orderly end, the second one an immediate end; SIGHUP may mean something else.
 */

export interface StopRequests {
  /** Resolves at the first signal. */
  first: Promise<void>;
  /** Resolves at the second. */
  second: Promise<void>;
  /** Signals so far. */
  count(): number;
}

let early = 0;
const noteEarly = () => {
  early++;
};
const ignore = () => {};

/**
 * From the first moment on signals about work that has not begun do not end the process: SIGUSR1 (there is no log yet), and where
 * `takesHangUp` SIGHUP, which counts as soon as it is listened for.
 */
export function holdEarly(takesHangUp: boolean): void {
  process.on("SIGUSR1", ignore);
  if (takesHangUp) process.on("SIGHUP", noteEarly);
}

/** Listens until the process ends. `onHangUp`: what SIGHUP means instead, as a terminal that is closed sends it; null: the end. */
export function listenForStop(onHangUp: (() => void) | null = null): StopRequests {
  const first = Promise.withResolvers<void>();
  const second = Promise.withResolvers<void>();
  let count = 0;
  const onSignal = () => {
    count++;
    if (count === 1) first.resolve();
    else second.resolve();
  };
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, onSignal);
  process.on("SIGHUP", onHangUp ?? onSignal);
  process.off("SIGHUP", noteEarly);
  if (early > 0) onHangUp?.();
  return { first: first.promise, second: second.promise, count: () => count };
}
