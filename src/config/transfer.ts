/** `-x`: which service is copied where. */
import { Failure } from "../native/failure.ts";
import { type Address, formatEndpoint, parseAddress, sameAddress, unusable } from "./address.ts";

const FIX =
  'Write it as [address:]port-target[:port], for example "80-10.0.0.2:8080" or "80-[2001:db8::2]:8080".';

/** One side as written: an address, a name still to be resolved, or (of a source) nothing for every address. */
export type Host = { address: Address } | { name: string };

/** One transfer as written. */
export interface Transfer {
  /** The text, for messages. */
  label: string;
  source: Host | null;
  port: number;
  target: Host;
  targetPort: number;
}

/** One transfer with its names resolved. */
export interface Service {
  label: string;
  /** The address clients connect to; null: every address of this host. */
  address: Address | null;
  port: number;
  target: Address;
  targetPort: number;
}

/** Finds the addresses of a name, the preferred one first; rejects with an error if there are none. */
export type Lookup = (name: string) => Promise<{ address: string }[]>;

const SOURCE = /^(?:(?<host>\[[^[\]]*\]|[^[\]:]+):)?(?<port>[0-9]+)-(?<target>.+)$/;
const TARGET = /^(?<host>\[[^[\]]*\]|[^[\]:]+)(?::(?<port>[^:]*))?$/;
const NAME = /^(?=.{1,253}$)[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*\.?$/i;

function refuse(text: string, cause: string, fix = FIX): Failure {
  return new Failure(`Cannot use -x "${text}": ${cause}`, fix, 2);
}

function parsePort(label: string, text: string): number {
  const port = Number(text);
  if (!/^[0-9]{1,5}$/.test(text) || port < 1 || port > 65535) {
    throw refuse(label, `"${text}" is not a port from 1 to 65535`);
  }
  return port;
}

function parseHost(label: string, text: string): Host {
  const bare = text.startsWith("[") ? text.slice(1, -1) : text;
  const address = parseAddress(bare);
  if (address) {
    const cause = unusable(address);
    if (cause) throw refuse(label, `"${text}" cannot be one end of a connection, ${cause}`);
    return { address };
  }
  // What ends in a number is meant as an IPv4 address (so says the URL standard), not as a name.
  if (bare !== text || /(^|\.)[0-9]+\.?$/.test(bare) || !NAME.test(bare)) {
    throw refuse(label, `"${text}" is neither an address nor a name`);
  }
  return { name: bare };
}

function parseTransfer(label: string): Transfer {
  if (!label.includes("-")) throw refuse(label, "there is no target in it");
  const source = SOURCE.exec(label)?.groups;
  if (!source) throw refuse(label, "what stands before the target is not [address:]port");
  const target = TARGET.exec(source.target!)?.groups;
  if (!target) {
    throw refuse(label, `"${source.target}" is not target[:port] (IPv6 addresses go in brackets)`);
  }
  const port = parsePort(label, source.port!);
  return {
    label,
    source: source.host === undefined ? null : parseHost(label, source.host),
    port,
    target: parseHost(label, target.host!),
    targetPort: target.port === undefined ? port : parsePort(label, target.port),
  };
}

/** Every value of `-x`, each a comma list. Throws a Failure (exit code 2) that names the part at fault. */
export function parseTransfers(values: readonly string[]): Transfer[] {
  if (values.length === 0) {
    throw new Failure("Cannot copy anything: no -x says from where to where", FIX, 2);
  }
  return values.flatMap((value) => value.split(",").map((part) => parseTransfer(part.trim())));
}

async function resolveHost(label: string, host: Host, lookup: Lookup): Promise<Address> {
  if ("address" in host) return host.address;
  const fix = `Check the name, or write its address: "getent ahosts ${host.name}" must print one.`;
  let found: { address: string }[];
  try {
    found = await lookup(host.name);
  } catch {
    throw refuse(label, `the name "${host.name}" does not resolve`, fix);
  }
  const address = found.length > 0 ? parseAddress(found[0]!.address) : null;
  if (!address || unusable(address)) throw refuse(label, `the name "${host.name}" does not resolve`, fix);
  return address;
}

/** Looks up the names in transfers: the first address of each. Throws a Failure (exit code 2) for one that has none. */
export async function resolveTransfers(transfers: readonly Transfer[], lookup: Lookup): Promise<Service[]> {
  const services = await Promise.all(
    transfers.map(async ({ label, source, port, target, targetPort }) => ({
      label,
      address: source && (await resolveHost(label, source, lookup)),
      port,
      target: await resolveHost(label, target, lookup),
      targetPort,
    })),
  );
  refuseSameSource(services);
  return services;
}

/** Whether requests to `address` and `port` are taken by a service. */
export function covers(service: Service, address: Address, port: number): boolean {
  return service.port === port && (!service.address || sameAddress(service.address.bytes, address.bytes));
}

function sameSource(one: Service, other: Service): boolean {
  if (one.port !== other.port) return false;
  if (!one.address || !other.address) return one.address === other.address;
  return sameAddress(one.address.bytes, other.address.bytes);
}

/**
 * A request has one target: two transfers with the same source are a mistake. (With and without an address are two
 * sources: the kernel program takes the one with the address first.)
 */
function refuseSameSource(services: readonly Service[]): void {
  for (const [index, service] of services.entries()) {
    const earlier = services.slice(0, index).find((other) => sameSource(other, service));
    if (!earlier) continue;
    const twice = formatService(earlier) === formatService(service);
    throw refuse(
      service.label,
      twice ? "it is given twice" : `"${earlier.label}" takes the same requests`,
      twice ? "Leave one of them out." : "Give one target for each address and port of this host.",
    );
  }
}

/** The whole of a service in the syntax of `-x`: `10.0.0.1:80-10.0.0.2:8080`. */
export function formatService(service: Service): string {
  const { address, port, target, targetPort } = service;
  const source = address ? formatEndpoint(address.bytes, port) : String(port);
  return `${source}-${formatEndpoint(target.bytes, targetPort)}`;
}
