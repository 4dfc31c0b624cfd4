/** Where copies come from: source ports and addresses, those of the preflight too. */
import { type Address, formatAddress, parseAddress } from "../../config/address.ts";
import { poolFor } from "../../config/pool.ts";
import {
  countPorts,
  formatPorts,
  freePorts,
  type PortRange,
  partOf,
  portsAtRisk,
  reservedWith,
} from "../../config/ports.ts";
import type { ResolvedEgress } from "../../inject/egress.ts";
import type { PathConfig } from "../../inject/path.ts";
import { Failure } from "../../native/failure.ts";
import type { CopyOptions } from "../options.ts";
import type { Host } from "./host.ts";

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

export function choosePorts(options: CopyOptions, host: Host, warnings: string[]): PortRange[] {
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
  if (portsAtRisk(ports, host.localPorts, host.reservedPorts) > 0) {
    const kept = reservedWith(ports, host.reservedPorts);
    warnings.push(
      `${PORTS_WARNING} ${formatPorts(ports)} for its own connections to a target: reserve them (sysctl net.ipv4.ip_local_reserved_ports=${kept}).`,
    );
  }
  return ports;
}

/** The addresses a target is sent to from; null: those of the clients. */
export function sourcesFor(
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

/** Default source addresses of the preflight: addresses for documentation (RFC 5737, RFC 3849), which no host has. */
const PROBE_SOURCES = { 4: parseAddress("192.0.2.1")!.bytes, 6: parseAddress("2001:db8::1")!.bytes };

/** The source address of a path's preflight connection: the path's own, that of --probe-from, or the default. */
export function probeSource({ local, family }: PathConfig, { probeFrom }: CopyOptions): Uint8Array {
  return local ?? probeFrom.find((address) => address.family === family)?.bytes ?? PROBE_SOURCES[family];
}
