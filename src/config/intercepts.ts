/** `-s`: the intercepts that catch the answers of the targets. */
import { Failure } from "../native/failure.ts";
import { type Address, parseAddress, unusable } from "./address.ts";
import { isWhole } from "./number.ts";
import { addressesOf, type Choose, type Host, type Lookup } from "./transfer.ts";

/** The port of tcpcopy and intercept. */
export const INTERCEPT_PORT = 36524;

/** One intercept as written. */
export interface Intercept {
  /** The text, for messages. */
  label: string;
  host: Host;
  port: number;
}

/** One with its name resolved. */
export interface InterceptAddress {
  label: string;
  address: Address;
  port: number;
}

const ENDPOINT = /^(?<host>\[[^[\]]*\]|[^[\]:]+)(?::(?<port>[0-9]+))?$/;
const NAME = /^(?=.{1,253}$)[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*\.?$/i;
const FIX = 'Write it as address[:port], for example "10.0.0.2" or "[2001:db8::2]:36524".';

function refuse(text: string, cause: string, fix = FIX): Failure {
  return new Failure(`Cannot use -s "${text}": ${cause}`, fix, 2);
}

/** Every value of `-s`, each a comma list; `port` is for intercepts without their own port. Throws a Failure (exit code 2). */
export function parseIntercepts(values: readonly string[], port: number): Intercept[] {
  const labels = values.flatMap((value) => value.split(",").map((text) => text.trim()));
  return labels.map((label) => {
    const parts = ENDPOINT.exec(label)?.groups;
    if (!parts) throw refuse(label, "it is not address[:port] (IPv6 addresses go in brackets)");
    if (parts.port !== undefined && !isWhole(parts.port, { first: 1, last: 65535 })) {
      throw refuse(label, `"${parts.port}" is not a port from 1 to 65535`);
    }
    if (labels.indexOf(label) !== labels.lastIndexOf(label)) throw refuse(label, "it is given twice");
    const text = parts.host!;
    const bare = text.startsWith("[") ? text.slice(1, -1) : text;
    const address = parseAddress(bare);
    const cause = address && unusable(address);
    if (cause) throw refuse(label, `"${text}" cannot be one end of a connection, ${cause}`);
    if (!address && (bare !== text || /(^|\.)[0-9]+\.?$/.test(bare) || !NAME.test(bare))) {
      throw refuse(label, `"${text}" is neither an address nor a name`);
    }
    return {
      label,
      host: address ? { address } : { name: bare },
      port: parts.port === undefined ? port : Number(parts.port),
    };
  });
}

/** Looks names up; of several addresses `choose` finds the one to use. Throws a Failure (exit code 2) for one that has none. */
export async function resolveIntercepts(
  intercepts: readonly Intercept[],
  lookup: Lookup,
  choose: Choose,
): Promise<InterceptAddress[]> {
  return Promise.all(
    intercepts.map(async ({ label, host, port }) => {
      if ("address" in host) return { label, address: host.address, port };
      const addresses = await addressesOf(host.name, lookup);
      const [only] = addresses;
      if (only) {
        const address = addresses.length === 1 ? only : await choose({ name: host.name, addresses, port });
        return { label, address, port };
      }
      const fix = `Check the name, or write its address: "getent ahosts ${host.name}" must print one.`;
      throw refuse(label, `the name "${host.name}" does not resolve`, fix);
    }),
  );
}
