/** Follows which addresses are this host's: VIPs and containers' networks come and go while xcopy runs. */
import { followNotifications } from "../native/netlink/follow.ts";
import { type LocalPrefix, localPrefixes } from "../native/netlink/local-prefixes.ts";

/** ms between two looks, where changes come faster. */
const INTERVAL = 200;

/**
 * Calls `onChange` with all that this host takes for itself: before it returns, and at every change until the function that it
 * returns is called. Throws a NetlinkError.
 */
export async function followLocal(onChange: (local: LocalPrefix[]) => void): Promise<() => void> {
  let last = Number.NEGATIVE_INFINITY;
  let known = "";
  let timer: Timer | undefined;
  const look = () => {
    timer = undefined;
    last = performance.now();
    const local = localPrefixes();
    const text = local.map(({ bytes, bits }) => `${bytes}/${bits}`).join(" ");
    if (text === known) return;
    known = text;
    onChange(local);
  };
  // Followed first, so that no change is between. With an interface that goes down, its routes go without a notification.
  const end = await followNotifications(["links", "addresses", "routes"], () => {
    timer ??= setTimeout(look, Math.max(0, last + INTERVAL - performance.now()));
  });
  look();
  return () => {
    clearTimeout(timer);
    end();
  };
}
