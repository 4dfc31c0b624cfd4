/** How a run tells what it does while it does it. */
import { PLAIN_INTERVAL, type Status } from "./status.ts";

/**
 * Shows lines of `render` on stderr and, where `json` and an interval (s, null: not given) ask for it, prints what `take`
 * returns on stdout, one JSON object per line. Returns what ends it.
 */
export function report<T>(
  { json, statsInterval }: { json: boolean; statsInterval: number | null },
  status: Status,
  take: () => T,
  render: (account: T) => string,
): () => void {
  const interval = statsInterval === null ? PLAIN_INTERVAL : statsInterval * 1000;
  status.start(() => render(take()), interval);
  const prints = json && statsInterval !== null;
  const timer = prints ? setInterval(() => console.log(JSON.stringify(take())), interval) : undefined;
  return () => {
    clearInterval(timer);
    status.stop();
  };
}
