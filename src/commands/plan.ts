/** From options to everything that is about to be done, before any of it is done. */
import { lookup } from "node:dns/promises";
import { readFileSync } from "node:fs";
import { type Address, formatAddress, formatEndpoint, sameAddress } from "../config/address.ts";
import type { CopyOptions } from "../config/copy.ts";
import { chooseInterfaces, type Interface } from "../config/interfaces.ts";
import { poolFor } from "../config/pool.ts";
import { formatPorts, freePorts, type PortRange, sharedPorts } from "../config/ports.ts";
import { covers, type Lookup, resolveTransfers, type Service } from "../config/transfer.ts";
import { type ResolvedEgress, resolveEgress, sameEgress } from "../inject/egress.ts";
import { Failure } from "../native/failure.ts";
import { links, localAddresses } from "../native/netlink.ts";
import type { EgressConfig, PathConfig } from "../worker/config.ts";
import { requirePrivileges } from "./privileges.ts";

export interface Plan {
  services: Service[];
  /** For each service the indexes of its paths. */
  pathsOf: number[][];
  paths: PathConfig[];
  egresses: EgressConfig[];
  ports: PortRange[];
  /** Where requests are captured. */
  interfaces: Interface[];
  /** What may be wrong and is the user's to judge. */
  warnings: string[];
}

/** What a plan is made from besides the options: this host, or in a test some other. */
export interface Host {
  lookup: Lookup;
  interfaces: Interface[];
  isLocal(address: Uint8Array): boolean;
  /** Texts of the sysctls net.ipv4.ip_local_port_range and ip_local_reserved_ports. */
  localPorts: string;
  reservedPorts: string;
  resolveEgress(target: Address): Promise<ResolvedEgress>;
}

const LOOPBACK6 = Uint8Array.from({ length: 16 }, (_, index) => (index === 15 ? 1 : 0));

/** This host. A dry run sends nothing, changes nothing and needs no privileges. */
export function thisHost({ mark, dryRun, force }: CopyOptions): Host {
  const sysctl = (name: string) => readFileSync(`/proc/sys/net/ipv4/${name}`, "utf8");
  const addresses = localAddresses().map(({ bytes }) => bytes);
  const isLoopback = (bytes: Uint8Array) =>
    bytes.length === 4 ? bytes[0] === 127 : sameAddress(bytes, LOOPBACK6);
  return {
    lookup: (name) => lookup(name, { all: true }),
    interfaces: links(),
    isLocal: (bytes) => isLoopback(bytes) || addresses.some((address) => sameAddress(address, bytes)),
    localPorts: sysctl("ip_local_port_range"),
    reservedPorts: sysctl("ip_local_reserved_ports"),
    resolveEgress: async ({ bytes, family }) => {
      if (!dryRun) requirePrivileges();
      return resolveEgress(bytes, family, mark, !dryRun && !force);
    },
  };
}

/** A target that is itself copied would get each request twice: once from its client, once from us. */
function refuseLoop(services: Service[], host: Host): void {
  for (const { label, target, targetPort } of services) {
    const source = services.find((service) => covers(service, target, targetPort));
    if (!source || !host.isLocal(target.bytes)) continue;
    throw new Failure(
      `Cannot use -x "${label}": the target ${formatEndpoint(target.bytes, targetPort)} is the service that is copied`,
      "Name another host or port as the target, or the address of this host that clients use before the port.",
      2,
    );
  }
}

function choosePorts(options: CopyOptions, host: Host, warnings: string[]): PortRange[] {
  const free = freePorts(host.localPorts, host.reservedPorts);
  if (!options.ports) {
    if (free.length > 0) return free;
    throw new Failure(
      `Cannot find source ports: this host uses all from 1024 for its own connections (${host.localPorts.trim().replace(/\s+/, "-")})`,
      "Name some with --ports, and keep this host from them with the sysctl net.ipv4.ip_local_reserved_ports.",
      3,
    );
  }
  const [first, last] = options.ports;
  if (sharedPorts([options.ports], free) < last - Math.max(first, 1024) + 1) {
    const range = formatPorts([options.ports]);
    warnings.push(
      `This host may use ports of ${range} for its own connections to a target: reserve them (sysctl net.ipv4.ip_local_reserved_ports=${range}).`,
    );
  }
  return [options.ports];
}

/** The way to each distinct target, by its address as text. */
async function resolveTargets(services: Service[], host: Host): Promise<Map<string, ResolvedEgress>> {
  const targets = new Map(services.map((service) => [formatAddress(service.target.bytes), service]));
  const ways = [...targets].map(async ([text, { target, label }]): Promise<[string, ResolvedEgress]> => {
    try {
      return [text, await host.resolveEgress(target)];
    } catch (error) {
      if (!(error instanceof Failure) || error.exitCode !== 3) throw error;
      throw new Failure(`${error.message} (-x "${label}")`, error.fix, 3);
    }
  });
  return new Map(await Promise.all(ways));
}

/** The addresses a target is sent to from. */
function sourcesFor(target: Address, way: ResolvedEgress, pool: Address[], targets: Address[], host: Host) {
  if (pool.length === 0) return [way.source];
  const sources = poolFor(pool, target, targets).map(({ bytes }) => bytes);
  const foreign = host.isLocal(target.bytes) && sources.find((bytes) => !host.isLocal(bytes));
  if (!foreign) return sources;
  throw new Failure(
    `Cannot use -c "${formatAddress(foreign)}": the target ${formatAddress(target.bytes)} is on this host and would answer to the real ${formatAddress(foreign)}`,
    "Leave -c out, or name addresses of this host in it.",
    2,
  );
}

function foreignSources(services: Service[], host: Host): string[] {
  return services.flatMap(({ label, address }) =>
    address && !host.isLocal(address.bytes)
      ? [`${formatAddress(address.bytes)} in -x "${label}" is not an address of this host.`]
      : [],
  );
}

/** Index of the element that `same` holds for, which is added if there is none. */
function indexIn<T>(list: T[], element: T, same: (one: T, other: T) => boolean): number {
  const index = list.findIndex((other) => same(element, other));
  return index < 0 ? list.push(element) - 1 : index;
}

/** Everything that copying with these options means on this host. Throws a Failure if it cannot be done. */
export async function makePlan(options: CopyOptions, host: Host): Promise<Plan> {
  const services = await resolveTransfers(options.transfers, host.lookup);
  const interfaces = chooseInterfaces(options.interfaces, host.interfaces);
  refuseLoop(services, host);
  const warnings = foreignSources(services, host);
  const ports = choosePorts(options, host, warnings);
  const targets = services.map(({ target }) => target);
  const ways = await resolveTargets(services, host);
  const egresses: EgressConfig[] = [];
  const paths: PathConfig[] = [];
  /** Services with the same target share its paths: their connections must not collide. */
  const pathsTo = new Map<string, number[]>();
  const pathsOf = services.map(({ target, targetPort }) => {
    const endpoint = formatEndpoint(target.bytes, targetPort);
    const known = pathsTo.get(endpoint);
    if (known) return known;
    const way = ways.get(formatAddress(target.bytes))!;
    const mtu = Math.min(way.egress.mtu, options.mtu ?? way.egress.mtu);
    const egress = indexIn(egresses, { ...way.egress, mtu }, sameEgress);
    const made = sourcesFor(target, way, options.pool, targets, host).map(
      (local) => paths.push({ family: target.family, local, target: target.bytes, targetPort, egress }) - 1,
    );
    pathsTo.set(endpoint, made);
    return made;
  });
  return { services, pathsOf, paths, egresses, ports, interfaces, warnings };
}
