/** Says why a replay found no request: what there was in place of requests. */
import type { TraceCounter } from "../../capture/trace/counters.ts";
import type { Seen, Sightings } from "../../capture/trace/unmatched/unmatched.ts";
import { formatAddress } from "../../config/address.ts";
import type { Service } from "../../config/transfer.ts";
import { Failure } from "../../native/failure.ts";
import { type Loss, number } from "../../runtime/figures.ts";
import { nameOfLink } from "./link-names.ts";

type Counted = Pick<Record<TraceCounter, number>, "packets" | "outside" | "headersCut" | "malformed">;

/** `port 80`, `UDP port 53 of 10.0.0.1`, joined. */
export function nameServices(services: readonly Pick<Service, "address" | "port" | "transport">[]): string {
  const names = services.map(({ address, port, transport }) => {
    const of = address ? ` of ${formatAddress(address.bytes)}` : "";
    return `${transport === "udp" ? "UDP port" : "port"} ${port}${of}`;
  });
  return names.join(", ");
}

/** `8080 (12), 443 (3)`. */
function listed(seen: Seen[]): string {
  return seen.map(([port, count]) => `${port} (${number(count)})`).join(", ");
}

function total(seen: Seen[]): number {
  return seen.reduce((sum, [, count]) => sum + count, 0);
}

function kindsOf(found: Sightings, counters: Counted, services: readonly Service[]): Loss[] {
  const { connections, segments, datagrams, elsewhereAddress } = found;
  const isOtherFamily =
    elsewhereAddress !== null &&
    services.every(({ address, routes }) =>
      (address ? [address] : routes.flatMap(({ targets }) => targets.map((target) => target.address))).every(
        ({ bytes }) => bytes.length !== elsewhereAddress.length,
      ),
    );
  const begun = connections.length > 0;
  return [
    ...found.links.map(([type, count]) => ({
      count,
      what: `frames of link type ${nameOfLink(type)}, which xcopy does not read`,
      advice: "capture on an interface of IP traffic: tcpdump -i any, or xcopy record",
    })),
    { count: found.notIp, what: "frames without IP", advice: "see whether the capture is of this network" },
    {
      count: found.answers,
      what: "packets from there, none to it: only responses are in the recording",
      advice: 'capture both directions: "tcp port 80" instead of "src port 80", and no -Q out',
    },
    {
      count: found.elsewhere,
      what: `packets to this port of other addresses, as ${elsewhereAddress ? formatAddress(elsewhereAddress) : ""}`,
      advice: isOtherFamily
        ? "name a target with an address of this family, IPv4 or IPv6"
        : "name the address that clients use in -x, or none",
    },
    {
      count: total(connections),
      what: `connections to other ports: ${listed(connections)}`,
      advice: "name the port that clients use in -x",
    },
    {
      count: begun ? 0 : total(segments),
      what: `packets of TCP connections that began before, of ports ${listed(segments)}`,
      advice: "name the port that clients use in -x",
    },
    {
      count: total(datagrams),
      what: `UDP datagrams of ports ${listed(datagrams)}`,
      advice: "for a service over UDP write -x udp:PORT-TARGET",
    },
    {
      count: found.ipsec,
      what: "packets that IPsec encrypts",
      advice: "capture where they are decrypted, on the service's host",
    },
    {
      count: found.wireguard,
      what: "packets that WireGuard encrypts",
      advice: "capture on WireGuard's own interface, where they are decrypted",
    },
    { count: counters.outside, what: "packets outside of --start and --end", advice: "widen them" },
    {
      count: counters.headersCut,
      what: "packets cut within their headers",
      advice: "capture more of each packet (tcpdump -s 0)",
    },
    {
      count: counters.malformed,
      what: "malformed packets",
      advice: "see whether the file is whole, and its link type right",
    },
  ].filter(({ count }) => count > 0);
}

/** The Failure (exit code 2) of a replay of `files` without any packet to the services; the fix lists what was there instead. */
export function nothingFound(
  found: Sightings,
  counters: Counted,
  services: readonly Service[],
  files: readonly string[],
): Failure {
  const message = `Cannot replay "${files.join(" ")}": no packet goes to ${nameServices(services)}`;
  const kinds = kindsOf(found, counters, services);
  if (kinds.length === 0) return new Failure(message, "It has no packets at all: capture again.", 2);
  const lines = kinds.flatMap(({ count, what, advice }) => [`  ${number(count)} ${what}`, `    ${advice}`]);
  return new Failure(message, [`Of ${number(counters.packets)} packets there are:`, ...lines].join("\n"), 2);
}
