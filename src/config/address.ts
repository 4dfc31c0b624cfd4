/** IP addresses as users write them and as the wire carries them. */
import ipaddr from "ipaddr.js";

export interface Address {
  family: 4 | 6;
  /** 4 or 16 bytes in network order. */
  bytes: Uint8Array;
  /** Of a link-local address: the name of the interface of its link (RFC 4007 section 11). */
  zone?: string;
}

/**
 * An address in the usual notation, IPv6 without brackets; null if the text is not an address. Of IPv4 only four decimal
 * numbers are taken (`127.1` and `010.0.0.1` mean different things to different programs), an IPv4 address mapped into
 * IPv6 becomes IPv4, and a zone (`fe80::1%eth0`) is refused, as packets carry none.
 */
export function parseAddress(text: string): Address | null {
  if (ipaddr.IPv4.isValidFourPartDecimal(text)) {
    return { family: 4, bytes: Uint8Array.from(ipaddr.IPv4.parse(text).toByteArray()) };
  }
  if (!text.includes(":") || text.includes("%") || !ipaddr.IPv6.isValid(text)) return null;
  const parsed = ipaddr.process(text);
  return { family: parsed.kind() === "ipv4" ? 4 : 6, bytes: Uint8Array.from(parsed.toByteArray()) };
}

/** A link-local address with its zone, `fe80::1%eth0`; null if the text is none. */
export function parseZoned(text: string): Address | null {
  const [, bare, zone] = /^([^%]+)%([^%\s/]{1,15})$/.exec(text) ?? [];
  const address = bare === undefined ? null : parseAddress(bare);
  return address && isLinkLocal(address.bytes) ? { ...address, zone: zone! } : null;
}

/** Whether an address (4 or 16 bytes) is valid on one link only: fe80::/10. */
export function isLinkLocal(bytes: Uint8Array): boolean {
  return bytes.length === 16 && bytes[0] === 0xfe && (bytes[1]! & 0xc0) === 0x80;
}

/** The shortest usual notation (RFC 5952 for IPv6), which `parseAddress` reads back to the same bytes. */
export function formatAddress(bytes: Uint8Array): string {
  const parsed = ipaddr.fromByteArray([...bytes]);
  return parsed.kind() === "ipv4" ? parsed.toString() : (parsed as ipaddr.IPv6).toRFC5952String();
}

/** `10.0.0.2:80`, `[2001:db8::2]:80`. */
export function formatEndpoint(bytes: Uint8Array, port: number): string {
  const text = formatAddress(bytes);
  return bytes.length === 4 ? `${text}:${port}` : `[${text}]:${port}`;
}

/** Whether both are the same address of the same family. */
export function sameAddress(one: Uint8Array, other: Uint8Array): boolean {
  return one.length === other.length && one.every((byte, index) => byte === other[index]);
}

/** Why an address cannot be one end of a TCP connection between hosts; null if it can. */
export function unusable(address: Address): string | null {
  if (address.zone !== undefined) return null;
  const range = ipaddr.fromByteArray([...address.bytes]).range();
  if (range === "unspecified") return "it stands for every address";
  if (range === "multicast") return "it is a multicast address";
  if (range === "broadcast") return "it is the broadcast address";
  if (address.family === 6 && range === "linkLocal") return "it is valid on one link only";
  return null;
}
