/** A network that loses packets, made by nftables. */
import { run } from "./process.ts";

export interface Loss {
  /** Packets dropped so far: on the way in and on the way out. */
  dropped(): { in: number; out: number };
  /** Ends it. */
  remove(): void;
}

/**
 * Drops packets at random on a device of a namespace, below its TCP: `percent` of those to and of those from a TCP port.
 * Segments that travel as one large packet are lost together: see offload.ts.
 */
export function losePackets(namespace: string, device: string, port: number, percent: number): Loss {
  const share = percent === 100 ? "" : ` numgen random mod 1000 < ${percent * 10}`;
  const chain = (direction: string, hook: string, match: string) =>
    `chain ${direction} {\n type filter hook ${hook} device ${device} priority 0\n` +
    ` tcp ${match} ${port}${share} counter drop\n}`;
  const rules = [chain("in", "ingress", "dport"), chain("out", "egress", "sport")];
  const table = `loss_${device}`;
  run(namespace, "nft", `table netdev ${table} {\n${rules.join("\n")}\n}`);
  const count = (direction: string) => {
    const text = run(namespace, "nft", "list", "chain", "netdev", table, direction);
    return Number(/counter packets (\d+)/.exec(text)![1]);
  };
  return {
    dropped: () => ({ in: count("in"), out: count("out") }),
    remove: () => void run(namespace, "nft", "delete", "table", "netdev", table),
  };
}

/** Drops all data that comes to a TCP port by a device of a namespace; bare acknowledgements pass. Returns what ends that. */
export function stopData(namespace: string, device: string, port: number): () => void {
  const table = `data_${device}`;
  // Headers of IPv4 and of TCP with all its options have 80 bytes at the most.
  const rule = `ip length > 80 tcp dport ${port} counter drop`;
  const chain = `type filter hook ingress device ${device} priority 0\n ${rule}`;
  run(namespace, "nft", `table netdev ${table} {\n chain in {\n ${chain}\n }\n}`);
  return () => void run(namespace, "nft", "delete", "table", "netdev", table);
}
