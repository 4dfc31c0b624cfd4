/**
 * What this network namespace takes for itself: the addresses of its interfaces (also in VRFs), and what its tables have routes
 * of type local, broadcast or anycast for (AnyIP: `ip route add local 10.5.0.0/24 dev lo`).
 */
import { AF_INET, AF_INET6, ENOENT } from "../libc.ts";
import { attributesOf, RTA_DST, RTM_GETROUTE, RTM_NEWROUTE, RTMSG, u32Of } from "./messages.ts";
import { dump, dumpSelected, localAddresses, NetlinkError, u32Bytes } from "./netlink.ts";

export interface LocalPrefix {
  family: 4 | 6;
  /** 4 or 16 bytes in network order, zero behind the prefix. */
  bytes: Uint8Array;
  /** Length of the prefix: 32 or 128 for one address. */
  bits: number;
}

/** linux/rtnetlink.h, linux/fib_rules.h */
const RTM_NEWRULE = 32;
const RTM_GETRULE = 34;
const RULE = 12;
const TO_TABLE = 1;
const FRA_FWMARK = 10;
const FRA_TABLE = 15;
const RTA_TABLE = 15;
const RTN_LOCAL = 2;
const RTN_BROADCAST = 3;
const RTN_ANYCAST = 4;
const TABLE_DEFAULT = 253;
const TABLE_MAIN = 254;
const TABLE_LOCAL = 255;
const BROADCAST = Uint8Array.of(255, 255, 255, 255);

/**
 * All of them; the same address may be there twice. Routes in the main table are not looked at, which may have a million, and
 * neither are those in tables that only a mark leads to: they are for packets that this host has marked itself. Throws a
 * NetlinkError.
 */
export function localPrefixes(): LocalPrefix[] {
  const addresses = localAddresses().map(({ family, bytes }) => ({ family, bytes, bits: bytes.length * 8 }));
  const routes = [AF_INET, AF_INET6].flatMap((family) =>
    tablesOf(family).flatMap((table) => routesOf(family, table)),
  );
  return [{ family: 4, bytes: BROADCAST, bits: 32 }, ...addresses, ...routes];
}

/** The tables to look into: local, and those that rules lead to without a mark. */
function tablesOf(family: number): number[] {
  const header = new Uint8Array(RULE);
  header[0] = family;
  const found = dump("list the routing rules", RTM_GETRULE, header, (type, body) => {
    if (type !== RTM_NEWRULE || body.length < RULE || body[0] !== family || body[7] !== TO_TABLE) return null;
    const attributes = attributesOf(body, RULE);
    return attributes.has(FRA_FWMARK) ? null : u32Of(attributes.get(FRA_TABLE)) || body[4]!;
  });
  const others = found.filter((table) => table !== TABLE_MAIN && table !== TABLE_DEFAULT);
  return [...new Set([TABLE_LOCAL, ...others])];
}

function routesOf(family: number, table: number): LocalPrefix[] {
  const header = new Uint8Array(RTMSG);
  header[0] = family;
  const parse = (type: number, body: Uint8Array) =>
    type === RTM_NEWROUTE ? prefixOf(body, family, table) : null;
  try {
    return dumpSelected("list the local routes", RTM_GETROUTE, header, parse, [[RTA_TABLE, u32Bytes(table)]]);
  } catch (error) {
    // A rule may lead to a table that has no route yet.
    if (error instanceof NetlinkError && error.code === ENOENT) return [];
    throw error;
  }
}

function prefixOf(body: Uint8Array, family: number, table: number): LocalPrefix | null {
  if (body.length < RTMSG || body[0] !== family) return null;
  if (body[7] !== RTN_LOCAL && body[7] !== RTN_BROADCAST && body[7] !== RTN_ANYCAST) return null;
  const attributes = attributesOf(body, RTMSG);
  if ((u32Of(attributes.get(RTA_TABLE)) || body[4]) !== table) return null;
  const bytes = new Uint8Array(family === AF_INET ? 4 : 16);
  bytes.set(attributes.get(RTA_DST)?.subarray(0, bytes.length) ?? []);
  return { family: family === AF_INET ? 4 : 6, bytes, bits: Math.min(body[1]!, bytes.length * 8) };
}
