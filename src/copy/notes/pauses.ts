/** Says when a replay has to wait for long. */
import type { Log } from "../../host/log/log.ts";
import { renderPause } from "../account/lateness.ts";

/** ms between two looks. */
const LOOK = 1000;

/** Logs each pause that `take` tells, until the function that it returns is called. `longestGap`: see TraceOptions. */
export function watchPauses(take: () => { next_request?: number }, longestGap: number, log: Log): () => void {
  const advice = longestGap > 0 ? "a smaller -I cuts gaps" : "-I cuts gaps";
  let isTold = false;
  const look = (): void => {
    const text = renderPause(take().next_request ?? 0);
    if (text !== null && !isTold) log.info(`${text}; ${advice}`);
    isTold = text !== null;
  };
  const timer = setInterval(look, LOOK);
  return () => clearInterval(timer);
}
