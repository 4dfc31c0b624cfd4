/** Whether packets of the size that the route promises get to a target, and if not, how large ones do. */
import { formatAddress } from "../../config/address.ts";
import { type Answered, sendUncut } from "../../native/probes/df-datagram.ts";
import type { Finding } from "../finding.ts";
import { about, TRACEROUTE_PORT, type Way } from "./route.ts";

/** ms for an answer. */
const PATIENCE = 400;
/**
 * ms after which a host answers again that has answered too much: Linux sends another host 6 errors at once, then one a second
 * (icmp_ratelimit of ip-sysctl.rst). So often it is waited for.
 */
const RECOVERY = 1100;
const MOST_WAITS = 2;
/** Bytes of a packet that every path takes. */
const SMALL = 128;
/** What paths take, by what is on them: PPPoE, tunnels of all kinds, the least of IPv6, the least of IPv4. */
const SIZES = [1492, 1480, 1460, 1450, 1440, 1420, 1400, 1380, 1350, 1300, 1280, 1200, 1006, 576];

/** Sends a packet of so many bytes, which may not be cut. */
export type Send = (bytes: number) => Promise<Answered>;

export interface PathMtu {
  /** Bytes that surely get there; null: the target does not answer. */
  largest: number | null;
  /** Whether larger ones are lost without a word. */
  isSilent: boolean;
}

/**
 * Tells which sizes get there; null: not known. A size is lost only if a small packet that goes right behind it is answered: one
 * that had got there would have had that answer, also from a host that answers only so much.
 */
function trials(send: Send, recovery: number): (bytes: number) => Promise<boolean | null> {
  let waits = MOST_WAITS;
  return async (bytes) => {
    for (;;) {
      const [tried, small] = await Promise.all([send(bytes), send(SMALL)]);
      if (tried.result === "arrived") return true;
      if (small.result === "arrived") return false;
      if (waits-- <= 0) return null;
      await Bun.sleep(recovery);
    }
  };
}

/** Tries a path that should take `mtu` bytes. Sends at most 24 packets. */
export async function measurePath(mtu: number, send: Send, recovery = RECOVERY): Promise<PathMtu> {
  const whole = await send(mtu);
  if (whole.result === "arrived") return { largest: mtu, isSilent: false };
  if (whole.result === "too-large" && whole.mtu > 0 && whole.mtu < mtu)
    return { largest: whole.mtu, isSilent: false };
  const arrives = trials(send, recovery);
  const unlessLost = (isThere: true | null): PathMtu => ({ largest: isThere ? mtu : null, isSilent: false });
  const first = await arrives(mtu);
  if (first !== false) return unlessLost(first);
  const largest = await largestOf(
    SIZES.filter((size) => size < mtu),
    async (size) => (await send(size)).result === "arrived" || (await arrives(size)) === true,
  );
  // Once more: what was lost may have been lost by chance.
  const last = await arrives(mtu);
  return last === false ? { largest, isSilent: true } : unlessLost(last);
}

/** The largest of `sizes`, from the largest to the smallest, that gets there, by halves. */
async function largestOf(
  sizes: readonly number[],
  arrives: (bytes: number) => Promise<boolean>,
): Promise<number> {
  let [first, last] = [0, sizes.length];
  while (first < last) {
    const middle = (first + last) >> 1;
    if (await arrives(sizes[middle]!)) last = middle;
    else first = middle + 1;
  }
  return sizes[first] ?? SMALL;
}

export function judgeMtu(target: Uint8Array, mtu: number, { largest, isSilent }: PathMtu): Finding {
  const what = about("mtu", `packet size to ${formatAddress(target)}`);
  if (largest === null) {
    const found = `${mtu} bytes by the route; the target answers no UDP, by which the way could be tried`;
    return { ...what, status: "ok", found, fix: null };
  }
  if (largest >= mtu) return { ...what, status: "ok", found: `${mtu} bytes get there`, fix: null };
  if (!isSilent) {
    const found = `${largest} bytes on the way, as a router says, of ${mtu} by the route`;
    return { ...what, status: "ok", found, fix: null };
  }
  const found = `packets of ${largest} bytes get there, those of ${mtu} are lost without a word: large requests hang`;
  return { ...what, status: "warning", found, fix: `-M ${largest}, and let ICMP through on the way.` };
}

/** Null where packets do not leave this host. */
export async function checkMtu({ target, egress }: Way): Promise<Finding | null> {
  if (egress.interface === "lo") return null;
  const path = await measurePath(egress.mtu, (bytes) =>
    sendUncut(target, TRACEROUTE_PORT, bytes, PATIENCE, egress.ifindex),
  );
  return judgeMtu(target, egress.mtu, path);
}
