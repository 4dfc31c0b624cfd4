/** The reports of a run while it runs: the status on stderr, and JSON on stdout. */
import { PLAIN_INTERVAL, type Status } from "./status.ts";

/**
 * Shows the line that `render` makes of `take()` by `status`. If `json` is set and `statsInterval` (s) is not null, also prints
 * `take()` on stdout at each interval, one JSON object per line. Returns the function that ends both.
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
