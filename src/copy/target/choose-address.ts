/** Which of several addresses of a name to use: they are tried in turn, as an ordinary client does (RFC 6724, RFC 8305). */
import { type Address, formatAddress } from "../../config/address.ts";
import type { Ambiguous } from "../../config/transfer.ts";
import { NetlinkError, route } from "../../native/netlink/netlink.ts";
import { connectOnce } from "./connection.ts";

/** ms for each address: a lost SYN is sent again after 1 s. */
const PATIENCE = 1500;

/** What is wrong with an address, in words; null: nothing. */
export type Try = (address: Address, port: number) => Promise<string | null>;

/** Opens and closes a connection from this host's own address. */
export async function tryConnection({ bytes }: Address, port: number): Promise<string | null> {
  const { result } = await connectOnce(formatAddress(bytes), port, PATIENCE);
  if (result === "answered") return null;
  return result === "refused" ? "refuses the connection" : "does not answer";
}

/** Sends nothing. */
export async function hasRoute({ bytes }: Address): Promise<string | null> {
  try {
    const { type } = route(bytes);
    return type === "unicast" || type === "local" ? null : "has no route";
  } catch (error) {
    if (error instanceof NetlinkError) return "has no route";
    throw error;
  }
}

/**
 * The first address that `attempt` finds nothing wrong with, and a line for the user that names those before it; if there is
 * none, the first of all. Of UDP services, which need not answer, only the route is tried.
 */
export async function chooseAddress(
  { name, addresses, port, transport }: Ambiguous,
  attempt: Try,
): Promise<{ address: Address; note: string }> {
  const faults: string[] = [];
  for (const address of addresses) {
    const fault = await (transport === "udp" ? hasRoute : attempt)(address, port);
    if (fault === null) return { address, note: noteOf(name, addresses, address, faults) };
    faults.push(`${formatAddress(address.bytes)} ${fault}`);
  }
  const [first] = addresses as [Address, ...Address[]];
  return { address: first, note: noteOf(name, addresses, first, faults) };
}

function noteOf(name: string, addresses: Address[], { bytes }: Address, faults: string[]): string {
  const reasons = faults.length > 0 ? ` (${faults.join(", ")})` : "";
  return `${name} has ${addresses.length} addresses: ${formatAddress(bytes)} is used${reasons}.`;
}
