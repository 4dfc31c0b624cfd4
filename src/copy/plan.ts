/** Makes the plan of `xcopy copy`: all that will be done, from the options and this host, before any of it is done. */
import { lookup } from "node:dns/promises";
import { existsSync, readFileSync } from "node:fs";
import type { Key } from "../channel/key.ts";
import { type Address, formatAddress, formatEndpoint, parseAddress } from "../config/address.ts";
import { needsBpf } from "../config/capture.ts";
import { chooseInputs } from "../config/inputs.ts";
import { type InterceptAddress, resolveIntercepts } from "../config/intercepts.ts";
import { type Interface, meansEvery } from "../config/interfaces.ts";
import { poolFor } from "../config/pool.ts";
import { countPorts, formatPorts, freePorts, type PortRange, partOf, sharedPorts } from "../config/ports.ts";
import {
  type Ambiguous,
  covers,
  type Lookup,
  labelOf,
  resolveTransfers,
  type Service,
  type Target,
} from "../config/transfer.ts";
import { localTest } from "../host/local-addresses.ts";
import { requirePrivileges } from "../host/privileges.ts";
import { type ResolvedEgress, resolveEgress, sameEgress, type Way } from "../inject/egress.ts";
import type { EgressConfig, PathConfig } from "../inject/path.ts";
import { Failure } from "../native/failure.ts";
import { links } from "../native/netlink/netlink.ts";
import { usableCpus } from "../native/scheduling.ts";
import { comparedTargets } from "./comparison/targets.ts";
import { datagramNotes } from "./datagram-notes.ts";
import type { CopyOptions } from "./options.ts";
import { chooseAddress, hasRoute, tryConnection } from "./target/choose-address.ts";
import type { PlannedWay } from "./ways/follow.ts";
import { planWorkers, type WorkerPlan } from "./worker-plan.ts";

/** A target and the ways to it. */
export interface PlannedTarget extends Target {
  /** Indexes into the paths of the plan, one per source address. */
  paths: number[];
}

export interface Plan {
  services: Service<PlannedTarget>[];
  paths: PathConfig[];
  egresses: EgressConfig[];
  /** The way to each distinct target; each path is of one. */
  ways: PlannedWay[];
  ports: PortRange[];
  workers: WorkerPlan;
  /** Where answers are caught; empty: at this host's own address. */
  intercepts: InterceptAddress[];
  /** What the intercepts have too; null: --insecure, --compat, or there are none. */
  key: Key | null;
  /** By path: the source address of its preflight connection; empty without intercepts. */
  probeFrom: Uint8Array[];
  /** Whether copies come from the addresses of -c. */
  usesPool: boolean;
  /** Whether a copied connection has the port of its client too. */
  keepsClientPorts: boolean;
  /** Where requests are captured. */
  interfaces: Interface[];
  /** Whether that is every interface that is up, also those that come later; else those with these names. */
  followsAll: boolean;
  /** Where recorded requests are read instead: paths, or "-" for standard input. */
  files: string[];
  /** What may be wrong, for the user to judge. */
  warnings: string[];
}

/** How often a session is copied, over all targets: the most of any service. */
export function copiesOf({ services }: Plan, { replicas }: CopyOptions): number {
  return replicas * Math.max(...services.map(({ routes }) => routes.length));
}

/** What a plan is made from besides the options: this host, or in a test another one. */
export interface Host {
  lookup: Lookup;
  /** Which of several addresses of a name to use, and a line for the user that says why. */
  choose(of: Ambiguous): Promise<{ address: Address; note: string }>;
  interfaces: Interface[];
  isLocal(address: Uint8Array): boolean;
  /** Whether there is a file or directory of this name. */
  exists(path: string): boolean;
  /** Texts of the sysctls net.ipv4.ip_local_port_range and ip_local_reserved_ports. */
  localPorts: string;
  reservedPorts: string;
  /** The CPUs that xcopy may run on. */
  cpus: number[];
  resolveEgress(target: Address, way: Way): Promise<ResolvedEgress>;
}

/** This host. A dry run sends nothing, changes nothing and needs no privileges; nor does a copy that runs, and has what it needs. */
export function thisHost({ mark, dryRun, force, capture }: CopyOptions, runs = false): Host {
  const sysctl = (name: string, usual: string) => {
    try {
      return readFileSync(`/proc/sys/net/ipv4/${name}`, "utf8");
    } catch {
      // Containers may be without /proc/sys.
      return usual;
    }
  };
  return {
    lookup: (name) => lookup(name, { all: true }),
    choose: (of) => chooseAddress(of, dryRun ? hasRoute : tryConnection),
    interfaces: links(),
    exists: existsSync,
    isLocal: localTest(),
    localPorts: sysctl("ip_local_port_range", "32768 60999"),
    reservedPorts: sysctl("ip_local_reserved_ports", ""),
    cpus: usableCpus(),
    resolveEgress: async ({ bytes, family }, way) => {
      const bpf = needsBpf(capture) ? "needed" : "wanted";
      if (!dryRun && !runs) requirePrivileges({ what: "capture and send packets", bpf, sockets: true });
      return resolveEgress(bytes, family, mark, !dryRun && !force, way);
    },
  };
}

/** Every target, with the transfer that names it. */
function targetsOf(services: Service[]): { label: string; target: Target; transport: "udp" | undefined }[] {
  return services.flatMap(({ transport, routes }) =>
    routes.flatMap(({ label, targets }) => targets.map((target) => ({ label, target, transport }))),
  );
}

/** A target that is itself copied would get each request twice: once from its client, once from us. */
function refuseLoop(services: Service[], host: Host): void {
  for (const { label, target, transport } of targetsOf(services)) {
    const source = services.find(
      (service) => service.transport === transport && covers(service, target.address, target.port),
    );
    if (!source || !host.isLocal(target.address.bytes)) continue;
    throw new Failure(
      `Cannot use -x "${label}": the target ${formatEndpoint(target.address.bytes, target.port)} is the service that is copied`,
      "Name another host or port as the target, or write before the port the address of this host that clients use.",
      2,
    );
  }
}

/** Refuses options about recorded traffic where it is live, and the other way round. */
function refuseOther({ traceOptions, captureOptions, ramp }: CopyOptions, isLive: boolean): void {
  if (isLive && traceOptions.length > 0) {
    const cause = "it is about recorded traffic, and -i names no file";
    throw new Failure(
      `Cannot use --${traceOptions[0]}: ${cause}`,
      "Name a file with -i, or leave it out.",
      2,
    );
  }
  if (!isLive && captureOptions.length > 0) {
    const cause = "it is about live traffic, and -i names a file";
    throw new Failure(`Cannot use --${captureOptions[0]}: ${cause}`, "Leave it out, or name interfaces.", 2);
  }
  if (!isLive && ramp > 0) {
    const fix = "Leave it out; --rate and --users limit how much is replayed.";
    throw new Failure("Cannot use -g: it is about live traffic, and -i names a file", fix, 2);
  }
}

/** The part of the ports that -f asks for. */
function choosePart(ports: PortRange[], { part }: CopyOptions): PortRange[] {
  if (!part) return ports;
  const count = countPorts(ports);
  if (part.count <= count) return partOf(ports, part);
  throw new Failure(
    `Cannot use -f "${part.index}/${part.count}": there are only ${count} ports (${formatPorts(ports)})`,
    "Divide them into fewer parts, or name more with --ports, the same for each xcopy.",
    2,
  );
}

/** How the warning begins about ports that this host may use itself. */
export const PORTS_WARNING = "This host may use ports of";

/** The ports of addresses that are not this host's own. */
const FOREIGN_PORTS: PortRange = [1024, 65535];

function choosePorts(options: CopyOptions, host: Host, warnings: string[]): PortRange[] {
  if (options.intercepts.length > 0) return choosePart([options.ports ?? FOREIGN_PORTS], options);
  const free = freePorts(host.localPorts, host.reservedPorts);
  if (!options.ports) {
    if (free.length > 0) return choosePart(free, options);
    throw new Failure(
      `Cannot find source ports: this host uses all from 1024 for its own connections (${host.localPorts.trim().replace(/\s+/, "-")})`,
      "Name some with --ports, and reserve them with the sysctl net.ipv4.ip_local_reserved_ports.",
      3,
    );
  }
  const ports = choosePart([options.ports], options);
  if (sharedPorts(ports, free) < sharedPorts(ports, [[1024, 65535]])) {
    const range = formatPorts(ports);
    warnings.push(
      `${PORTS_WARNING} ${range} for its own connections to a target: reserve them (sysctl net.ipv4.ip_local_reserved_ports=${range}).`,
    );
  }
  return ports;
}

/** Index of the interface that -o names; 0 without it. */
function outputOf({ output }: CopyOptions, host: Host): number {
  if (output === null) return 0;
  const found = host.interfaces.find(({ name }) => name === output);
  if (found) return found.ifindex;
  const known = host.interfaces.map(({ name }) => name).join(", ");
  throw new Failure(`Cannot use -o "${output}": no such network interface`, `There are: ${known}.`, 2);
}

/** What the options say about the way to each distinct target, by its address as text. */
function waysAsked(services: Service[], options: CopyOptions, host: Host) {
  const { inject } = options;
  const over = outputOf(options, host);
  const asked = new Map<string, { label: string; address: Address; way: Way }>();
  for (const { label, target } of targetsOf(services)) {
    const { address, mac: nextHopMac, sourceMac } = target;
    const way = {
      inject,
      over: overZone(label, address, over, host),
      ...(nextHopMac && { nextHopMac }),
      ...(sourceMac && { sourceMac }),
    };
    const text = formatAddress(address.bytes);
    const known = asked.get(text);
    if ((nextHopMac || sourceMac) && inject === "raw") {
      const cause = "with --inject raw the kernel finds the next hop";
      throw new Failure(`Cannot use -x "${label}": ${cause}`, "Leave the MAC address or --inject out.", 2);
    }
    if (known && known.way.over !== way.over) {
      const cause = `${text} is on another link in -x "${known.label}"`;
      throw new Failure(
        `Cannot use -x "${label}": ${cause}`,
        "Copy to one of the two with another xcopy.",
        2,
      );
    }
    const agrees = sameMac(known?.way.nextHopMac, nextHopMac) && sameMac(known?.way.sourceMac, sourceMac);
    if (known && !agrees) {
      const cause = `the way to ${text} has other MAC addresses in -x "${known.label}"`;
      throw new Failure(
        `Cannot use -x "${label}": ${cause}`,
        "Give the same MAC addresses wherever this target is named.",
        2,
      );
    }
    asked.set(text, { label, address, way });
  }
  return asked;
}

/** The interface to send over: that of the address's zone, if it has one. Throws a Failure (2). */
function overZone(label: string, { zone }: Address, over: number, { interfaces }: Host): number {
  if (zone === undefined) return over;
  const found = interfaces.find(({ name, ifindex }) => name === zone || `${ifindex}` === zone);
  if (found && (over === 0 || over === found.ifindex)) return found.ifindex;
  const cause = found ? "-o names another interface" : `this host has no interface "${zone}"`;
  const names = interfaces.map(({ name }) => name).join(", ");
  throw new Failure(`Cannot use -x "${label}": ${cause}`, `Name one of these after the %: ${names}.`, 2);
}

function sameMac(one?: Uint8Array, other?: Uint8Array): boolean {
  return one?.toString() === other?.toString();
}

interface ResolvedWay extends ResolvedEgress {
  address: Address;
  way: Way;
}

/** The way to each distinct target, by its address as text. */
async function resolveTargets(
  services: Service[],
  options: CopyOptions,
  host: Host,
): Promise<Map<string, ResolvedWay>> {
  const asked = [...waysAsked(services, options, host)];
  const ways = asked.map(async ([text, { label, address, way }]): Promise<[string, ResolvedWay]> => {
    try {
      return [text, { address, way, ...(await host.resolveEgress(address, way)) }];
    } catch (error) {
      if (!(error instanceof Failure) || error.exitCode !== 3) throw error;
      throw new Failure(`${error.message} (-x "${label}")`, error.fix, 3);
    }
  });
  return new Map(await Promise.all(ways));
}

/** The addresses a target is sent to from; null: those of the clients. */
function sourcesFor(
  target: Address,
  way: ResolvedEgress,
  { pool, intercepts }: CopyOptions,
  targets: Address[],
  host: Host,
): (Uint8Array | null)[] {
  if (pool.length === 0) return intercepts.length > 0 ? [null] : [way.source];
  const sources = poolFor(pool, target, targets).map(({ bytes }) => bytes);
  if (intercepts.length > 0) return sources;
  const foreign = host.isLocal(target.bytes) && sources.find((bytes) => !host.isLocal(bytes));
  if (!foreign) return sources;
  throw new Failure(
    `Cannot use -c "${formatAddress(foreign)}": the target ${formatAddress(target.bytes)} is on this host, and would answer to the real host ${formatAddress(foreign)}`,
    "Leave -c out, or name addresses of this host in it.",
    2,
  );
}

const INSECURE =
  "--insecure: who answers at the address of -s is not authenticated, and learns what the targets answer.";

/** Default source addresses of the preflight: addresses for documentation (RFC 5737, RFC 3849), which no host has. */
const PROBE_SOURCES = { 4: parseAddress("192.0.2.1")!.bytes, 6: parseAddress("2001:db8::1")!.bytes };

/** The source address of a path's preflight connection: the path's own, that of --probe-from, or the default. */
function probeSource({ local, family }: PathConfig, { probeFrom }: CopyOptions): Uint8Array {
  return local ?? probeFrom.find((address) => address.family === family)?.bytes ?? PROBE_SOURCES[family];
}

/** Where clients' addresses are sent from, clients and targets of a service must be of one family. */
function refuseOtherFamilies(services: Service[]): void {
  for (const { address, routes } of services) {
    const families = routes.flatMap(({ targets }) => targets.map((target) => target.address.family));
    const family = address?.family ?? families[0]!;
    const route = routes.find(({ targets }) => targets.some((target) => target.address.family !== family));
    if (!route) continue;
    throw new Failure(
      `Cannot use -x "${route.label}" with -s: requests cannot be sent from IPv${family} clients' addresses to an IPv${family === 4 ? 6 : 4} target`,
      `Name targets with IPv${family} addresses, give addresses with -c, or leave -s out.`,
      2,
    );
  }
}

/** Warnings about clients of the other address family, whose requests are not copied. */
function leftOutFamilies(services: Service[]): string[] {
  return services.flatMap(({ address, port, routes }) => {
    if (address) return [];
    const { family } = routes[0]!.targets[0]!.address;
    return [
      `IPv${family === 4 ? 6 : 4} requests to port ${port} are not copied: the target has an IPv${family} address.`,
    ];
  });
}

function foreignSources(services: Service[], host: Host): string[] {
  return services.flatMap(({ address, routes }) =>
    address && !host.isLocal(address.bytes)
      ? [`${formatAddress(address.bytes)} in -x "${routes[0]!.label}" is not an address of this host.`]
      : [],
  );
}

/** The ways as they are followed. Paths from this host's own address follow it, those from `-c` or from clients do not. */
function plannedWays(
  ways: Map<string, ResolvedWay>,
  paths: PathConfig[],
  { output, pool, intercepts }: CopyOptions,
): PlannedWay[] {
  return [...ways].map(([text, { address, way, source, egress }]) => {
    const over = address.zone === undefined ? output : egress.interface;
    const its = [...paths.keys()].filter((index) => formatAddress(paths[index]!.target) === text);
    const followsSource = pool.length === 0 && intercepts.length === 0;
    return { address, way, over, paths: its, egress: paths[its[0]!]!.egress, source, followsSource };
  });
}

/** Index of the element that `same` holds for, which is added if there is none. */
function indexIn<T>(list: T[], element: T, same: (one: T, other: T) => boolean): number {
  const index = list.findIndex((other) => same(element, other));
  return index < 0 ? list.push(element) - 1 : index;
}

/** The plan of copying with these options on this host. Throws a Failure if it cannot be done. */
export async function makePlan(options: CopyOptions, host: Host, key: Key | null = null): Promise<Plan> {
  const warnings: string[] = [];
  const choose = async (of: Ambiguous): Promise<Address> => {
    const { address, note } = await host.choose(of);
    if (!warnings.includes(note)) warnings.push(note);
    return address;
  };
  const services = await resolveTransfers(options.transfers, host.lookup, choose);
  comparedTargets(services, options.comparison?.noise ?? []);
  const { interfaces, files } = chooseInputs(options.inputs, host.interfaces, host.exists);
  const isLive = files.length === 0;
  refuseOther(options, isLive);
  const isIncoming = options.capture.direction === "in";
  if (isLive && isIncoming) refuseLoop(services, host);
  if (isLive && isIncoming) warnings.push(...foreignSources(services, host));
  const datagrams = services.find(({ transport }) => transport === "udp");
  if (datagrams && options.compat) {
    throw new Failure(
      `Cannot use --compat with -x "${labelOf(datagrams)}": intercepts 1.x catch no UDP`,
      "Run xcopy intercept on the target, or leave -s out.",
      2,
    );
  }
  if (datagrams && options.insecure) {
    throw new Failure(
      `Cannot use --insecure with -x "${labelOf(datagrams)}": flows of UDP must be registered, and an intercept without a key takes no registrations`,
      'Give both sides a key ("xcopy key FILE").',
      2,
    );
  }
  if (datagrams) warnings.push(...datagramNotes(options));
  if (datagrams && options.comparison && options.intercepts.length > 0) {
    warnings.push("With -s answers over UDP are not compared: intercepts send no more than their headers.");
  }
  if (options.insecure) warnings.push(INSECURE);
  const intercepts = await resolveIntercepts(options.intercepts, host.lookup, choose);
  const fromClients = intercepts.length > 0 && options.pool.length === 0;
  if (fromClients) {
    refuseOtherFamilies(services);
    warnings.push(...leftOutFamilies(services));
  }
  const ports = choosePorts(options, host, warnings);
  const workers = planWorkers(options, host.cpus, isLive, ports);
  const targets = targetsOf(services).map(({ target }) => target.address);
  const ways = await resolveTargets(services, options, host);
  const egresses: EgressConfig[] = [];
  const paths: PathConfig[] = [];
  /** Services with the same target share its paths, so that their connections do not use the same ports. */
  const pathsTo = new Map<string, number[]>();
  const addPaths = ({ address, port }: Target, transport: "udp" | undefined): number[] => {
    const endpoint = `${transport} ${formatEndpoint(address.bytes, port)}`;
    const known = pathsTo.get(endpoint);
    if (known) return known;
    const way = ways.get(formatAddress(address.bytes))!;
    const mtu = Math.min(way.egress.mtu, options.mtu ?? way.egress.mtu);
    const egress = indexIn(egresses, { ...way.egress, mtu }, sameEgress);
    const { family, bytes: target } = address;
    const made = sourcesFor(address, way, options, targets, host).map(
      (local) =>
        paths.push({ family, local, target, targetPort: port, egress, ...(transport && { transport }) }) - 1,
    );
    pathsTo.set(endpoint, made);
    return made;
  };
  const planned = services.map(({ address, port, transport, routes }) => ({
    address,
    port,
    ...(transport && { transport }),
    routes: routes.map(({ label, targets }) => ({
      label,
      targets: targets.map((target) => ({ ...target, paths: addPaths(target, transport) })),
    })),
  }));
  const keepsClientPorts = fromClients && !options.ports && !options.part;
  return {
    services: planned,
    paths,
    egresses,
    ways: plannedWays(ways, paths, options),
    ports,
    workers,
    intercepts,
    key,
    probeFrom: intercepts.length > 0 ? paths.map((path) => probeSource(path, options)) : [],
    usesPool: options.pool.length > 0,
    keepsClientPorts,
    interfaces,
    followsAll: meansEvery(options.inputs),
    files,
    warnings,
  };
}
