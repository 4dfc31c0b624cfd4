/** A bridge in front of the online host. */
import { addAddress, ip } from "../../src/demo/network.ts";
import type { Lab } from "./lab.ts";

/** Puts online's interface towards the client into a bridge, which takes over its addresses: every packet crosses both. */
export function bridgeFront(lab: Lab): void {
  ip("-n", lab.online, "link", "add", "br0", "type", "bridge");
  ip("-n", lab.online, "addr", "flush", "dev", "front");
  ip("-n", lab.online, "link", "set", "front", "master", "br0");
  for (const address of ["10.1.0.1/24", "fd00:1::1/64"]) addAddress(lab.online, "br0", address);
  ip("-n", lab.online, "link", "set", "br0", "up");
}
