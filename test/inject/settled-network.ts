/** The network of the demo, once its addresses can be used. */
import { createNetwork, ip, type Network } from "../../src/demo/network.ts";
import { until } from "../support/until.ts";

/** A network whose hosts have checked their link-local addresses (RFC 4862): before, IPv6 resolves no neighbour. */
export async function createSettledNetwork(): Promise<Network> {
  const network = createNetwork();
  await until("no address is tentative", () =>
    [network.client, network.online, network.target].every(
      (namespace) => ip("-n", namespace, "-6", "addr", "show", "tentative").trim() === "",
    ),
  );
  return network;
}
