/** `-x` of `xcopy record`: the services whose requests are recorded. */
import { type Address, formatAddress, sameAddress } from "../config/address.ts";
import { type Host, type Lookup, parseHost, parsePort, refuse, resolveHost } from "../config/transfer.ts";
import { Failure } from "../native/failure.ts";

const FIX = 'Write it as [address:]port, for example "80", "10.0.0.1:80" or "[2001:db8::1]:80".';
/** A target may follow, as in `xcopy copy -x`; it is ignored, so that the same option can be used for both. */
const SERVICE = /^(?:(?<host>\[[^[\]]*\]|[^[\]:]+):)?(?<port>[0-9]+)(?:-(?<target>.+))?$/;

/** A service as written. */
export interface WrittenService {
  label: string;
  /** Null: every address of this host. */
  host: Host | null;
  port: number;
}

export interface RecordedService {
  label: string;
  /** Null: every address of this host. */
  address: Address | null;
  port: number;
}

function parseOne(label: string): WrittenService {
  const parts = SERVICE.exec(label)?.groups;
  if (!parts) throw refuse(label, "not [address:]port", FIX);
  if (parts.target !== undefined && /^[0-9]+$/.test(parts.target)) {
    throw refuse(label, "a range of ports", `Name each port: "${parts.port},${parts.target}".`);
  }
  const host = parts.host === undefined ? null : parseHost(label, parts.host);
  return { label, host, port: parsePort(label, parts.port!) };
}

/** Every value of `-x`, each a comma list. Throws a Failure (exit code 2) that names the part at fault. */
export function parseRecordedServices(values: readonly string[]): WrittenService[] {
  if (values.length === 0) {
    throw new Failure("Cannot record anything: no -x names a service", FIX, 2);
  }
  return values.flatMap((value) => value.split(",").map((part) => parseOne(part.trim())));
}

function isSame(one: RecordedService, other: RecordedService): boolean {
  if (one.port !== other.port) return false;
  if (!one.address || !other.address) return one.address === other.address;
  return sameAddress(one.address.bytes, other.address.bytes);
}

/** Looks names up; a service that is named twice, as with two targets, is there once. Throws a Failure (2). */
export async function resolveRecordedServices(
  written: readonly WrittenService[],
  lookup: Lookup,
): Promise<RecordedService[]> {
  const found = await Promise.all(
    written.map(async ({ label, host, port }) => ({
      label,
      address: host && (await resolveHost(label, host, lookup)),
      port,
    })),
  );
  return found.filter((service, index) => found.findIndex((other) => isSame(service, other)) === index);
}

/** `10.0.0.1:80`, `port 80`. */
export function formatRecordedService({ address, port }: RecordedService): string {
  if (!address) return `port ${port}`;
  const text = formatAddress(address.bytes);
  return address.family === 4 ? `${text}:${port}` : `[${text}]:${port}`;
}

/** In the pcap-filter language: the requests to these services, or what goes in both directions. */
export function filterText(services: readonly RecordedService[], both: boolean): string {
  const sides = both ? ["dst", "src"] : ["dst"];
  const parts = services.flatMap(({ address, port }) =>
    sides.map((side) =>
      address
        ? `(${side} host ${formatAddress(address.bytes)} and tcp ${side} port ${port})`
        : `tcp ${side} port ${port}`,
    ),
  );
  return parts.join(" or ");
}
