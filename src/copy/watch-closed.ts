/** Says when the target closes connections that production keeps open, and when clients use several subflows of Multipath TCP. */
import type { Log } from "../host/log/log.ts";
import { CLOSED_ADVICE, type Closed, renderClosed } from "./account/closed.ts";
import { MULTIPATH_ADVICE, type Multipath, renderMultipath } from "./account/mptcp.ts";

/** ms between two looks. */
const LOOK = 1000;

/** Warns once of each, as soon as `take` tells of such connections, until the function that it returns is called. */
export function watchClosed(take: () => Closed & Multipath, log: Log): () => void {
  const endClosed = warnOnce(() => renderClosed(take()), CLOSED_ADVICE, log);
  const endMultipath = warnOnce(() => renderMultipath(take()), MULTIPATH_ADVICE, log);
  return () => {
    endClosed();
    endMultipath();
  };
}

/** Warns once, as soon as `render` has a text. */
function warnOnce(render: () => string | null, advice: string, log: Log): () => void {
  const timer = setInterval(() => {
    const text = render();
    if (text === null) return;
    clearInterval(timer);
    log.warn(`${text}\n${advice[0]!.toUpperCase()}${advice.slice(1)}.`);
  }, LOOK);
  return () => clearInterval(timer);
}
