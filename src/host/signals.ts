/** SIGINT, SIGTERM and SIGHUP: the first asks for an orderly end, the second for the end at once. */

export interface StopRequests {
  /** Resolves at the first signal. */
  first: Promise<void>;
  /** Resolves at the second. */
  second: Promise<void>;
  /** Signals so far. */
  count(): number;
}

/** Listens from now on until the end of the process. */
export function listenForStop(): StopRequests {
  const first = Promise.withResolvers<void>();
  const second = Promise.withResolvers<void>();
  let count = 0;
  const onSignal = () => {
    count++;
    if (count === 1) first.resolve();
    else second.resolve();
  };
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, onSignal);
  return { first: first.promise, second: second.promise, count: () => count };
}
