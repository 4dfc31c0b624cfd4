/** Follows which addresses are this host's: VIPs and containers' networks come and go while xcopy runs. */
import { followNotifications } from "../native/netlink/follow.ts";
import { type LocalPrefix, localPrefixes } from "../native/netlink/local-prefixes.ts";

/**
 * ms between two looks, where changes come faster: of addresses, at which requests may come at once; and of routes, which change
 * all the time on a router.
 */
const INTERVAL = { addresses: 5, routes: 200 };

/**
 * Calls `onChange` with all that this host takes for itself: before it returns, and at every change until the function that it
 * returns is called. Throws a NetlinkError.
 */
export async function followLocal(onChange: (local: LocalPrefix[]) => void): Promise<() => void> {
  let last = Number.NEGATIVE_INFINITY;
  let known = "";
  let timer: Timer | undefined;
  /** When the timer is over. */
  let due = Number.POSITIVE_INFINITY;
  const look = () => {
    due = Number.POSITIVE_INFINITY;
    last = performance.now();
    const local = localPrefixes();
    const text = local.map(({ bytes, bits }) => `${bytes}/${bits}`).join(" ");
    if (text === known) return;
    known = text;
    onChange(local);
  };
  const lookIn = (interval: number) => {
    const now = performance.now();
    const at = Math.max(now, last + interval);
    if (at >= due) return;
    clearTimeout(timer);
    due = at;
    timer = setTimeout(look, at - now);
  };
  // Followed first, so that no change is between. With an interface that goes down, its routes go without a notification.
  const end = await followNotifications(["links", "addresses", "routes"], (notifications) => {
    const isAddress = notifications.some(({ kind }) => kind === "address");
    lookIn(isAddress ? INTERVAL.addresses : INTERVAL.routes);
  });
  look();
  return () => {
    clearTimeout(timer);
    end();
  };
}
