/** What services and their targets are for this host and each other: what cannot be copied, and what may be wrong. */
import { formatAddress, formatEndpoint } from "../../config/address.ts";
import { covers, type Service, type Target } from "../../config/transfer.ts";
import { Failure } from "../../native/failure.ts";
import type { Host } from "./host.ts";

/** Every target, with the transfer that names it. */
export function targetsOf(
  services: Service[],
): { label: string; target: Target; transport: "udp" | undefined }[] {
  return services.flatMap(({ transport, routes }) =>
    routes.flatMap(({ label, targets }) => targets.map((target) => ({ label, target, transport }))),
  );
}

/** A target that is itself copied would get each request twice: once from its client, once from us. */
export function refuseLoop(services: Service[], host: Host): void {
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

/** Where clients' addresses are sent from, clients and targets of a service must be of one family. */
export function refuseOtherFamilies(services: Service[]): void {
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
export function leftOutFamilies(services: Service[]): string[] {
  return services.flatMap(({ address, port, routes }) => {
    if (address) return [];
    const { family } = routes[0]!.targets[0]!.address;
    return [
      `IPv${family === 4 ? 6 : 4} requests to port ${port} are not copied: the target has an IPv${family} address.`,
    ];
  });
}

export function foreignSources(services: Service[], host: Host): string[] {
  return services.flatMap(({ address, routes }) =>
    address && !host.isLocal(address.bytes)
      ? [`${formatAddress(address.bytes)} in -x "${routes[0]!.label}" is not an address of this host.`]
      : [],
  );
}
