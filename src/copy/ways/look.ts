/** Looks at the routes of this host: where the way to a target leads now. */
import { lookUpEgress, type ResolvedEgress } from "../../inject/egress.ts";
import { Failure } from "../../native/failure.ts";
import { isDefaultRoute, links, NetlinkError } from "../../native/netlink/netlink.ts";
import type { Found } from "./judge.ts";
import type { PlannedWay } from "./way.ts";

/** The way as the kernel tells it, or why there is none. `mtu`: packets are no larger than that; null: than the path allows. */
export function findWay({ address, way, over }: PlannedWay, mark: number, mtu: number | null): Found {
  try {
    const ifindex = over === null ? 0 : links().find(({ name }) => name === over)?.ifindex;
    if (ifindex === undefined) return { cause: `there is no interface ${over}` };
    const found: ResolvedEgress = lookUpEgress(address.bytes, address.family, mark, {
      ...way,
      over: ifindex,
    });
    return mtu === null
      ? found
      : { ...found, egress: { ...found.egress, mtu: Math.min(mtu, found.egress.mtu) } };
  } catch (error) {
    if (error instanceof Failure) return { cause: error.message.replace(/^Cannot .*?": /, "") };
    if (error instanceof NetlinkError) return { cause: error.message };
    throw error;
  }
}

/** Whether only the default route leads to a target, over this interface (0: any); false where the kernel does not tell. */
export function isByDefault(target: Uint8Array, mark: number, over?: number): boolean {
  try {
    return isDefaultRoute(target, mark, over);
  } catch (error) {
    if (error instanceof NetlinkError) return false;
    throw error;
  }
}
