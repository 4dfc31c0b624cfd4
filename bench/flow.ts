/** Addresses and ports of the clients in measurements that make packets by hand. */

/** The client of the flow with this number: the last two bytes of its address in 10.1.0.0/16, and its port. */
export function clientOf(flow: number): { host: number; port: number } {
  return { host: 256 + (flow % 1000), port: 1024 + Math.floor(flow / 1000) };
}
