/** What conditions of rules are made of: fields of a packet, and the values that they are compared with. */
import { parseAddress, sameAddress } from "../../config/address.ts";
import type { Condition, DescribedPacket } from "./ruleset.ts";

/** A field of a packet; undefined: this packet has none, null: it is not known. */
export type Field = (packet: DescribedPacket) => string | number | Uint8Array | null | undefined;

/** Whether a value is meant; null: that cannot be told. */
export type Meant = (value: string | number | Uint8Array) => boolean | null;

export const UNKNOWN: Condition = () => null;

const PROTOCOL_NUMBERS: Record<string, number> = { icmp: 1, tcp: 6, udp: 17, ipv6_icmp: 58, sctp: 132 };

/** An interface: see DescribedPacket. */
const interfaceOf = (name: string | null | undefined) => (name === undefined ? null : (name ?? undefined));

/** The fields that are known, by the names that nft has for them: "tcp dport", "meta oifname". */
export const FIELDS: Record<string, Field> = {
  "meta iifname": (packet) => interfaceOf(packet.in),
  "meta iif": (packet) => interfaceOf(packet.in),
  "meta oifname": (packet) => interfaceOf(packet.out),
  "meta oif": (packet) => interfaceOf(packet.out),
  "meta mark": ({ mark }) => mark,
  "meta l4proto": ({ protocol }) => protocol,
  "meta nfproto": ({ family }) => `ipv${family}`,
  "meta protocol": ({ family }) => (family === 4 ? "ip" : "ip6"),
  "ip protocol": ({ family, protocol }) => (family === 4 ? protocol : undefined),
  "ip6 nexthdr": ({ family, protocol }) => (family === 6 ? protocol : undefined),
  "ip saddr": ({ family, source }) => (family === 4 ? source : undefined),
  "ip daddr": ({ family, destination }) => (family === 4 ? destination : undefined),
  "ip6 saddr": ({ family, source }) => (family === 6 ? source : undefined),
  "ip6 daddr": ({ family, destination }) => (family === 6 ? destination : undefined),
  "th sport": ({ sourcePort }) => sourcePort,
  "th dport": ({ destinationPort }) => destinationPort,
  "tcp sport": ({ protocol, sourcePort }) => (protocol === "tcp" ? sourcePort : undefined),
  "tcp dport": ({ protocol, destinationPort }) => (protocol === "tcp" ? destinationPort : undefined),
  "udp sport": ({ protocol, sourcePort }) => (protocol === "udp" ? sourcePort : undefined),
  "udp dport": ({ protocol, destinationPort }) => (protocol === "udp" ? destinationPort : undefined),
  "ct state": ({ state }) => state,
};

/** That a field has (or with `isNegated` has not) one of the values. A packet without the field fulfils neither. */
export function fieldIs(field: Field | undefined, meant: Meant, isNegated = false): Condition {
  if (!field) return UNKNOWN;
  return (packet) => {
    const value = field(packet);
    if (value === undefined) return false;
    const found = value === null ? null : meant(value);
    return found === null ? null : found !== isNegated;
  };
}

/** Any of several; null if none is for sure, and one may be. */
export function anyOf(all: readonly Meant[]): Meant {
  return (value) => {
    const results = all.map((meant) => meant(value));
    return results.includes(true) ? true : results.includes(null) ? null : false;
  };
}

/** One value as text or number: an address, a name of an interface that may end with a wildcard, a protocol, a number. */
export function exactly(wanted: string | number, wildcard = "*"): Meant {
  return (value) => {
    if (value instanceof Uint8Array) {
      const address = parseAddress(String(wanted));
      return address === null ? null : sameAddress(address.bytes, value);
    }
    if (typeof wanted === "string" && wanted.length > 1 && wanted.endsWith(wildcard))
      return String(value).startsWith(wanted.slice(0, -1));
    if (PROTOCOL_NUMBERS[value] === Number(wanted)) return true;
    return String(value) === String(wanted);
  };
}

/** Addresses whose first `bits` are those of `network`. */
export function within(network: string, bits: number): Meant {
  const bytes = parseAddress(network)?.bytes;
  return (value) => {
    if (!bytes || !(value instanceof Uint8Array)) return null;
    if (bytes.length !== value.length) return false;
    return bytes.every((byte, index) => {
      const left = Math.max(0, Math.min(8, bits - index * 8));
      return ((byte ^ value[index]!) & (0xff00 >> left) & 0xff) === 0;
    });
  };
}

/** From `first` to `last`, numbers or addresses. */
export function between(first: string | number, last: string | number): Meant {
  return (value) => {
    if (!(value instanceof Uint8Array)) {
      const [one, other] = [Number(first), Number(last)];
      return Number.isNaN(one + other) ? null : one <= Number(value) && Number(value) <= other;
    }
    const [low, high] = [parseAddress(String(first)), parseAddress(String(last))];
    if (!low || !high) return null;
    return Buffer.compare(low.bytes, value) <= 0 && Buffer.compare(value, high.bytes) <= 0;
  };
}
