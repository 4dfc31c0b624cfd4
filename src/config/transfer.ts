/**
 * `-x`: which service is copied where. `80-a,80-b` copies every session to a and to b, `80-a|b` each to one of the two;
 * `udp:53-a` is about UDP.
 */
import { Failure } from "../native/failure.ts";
import {
  type Address,
  formatEndpoint,
  isLinkLocal,
  parseAddress,
  parseZoned,
  sameAddress,
  unusable,
} from "./address.ts";
import { parseMac } from "./injection.ts";
import { isWhole, type Range } from "./number.ts";

const MAC_FIX =
  'Write it as six hexadecimal numbers: "80-10.0.0.2:8080@02:00:00:00:00:01", and that of the sender as "80@02:00:00:00:00:02-...".';
const FIX =
  'Write it as [address:]port-target[:port], for example "80-10.0.0.2:8080" or "80-[2001:db8::2]:8080".';
const GROUP_FIX =
  'Write a group as target[:port][*weight]|..., in quotes for the shell, for example "80-10.0.0.2|10.0.0.3:81*2".';
const WEIGHT: Range = { first: 1, last: 1000 };

/** One side as written: an address, a name still to be resolved, or (of a source) nothing for every address. */
export type Host = { address: Address } | { name: string };

/** One transfer as written. */
export interface Transfer {
  /** The text, for messages. */
  label: string;
  /** Absent: TCP. */
  transport?: "udp";
  source: Host | null;
  port: number;
  /** Of the frames that are sent; absent: the interface's own. */
  sourceMac?: Uint8Array;
  /** The targets that share the sessions in proportion to their weights; `mac`: that of the next hop towards the target. */
  targets: { host: Host; port: number; weight: number; mac?: Uint8Array }[];
}

/** A target with its name resolved. */
export interface Target {
  address: Address;
  port: number;
  /** Its part of the sessions of the route is this over the sum of all weights. */
  weight: number;
  /** MAC address of the next hop towards it; absent: looked up. */
  mac?: Uint8Array;
  /** MAC address that frames are sent from; absent: the interface's own. */
  sourceMac?: Uint8Array;
}

/** Where every session of a service is copied: to one of these, with which it stays. */
export interface Route<T extends Target = Target> {
  /** The transfer that asks for it, as written. */
  label: string;
  targets: T[];
}

/** A service that is captured, and the routes of all transfers with this source. */
export interface Service<T extends Target = Target> {
  /** The address clients connect to; null: every address of this host. */
  address: Address | null;
  port: number;
  /** Absent: TCP. */
  transport?: "udp";
  routes: Route<T>[];
}

/** Finds the addresses of a name, the preferred one first; rejects with an error if there are none. */
export type Lookup = (name: string) => Promise<{ address: string }[]>;

/** A name that is to be connected to, and has several addresses, the preferred one first. */
export interface Ambiguous {
  name: string;
  addresses: Address[];
  port: number;
  transport?: "udp";
}

/** Finds out which of a name's addresses to use. */
export type Choose = (of: Ambiguous) => Promise<Address>;

const TRANSPORT = /^(?:(?<transport>tcp|udp):)?(?<rest>.*)$/i;
const SOURCE = /^(?:(?<host>\[[^[\]]*\]|[^[\]:]+):)?(?<port>[0-9]+)(?:@(?<mac>[^-]*))?-(?<target>.+)$/;
const TARGET = /^(?<host>\[[^[\]]*\]|[^[\]:@]+)(?::(?<port>[^:@]*))?(?:@(?<mac>.*))?$/;
const NAME = /^(?=.{1,253}$)[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*\.?$/i;

/** The Failure for a part of `-x`. */
export function refuse(text: string, cause: string, fix = FIX): Failure {
  return new Failure(`Cannot use -x "${text}": ${cause}`, fix, 2);
}

/** A port as text; throws a Failure that names `label`. */
export function parsePort(label: string, text: string): number {
  const port = Number(text);
  if (!/^[0-9]{1,5}$/.test(text) || port < 1 || port > 65535) {
    throw refuse(label, `"${text}" is not a port from 1 to 65535`);
  }
  return port;
}

/** An address, IPv6 in brackets, or a name; throws a Failure that names `label`. */
export function parseHost(label: string, text: string): Host {
  const bare = text.startsWith("[") ? text.slice(1, -1) : text;
  const address = parseAddress(bare) ?? parseZoned(bare);
  if (address) {
    const cause = unusable(address);
    const fix = isLinkLocal(address.bytes)
      ? `Name the interface of that link too, as in "[${bare}%eth0]".`
      : FIX;
    if (cause) throw refuse(label, `"${text}" cannot be one end of a connection, ${cause}`, fix);
    return { address };
  }
  // A host that ends in a number is meant as an IPv4 address, not as a name (as in the URL standard).
  if (bare !== text || /(^|\.)[0-9]+\.?$/.test(bare) || !NAME.test(bare)) {
    throw refuse(label, `"${text}" is neither an address nor a name`);
  }
  return { name: bare };
}

function parseMacOf(label: string, text: string): Uint8Array {
  const mac = parseMac(text);
  if (mac === null) throw refuse(label, `"${text}" is not the MAC address of a host`, MAC_FIX);
  return mac;
}

/** A target with its port (`port` if it names none) and weight; throws a Failure that names `label`. */
export function parseTarget(label: string, text: string, port: number): Transfer["targets"][number] {
  const [endpoint, weight, ...rest] = text.split("*");
  const target = TARGET.exec(endpoint!)?.groups;
  if (!target) {
    throw refuse(label, `"${endpoint}" is not target[:port] (IPv6 addresses go in brackets)`);
  }
  if (rest.length > 0 || (weight !== undefined && !isWhole(weight, WEIGHT))) {
    const written = text.slice(endpoint!.length + 1);
    throw refuse(label, `"${written}" is not a weight from ${WEIGHT.first} to ${WEIGHT.last}`, GROUP_FIX);
  }
  return {
    host: parseHost(label, target.host!),
    port: target.port === undefined ? port : parsePort(label, target.port),
    weight: weight === undefined ? 1 : Number(weight),
    ...(target.mac !== undefined && { mac: parseMacOf(label, target.mac) }),
  };
}

function parseTransfer(label: string): Transfer {
  if (!label.includes("-")) throw refuse(label, "there is no target in it");
  if (label.endsWith("-")) throw refuse(label, "there is no target behind the last -");
  const { transport, rest } = TRANSPORT.exec(label)!.groups!;
  const source = SOURCE.exec(rest!)?.groups;
  const other = /^(sctp|dccp|quic|https?)$/i.exec(source?.host ?? "")?.[0];
  if (other !== undefined) {
    const fix = 'Leave it out for TCP, and write UDP as "udp:53-10.0.0.2:5353".';
    throw refuse(label, `"${other}:" is neither "tcp:" nor "udp:"`, fix);
  }
  if (!source) throw refuse(label, "the part before the target is not [address:]port");
  const port = parsePort(label, source.port!);
  const targets = source.target!.split("|").map((text) => parseTarget(label, text, port));
  if (targets.length === 1 && source.target!.includes("*")) {
    const fix = "Leave it out; to send every request several times there is -n.";
    throw refuse(label, "a weight needs a second target to share connections with", fix);
  }
  return {
    label,
    ...(transport?.toLowerCase() === "udp" ? { transport: "udp" as const } : {}),
    source: source.host === undefined ? null : parseHost(label, source.host),
    port,
    ...(source.mac !== undefined && { sourceMac: parseMacOf(label, source.mac) }),
    targets,
  };
}

/** Every value of `-x`, each a comma list. Throws a Failure (exit code 2) that names the part at fault. */
export function parseTransfers(values: readonly string[]): Transfer[] {
  if (values.length === 0) {
    throw new Failure("Cannot copy anything: no -x names a service and its target", FIX, 2);
  }
  return values.flatMap((value) => value.split(",").map((part) => parseTransfer(part.trim())));
}

/** All addresses of a name that can be one end of a connection, each once; none if it does not resolve. */
export async function addressesOf(name: string, lookup: Lookup): Promise<Address[]> {
  const found = await lookup(name).catch(() => []);
  const texts = new Set(found.map(({ address }) => address));
  return [...texts].flatMap((text) => {
    const address = parseAddress(text);
    return address && !unusable(address) ? [address] : [];
  });
}

/** Of several addresses the one that `choose` finds, else the only one; throws a Failure that names `label` if there is none. */
async function resolveAny(
  label: string,
  host: Host,
  lookup: Lookup,
  choose: (name: string, addresses: Address[]) => Promise<Address> | Address,
): Promise<Address> {
  if ("address" in host) return host.address;
  const addresses = await addressesOf(host.name, lookup);
  if (addresses.length > 1) return choose(host.name, addresses);
  if (addresses.length === 1) return addresses[0]!;
  const fix = `Check the name, or write its address: "getent ahosts ${host.name}" must print one.`;
  throw refuse(label, `the name "${host.name}" does not resolve`, fix);
}

/** The address of a host, the preferred one of several; throws a Failure that names `label` for a name that has none. */
export function resolveHost(label: string, host: Host, lookup: Lookup): Promise<Address> {
  return resolveAny(label, host, lookup, (_, addresses) => addresses[0]!);
}

/** Those of the family that clients have come first: with -s they must be of one family. */
function sortFor(source: Address | null, addresses: Address[]): Address[] {
  const isLike = ({ family }: Address) => source === null || family === source.family;
  return [...addresses.filter(isLike), ...addresses.filter((address) => !isLike(address))];
}

async function resolveTransfer(transfer: Transfer, lookup: Lookup, choose: Choose): Promise<Service> {
  const { label, source, port, transport } = transfer;
  const address = source && (await resolveHost(label, source, lookup));
  const targets = transfer.targets.map(async (target) => ({
    address: await resolveAny(label, target.host, lookup, (name, addresses) =>
      choose({
        name,
        addresses: sortFor(address, addresses),
        port: target.port,
        ...(transport && { transport }),
      }),
    ),
    port: target.port,
    weight: target.weight,
    ...(target.mac && { mac: target.mac }),
    ...(transfer.sourceMac && { sourceMac: transfer.sourceMac }),
  }));
  const routes = [{ label, targets: await Promise.all(targets) }];
  return { address, port, ...(transport ? { transport } : {}), routes };
}

function refuseTwiceInGroup({ label, targets }: Route): void {
  const endpoints = targets.map(({ address, port }) => formatEndpoint(address.bytes, port));
  const twice = endpoints.find((endpoint, index) => endpoints.indexOf(endpoint) < index);
  if (!twice) return;
  const fix = `Name it once, and give it a weight: "${twice}*2".`;
  throw refuse(label, `the target ${twice} is in it twice`, fix);
}

function sameSource(one: Service, other: Service): boolean {
  if (one.port !== other.port || one.transport !== other.transport) return false;
  if (!one.address || !other.address) return one.address === other.address;
  return sameAddress(one.address.bytes, other.address.bytes);
}

/**
 * Transfers as services: names are looked up (of a target with several addresses `choose` finds the one to use, of a source
 * the first counts), and transfers with the same source become the routes of one service, so that each gets a copy of every session. (With and without an address are two
 * sources: the kernel program takes the one with the address first.) Throws a Failure (exit code 2) for a name that has
 * no address, for a transfer that is given twice and for a target that is twice in a group.
 */
export async function resolveTransfers(
  transfers: readonly Transfer[],
  lookup: Lookup,
  choose: Choose,
): Promise<Service[]> {
  const services: Service[] = [];
  const resolved = transfers.map((transfer) => resolveTransfer(transfer, lookup, choose));
  for (const found of await Promise.all(resolved)) {
    const route = found.routes[0]!;
    refuseTwiceInGroup(route);
    const service = services.find((other) => sameSource(other, found));
    if (!service) {
      services.push(found);
      continue;
    }
    if (service.routes.some((other) => formatRoute(service, other) === formatRoute(service, route))) {
      const fix = "Leave one of them out; to send every request several times there is -n.";
      throw refuse(route.label, "it is given twice", fix);
    }
    service.routes.push(route);
  }
  return services;
}

/** Whether requests to `address` and `port` are taken by a service. */
export function covers(service: Service, address: Address, port: number): boolean {
  return service.port === port && (!service.address || sameAddress(service.address.bytes, address.bytes));
}

/** The transfers of a service as written, for messages. */
export function labelOf({ routes }: Service): string {
  return routes.map(({ label }) => label).join(", ");
}

/** The whole of a route in the syntax of `-x`: `10.0.0.1:80-10.0.0.2:8080|10.0.0.3:8080*2`. */
export function formatRoute({ address, port, transport }: Service, { targets }: Route): string {
  const prefix = transport ? `${transport}:` : "";
  const source = address ? formatEndpoint(address.bytes, port) : String(port);
  const texts = targets.map(
    (target) =>
      formatEndpoint(target.address.bytes, target.port) + (target.weight === 1 ? "" : `*${target.weight}`),
  );
  return `${prefix}${source}-${texts.join("|")}`;
}
