/** `-o`: the services whose responses are caught. */
import { Failure } from "../native/failure.ts";
import { type Address, formatAddress, parseAddress, sameAddress, unusable } from "./address.ts";
import type { PortRange } from "./ports.ts";

/** Ports of one address of this host, or of every one. */
export interface CaughtService {
  /** As written, for messages. */
  label: string;
  /** Null: every address. */
  address: Address | null;
  ports: PortRange;
}

const FIX =
  'Write it as [address]:port or [address]:first-last, for example ":8080", "10.0.0.2:80" or "[2001:db8::2]:8080-8090".';
const SERVICE = /^(?:(?<host>\[[^[\]]*\]|[^[\]:]*):)?(?<first>[0-9]+)(?:-(?<last>[0-9]+))?$/;

function refuse(text: string, cause: string, fix = FIX): Failure {
  return new Failure(`Cannot use -o "${text}": ${cause}`, fix, 2);
}

function parsePort(label: string, text: string): number {
  const port = Number(text);
  if (text.length <= 5 && port >= 1 && port <= 65535) return port;
  throw refuse(label, `"${text}" is not a port from 1 to 65535`);
}

function parseHost(label: string, text: string): Address | null {
  if (text === "" || text === "*") return null;
  const bare = text.startsWith("[") ? text.slice(1, -1) : text;
  const address = parseAddress(bare);
  if (!address || (bare === text) !== (address.family === 4))
    throw refuse(label, `"${text}" is not an address`);
  const cause = unusable(address);
  if (cause) throw refuse(label, `"${text}" cannot be one end of a connection, ${cause}`);
  return address;
}

function parseOne(label: string): CaughtService {
  const parts = SERVICE.exec(label)?.groups;
  if (!parts) throw refuse(label, "not an address and a port");
  const first = parsePort(label, parts.first!);
  const last = parts.last === undefined ? first : parsePort(label, parts.last);
  if (first > last) throw refuse(label, "the first port is above the last");
  return { label, address: parseHost(label, parts.host ?? ""), ports: [first, last] };
}

function overlap(one: CaughtService, other: CaughtService): boolean {
  const sameHost =
    one.address === other.address ||
    (one.address !== null && other.address !== null && sameAddress(one.address.bytes, other.address.bytes));
  return sameHost && one.ports[0] <= other.ports[1] && other.ports[0] <= one.ports[1];
}

/** Every value of `-o`, each a comma list. Throws a Failure (exit code 2) that names the part at fault. */
export function parseServices(values: readonly string[]): CaughtService[] {
  const services: CaughtService[] = [];
  for (const label of values.flatMap((value) => value.split(",").map((text) => text.trim()))) {
    const service = parseOne(label);
    const before = services.find((other) => overlap(service, other));
    if (before) throw refuse(label, `its ports are in "${before.label}" too`, "Name each port once.");
    services.push(service);
  }
  return services;
}

/** `10.0.0.2:8080-8090`, `*:80`. */
export function formatService({ address, ports: [first, last] }: CaughtService): string {
  const host = address === null ? "*" : formatAddress(address.bytes);
  const text = address?.family === 6 ? `[${host}]` : host;
  return `${text}:${first === last ? first : `${first}-${last}`}`;
}
