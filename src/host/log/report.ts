/** The reports of a run while it runs: the status on stderr and for the service manager, and JSON on stdout. */
import type { ServiceManager } from "../manager/manager.ts";
import { PLAIN_INTERVAL, type Status } from "./status.ts";

/**
 * Shows the line that `render` makes of `take()` by `status`, and to the service manager, which has it in place of a log that is not
 * on a terminal unless the user gives an interval. If `json` is set and `statsInterval` (s) is not null, also prints `take()` on
 * stdout at each interval, one JSON object per line. Returns the function that ends all of it.
 */
export function report<T>(
  { json, statsInterval }: { json: boolean; statsInterval: number | null },
  status: Status,
  manager: ServiceManager,
  take: () => T,
  render: (account: T) => string,
): () => void {
  const interval = statsInterval === null ? PLAIN_INTERVAL : statsInterval * 1000;
  const line = () => render(take());
  if (status.isLive || !manager.listens || statsInterval !== null) status.start(line, interval);
  const timers = [
    ...(manager.listens ? [setInterval(() => manager.status(line()), PLAIN_INTERVAL)] : []),
    ...(json && statsInterval !== null
      ? [setInterval(() => console.log(JSON.stringify(take())), interval)]
      : []),
  ];
  return () => {
    for (const timer of timers) clearInterval(timer);
    status.stop();
  };
}
