/** `-i`: the network interfaces that requests are captured on. */
import { Failure } from "../native/failure.ts";

/** What is needed to know of an interface; `links()` of src/native/netlink/netlink.ts lists them. */
export interface Interface {
  name: string;
  ifindex: number;
  up: boolean;
  /** ARPHRD_*; not looked at where it is absent. */
  hardwareType?: number;
}

/** What stands for every interface, as for libpcap. */
export const ANY = "any";

/** Whether these values of `-i` mean every interface that is up: there are none, or one is "any". */
export function meansEvery(values: readonly string[]): boolean {
  return values.length === 0 || values.some((value) => value.split(",").some((name) => name.trim() === ANY));
}

/**
 * The interfaces to capture on: the named ones, each value a comma list, or without `-i` (or with "any") every one that is
 * up, `lo` included. Throws a Failure (exit code 2) for a name that is not one of `present`.
 */
export function chooseInterfaces(values: readonly string[], present: readonly Interface[]): Interface[] {
  if (meansEvery(values)) return present.filter(({ up }) => up);
  const names = new Set(values.flatMap((value) => value.split(",").map((name) => name.trim())));
  return [...names].map((name) => {
    const found = present.find((one) => one.name === name);
    if (found) return found;
    const known = present.map((one) => one.name).join(", ");
    throw new Failure(`Cannot use -i "${name}": no such network interface`, `There are: ${known}.`, 2);
  });
}
