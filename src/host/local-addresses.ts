/** Which addresses are this host's. */
import { sameAddress } from "../config/address.ts";
import { localAddresses } from "../native/netlink/netlink.ts";

const LOOPBACK6 = Uint8Array.from({ length: 16 }, (_, index) => (index === 15 ? 1 : 0));

/** Returns a test of whether an address (4 or 16 bytes) is one of those that this host has now; loopback addresses are. */
export function localTest(): (bytes: Uint8Array) => boolean {
  const addresses = localAddresses().map(({ bytes }) => bytes);
  const isLoopback = (bytes: Uint8Array) =>
    bytes.length === 4 ? bytes[0] === 127 : sameAddress(bytes, LOOPBACK6);
  return (bytes) => isLoopback(bytes) || addresses.some((address) => sameAddress(address, bytes));
}
