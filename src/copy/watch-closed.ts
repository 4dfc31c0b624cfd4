/** Says when the target closes connections that production keeps open. */
import type { Log } from "../host/log.ts";
import { CLOSED_ADVICE, type Closed, renderClosed } from "./account/closed.ts";

/** ms between two looks. */
const LOOK = 1000;

/** Warns once, as soon as `take` tells of such connections, until the function that it returns is called. */
export function watchClosed(take: () => Closed, log: Log): () => void {
  const timer = setInterval(() => {
    const text = renderClosed(take());
    if (text === null) return;
    clearInterval(timer);
    log.warn(`${text}\n${CLOSED_ADVICE[0]!.toUpperCase()}${CLOSED_ADVICE.slice(1)}.`);
  }, LOOK);
  return () => clearInterval(timer);
}
