/** Responses of the target that get out: counted in the kernel, from the first packet to the last. */
import { run } from "./process.ts";

const TABLE = "ghosts";

export interface Ghosts {
  /** Packets so far. */
  count(): number;
  remove(): void;
}

/** Counts what comes into a namespace from this TCP port, but for what goes to `own`, addresses that may be answered. */
export function countGhosts(namespace: string, port: number, own: readonly string[] = []): Ghosts {
  const passes = own.map((address) => ` ${address.includes(":") ? "ip6" : "ip"} daddr ${address} return`);
  const chain = ["type filter hook prerouting priority -400", ...passes, ` tcp sport ${port} counter`];
  run(namespace, "nft", `table inet ${TABLE} {\n chain in {\n ${chain.join("\n ")}\n }\n}`);
  return {
    count: () =>
      Number(/counter packets (\d+)/.exec(run(namespace, "nft", "list", "table", "inet", TABLE))![1]),
    remove: () => void run(namespace, "nft", "delete", "table", "inet", TABLE),
  };
}
