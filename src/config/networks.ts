/** Lists of addresses and networks, to be compared with the address of a host that connects. */
import ipaddr from "ipaddr.js";
import { Failure } from "../native/failure.ts";
import { formatAddress, parseAddress } from "./address.ts";

export interface Network {
  /** 4 or 16 bytes in network order. */
  address: Uint8Array;
  /** Bits of the address that count. */
  length: number;
}

function parseNetwork(option: string, text: string): Network {
  const refuse = (cause: string, fix = 'Write addresses and networks, for example "10.0.0.1,10.1.0.0/16".') =>
    new Failure(`Cannot use ${option} "${text}": ${cause}`, fix, 2);
  const [base, length, ...rest] = text.split("/");
  const address = parseAddress(base!)?.bytes;
  if (!address) throw refuse("not an IP address or network");
  const bits = address.length * 8;
  if (length === undefined) return { address, length: bits };
  if (rest.length > 0 || !/^[0-9]{1,3}$/.test(length) || Number(length) > bits)
    throw refuse(`the prefix length is not a whole number from 0 to ${bits}`);
  const kind = address.length === 4 ? ipaddr.IPv4 : ipaddr.IPv6;
  const first = Uint8Array.from(kind.networkAddressFromCIDR(text).toByteArray());
  if (!first.every((byte, index) => byte === address[index])) {
    const network = `${formatAddress(first)}/${length}`;
    throw refuse("the address is not the first of its network", `Write the network as "${network}".`);
  }
  return { address, length: Number(length) };
}

/**
 * Every value of `option`, each a comma list of addresses and networks (`10.1.0.0/16`). Throws a Failure (exit code 2) that names
 * the part at fault.
 */
export function parseNetworks(option: string, values: readonly string[]): Network[] {
  return values.flatMap((value) => value.split(",")).map((text) => parseNetwork(option, text.trim()));
}

/** Whether an address (4 or 16 bytes) is in one of the networks. */
export function isIn(networks: readonly Network[], address: Uint8Array): boolean {
  return networks.some((network) => {
    if (network.address.length !== address.length) return false;
    return address.every((byte, index) => {
      const bits = Math.min(8, Math.max(0, network.length - 8 * index));
      return (byte ^ network.address[index]!) >> (8 - bits) === 0;
    });
  });
}

/** As users write it. */
export function formatNetwork({ address, length }: Network): string {
  const text = formatAddress(address);
  return length === address.length * 8 ? text : `${text}/${length}`;
}
