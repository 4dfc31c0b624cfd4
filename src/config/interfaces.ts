/** `-i`: the network interfaces that requests are captured on. */
import { Failure } from "../native/failure.ts";

/** What is asked of an interface; `links()` of src/native/netlink.ts gives them. */
export interface Interface {
  name: string;
  ifindex: number;
  up: boolean;
}

/**
 * The interfaces to capture on: the named ones, each value a comma list, or without `-i` every one that is up, `lo`
 * included. Throws a Failure (exit code 2) for a name that is not one of `present`.
 */
export function chooseInterfaces(values: readonly string[], present: readonly Interface[]): Interface[] {
  if (values.length === 0) return present.filter(({ up }) => up);
  const names = new Set(values.flatMap((value) => value.split(",").map((name) => name.trim())));
  return [...names].map((name) => {
    const found = present.find((one) => one.name === name);
    if (found) return found;
    const known = present.map((one) => one.name).join(", ");
    throw new Failure(`Cannot use -i "${name}": no such network interface`, `There are: ${known}.`, 2);
  });
}
