/** Says when the copy falls behind production, and when it has caught up. */
import type { Log } from "../host/log/log.ts";
import { type Lateness, renderLateness } from "./account/lateness.ts";
import type { CopyOptions } from "./options.ts";

/** ms between two looks. */
const LOOK = 1000;

/** What to do about it, where nothing is done yet. */
const ADVICE =
  "--late drop:SECONDS leaves out what is older; --late spread sends HTTP requests over more connections.";

/** Logs what `take` tells until the function that it returns is called. */
export function watchLateness(take: () => Lateness, current: { options: CopyOptions }, log: Log): () => void {
  let isLate = false;
  const timer = setInterval(() => {
    const text = renderLateness(take());
    if (text !== null && !isLate) log.warn(current.options.late === null ? `${text}\n${ADVICE}` : text);
    if (text === null && isLate) log.info("the copy has caught up with production");
    isLate = text !== null;
  }, LOOK);
  return () => clearInterval(timer);
}
