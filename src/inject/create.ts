/** Creates the injector for an egress. */
import type { PacketBatch } from "../wire/batch.ts";
import type { Injector } from "./injector.ts";
import { createIpInjector } from "./ip.ts";
import { createPacketInjector } from "./packet.ts";
import type { EgressConfig } from "./path.ts";

/**
 * The injector for an egress. It sends from the memory of `batch`, the only batch that `send` may get: it writes into the
 * rows' headroom and checksum fields. `mark` is the SO_MARK of all packets. Throws a Failure if no socket can be opened.
 */
export function createInjector(egress: EgressConfig, batch: PacketBatch, mark: number): Injector {
  return egress.kind === "packet"
    ? createPacketInjector(egress, batch, mark)
    : createIpInjector(egress, batch, mark);
}
