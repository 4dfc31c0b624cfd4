/** `-c`: the source addresses that copied requests come from, instead of this host's own. */
import { Failure } from "../native/failure.ts";
import { type Address, formatAddress, parseAddress, sameAddress, unusable } from "./address.ts";

/** Most addresses that `-c` may name, as in tcpcopy. */
export const POOL_LIMIT = 4096;

const FIX =
  'Write addresses, ranges or networks, for example "10.1.0.5,10.1.1.x,10.2.0.1-10.2.0.20,10.3.0.0/28".';

/** The addresses `first` to `last`, both included, as numbers. */
interface Interval {
  family: 4 | 6;
  first: bigint;
  last: bigint;
}

function refuse(text: string, cause: string, fix = FIX): Failure {
  return new Failure(`Cannot use -c "${text}": ${cause}`, fix, 2);
}

function toNumber(address: Address): bigint {
  return address.bytes.reduce((value, byte) => (value << 8n) | BigInt(byte), 0n);
}

function toAddress(family: 4 | 6, value: bigint): Address {
  const length = family === 4 ? 4 : 16;
  const byte = (_: unknown, index: number) => Number((value >> BigInt(8 * (length - 1 - index))) & 0xffn);
  return { family, bytes: Uint8Array.from({ length }, byte) };
}

function parseOne(part: string, text: string): Address {
  const address = parseAddress(text);
  if (!address) throw refuse(part, part === text ? "not an IP address" : `"${text}" is not an IP address`);
  return address;
}

function parseRange(part: string): Interval {
  const [from, to, ...rest] = part.split("-");
  if (rest.length > 0) throw refuse(part, "not a range of two addresses");
  const [first, last] = [parseOne(part, from!), parseOne(part, to!)];
  if (first.family !== last.family) throw refuse(part, "one end is IPv4, the other IPv6");
  const interval = { family: first.family, first: toNumber(first), last: toNumber(last) };
  if (interval.first > interval.last) throw refuse(part, "the first address is above the last");
  return interval;
}

/** The addresses of a network; of an IPv4 network larger than /31 without its network and broadcast address. */
function parseNetwork(part: string): Interval {
  const [text, length, ...rest] = part.split("/");
  const base = parseOne(part, text!);
  const bits = base.family === 4 ? 32 : 128;
  if (rest.length > 0 || !/^[0-9]{1,3}$/.test(length!) || Number(length) > bits) {
    throw refuse(part, `the prefix length is not a whole number from 0 to ${bits}`);
  }
  const size = 1n << BigInt(bits - Number(length));
  const first = toNumber(base) & ~(size - 1n);
  if (first !== toNumber(base)) {
    const network = `${formatAddress(toAddress(base.family, first).bytes)}/${length}`;
    throw refuse(part, "the address is not the first of its network", `Write the network as "${network}".`);
  }
  const last = first + size - 1n;
  const ends = base.family === 4 && size > 2n ? 1n : 0n;
  return { family: base.family, first: first + ends, last: last - ends };
}

function parsePart(part: string): Interval {
  if (part.includes("/")) return parseNetwork(part);
  if (part.includes("-")) return parseRange(part);
  if (/^[0-9]+\.[0-9]+\.[0-9]+\.x$/i.test(part)) {
    const network = part.slice(0, -1);
    const first = toNumber(parseOne(part, `${network}1`));
    return { family: 4, first, last: first + 253n };
  }
  const address = parseOne(part, part);
  return { family: address.family, first: toNumber(address), last: toNumber(address) };
}

/**
 * Every value of `-c`, each a comma list of `a.b.c.d`, `a.b.c.x` (1 to 254), `first-last` and `network/length`, as
 * distinct addresses in the order given. Throws a Failure (exit code 2) that names the part at fault.
 */
export function parsePool(values: readonly string[]): Address[] {
  const pool = new Map<string, Address>();
  for (const part of values.flatMap((value) => value.split(",").map((text) => text.trim()))) {
    const { family, first, last } = parsePart(part);
    if (last - first >= BigInt(POOL_LIMIT)) {
      throw refuse(part, `it names ${last - first + 1n} addresses`, `Name at most ${POOL_LIMIT} addresses.`);
    }
    for (let value = first; value <= last; value++) {
      const address = toAddress(family, value);
      const cause = unusable(address);
      if (cause) throw refuse(part, `"${formatAddress(address.bytes)}" cannot be a client, ${cause}`);
      pool.set(`${family}:${value}`, address);
    }
    if (pool.size > POOL_LIMIT) {
      throw refuse(
        part,
        `with this part there are ${pool.size} addresses`,
        `Name at most ${POOL_LIMIT} addresses.`,
      );
    }
  }
  return [...pool.values()];
}

/**
 * The addresses of a pool that can send to a target: those of its family that are not themselves targets. Throws a Failure
 * (exit code 2) if there are none.
 */
export function poolFor(pool: readonly Address[], target: Address, targets: readonly Address[]): Address[] {
  const usable = pool.filter(
    ({ family, bytes }) =>
      family === target.family && !targets.some((other) => sameAddress(other.bytes, bytes)),
  );
  if (usable.length > 0) return usable;
  throw new Failure(
    `Cannot use -c for target "${formatAddress(target.bytes)}": none of its addresses is IPv${target.family} and not itself a target`,
    `Add IPv${target.family} addresses to -c to which the target has a route through this host.`,
    2,
  );
}
