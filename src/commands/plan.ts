/** From options to everything that is about to be done, before any of it is done. */
import { lookup } from "node:dns/promises";
import { readFileSync } from "node:fs";
import { type Address, formatAddress, formatEndpoint } from "../config/address.ts";
import type { CopyOptions } from "../config/copy.ts";
import { chooseInterfaces, type Interface } from "../config/interfaces.ts";
import { poolFor } from "../config/pool.ts";
import { countPorts, formatPorts, freePorts, type PortRange, partOf, sharedPorts } from "../config/ports.ts";
import { covers, type Lookup, resolveTransfers, type Service, type Target } from "../config/transfer.ts";
import { type ResolvedEgress, resolveEgress, sameEgress } from "../inject/egress.ts";
import { Failure } from "../native/failure.ts";
import { links } from "../native/netlink.ts";
import type { EgressConfig, PathConfig } from "../worker/config.ts";
import { localTest } from "./local.ts";
import { requirePrivileges } from "./privileges.ts";

/** A target and the ways to it. */
export interface PlannedTarget extends Target {
  /** Indexes into the paths of the plan, one per source address. */
  paths: number[];
}

export interface Plan {
  services: Service<PlannedTarget>[];
  paths: PathConfig[];
  egresses: EgressConfig[];
  ports: PortRange[];
  /** Where requests are captured. */
  interfaces: Interface[];
  /** What may be wrong and is the user's to judge. */
  warnings: string[];
}

/** How often a session is copied, over all targets: the most of any service. */
export function copiesOf({ services }: Plan, { replicas }: CopyOptions): number {
  return replicas * Math.max(...services.map(({ routes }) => routes.length));
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

/** This host. A dry run sends nothing, changes nothing and needs no privileges. */
export function thisHost({ mark, dryRun, force }: CopyOptions): Host {
  const sysctl = (name: string) => readFileSync(`/proc/sys/net/ipv4/${name}`, "utf8");
  return {
    lookup: (name) => lookup(name, { all: true }),
    interfaces: links(),
    isLocal: localTest(),
    localPorts: sysctl("ip_local_port_range"),
    reservedPorts: sysctl("ip_local_reserved_ports"),
    resolveEgress: async ({ bytes, family }) => {
      if (!dryRun) requirePrivileges();
      return resolveEgress(bytes, family, mark, !dryRun && !force);
    },
  };
}

/** Every target, with the transfer that names it. */
function targetsOf(services: Service[]): { label: string; target: Target }[] {
  return services.flatMap(({ routes }) =>
    routes.flatMap(({ label, targets }) => targets.map((target) => ({ label, target }))),
  );
}

/** A target that is itself copied would get each request twice: once from its client, once from us. */
function refuseLoop(services: Service[], host: Host): void {
  for (const { label, target } of targetsOf(services)) {
    const source = services.find((service) => covers(service, target.address, target.port));
    if (!source || !host.isLocal(target.address.bytes)) continue;
    throw new Failure(
      `Cannot use -x "${label}": the target ${formatEndpoint(target.address.bytes, target.port)} is the service that is copied`,
      "Name another host or port as the target, or the address of this host that clients use before the port.",
      2,
    );
  }
}

/** The part of the ports that -f asks for. */
function choosePart(ports: PortRange[], { part }: CopyOptions): PortRange[] {
  if (!part) return ports;
  const count = countPorts(ports);
  if (part.count <= count) return partOf(ports, part);
  throw new Failure(
    `Cannot use -f "${part.index}/${part.count}": there are fewer ports, ${count} (${formatPorts(ports)})`,
    "Divide them into fewer parts, or name more with --ports, the same for each xcopy.",
    2,
  );
}

function choosePorts(options: CopyOptions, host: Host, warnings: string[]): PortRange[] {
  const free = freePorts(host.localPorts, host.reservedPorts);
  if (!options.ports) {
    if (free.length > 0) return choosePart(free, options);
    throw new Failure(
      `Cannot find source ports: this host uses all from 1024 for its own connections (${host.localPorts.trim().replace(/\s+/, "-")})`,
      "Name some with --ports, and keep this host from them with the sysctl net.ipv4.ip_local_reserved_ports.",
      3,
    );
  }
  const ports = choosePart([options.ports], options);
  if (sharedPorts(ports, free) < sharedPorts(ports, [[1024, 65535]])) {
    const range = formatPorts(ports);
    warnings.push(
      `This host may use ports of ${range} for its own connections to a target: reserve them (sysctl net.ipv4.ip_local_reserved_ports=${range}).`,
    );
  }
  return ports;
}

/** The way to each distinct target, by its address as text. */
async function resolveTargets(services: Service[], host: Host): Promise<Map<string, ResolvedEgress>> {
  const targets = new Map(
    targetsOf(services).map(({ label, target: { address } }) => [
      formatAddress(address.bytes),
      { label, address },
    ]),
  );
  const ways = [...targets].map(async ([text, { label, address }]): Promise<[string, ResolvedEgress]> => {
    try {
      return [text, await host.resolveEgress(address)];
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
  return services.flatMap(({ address, routes }) =>
    address && !host.isLocal(address.bytes)
      ? [`${formatAddress(address.bytes)} in -x "${routes[0]!.label}" is not an address of this host.`]
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
  const targets = targetsOf(services).map(({ target }) => target.address);
  const ways = await resolveTargets(services, host);
  const egresses: EgressConfig[] = [];
  const paths: PathConfig[] = [];
  /** Whoever copies to the same target shares its paths: the connections must not collide. */
  const pathsTo = new Map<string, number[]>();
  const addPaths = ({ address, port }: Target): number[] => {
    const endpoint = formatEndpoint(address.bytes, port);
    const known = pathsTo.get(endpoint);
    if (known) return known;
    const way = ways.get(formatAddress(address.bytes))!;
    const mtu = Math.min(way.egress.mtu, options.mtu ?? way.egress.mtu);
    const egress = indexIn(egresses, { ...way.egress, mtu }, sameEgress);
    const { family, bytes: target } = address;
    const made = sourcesFor(address, way, options.pool, targets, host).map(
      (local) => paths.push({ family, local, target, targetPort: port, egress }) - 1,
    );
    pathsTo.set(endpoint, made);
    return made;
  };
  const planned = services.map(({ address, port, routes }) => ({
    address,
    port,
    routes: routes.map(({ label, targets }) => ({
      label,
      targets: targets.map((target) => ({ ...target, paths: addPaths(target) })),
    })),
  }));
  return { services: planned, paths, egresses, ports, interfaces, warnings };
}
