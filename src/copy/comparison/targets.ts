/** Which target each copy of a request goes to, for the comparison: those with the new version, and one with the old. */
import { formatEndpoint } from "../../config/address.ts";
import { labelOf, type Service } from "../../config/transfer.ts";
import { Failure } from "../../native/failure.ts";

export interface ComparedTargets {
  targets: { label: string; isNoise: boolean }[];
  /** By service and route: the index of its target. */
  indexes: number[][];
}

/** A service as the reader of a report knows it: by its port, with its address where others may have that port. */
export function nameOf({ address, port, transport }: Service): string {
  return (transport ? `${transport}:` : "") + (address ? formatEndpoint(address.bytes, port) : `${port}`);
}

/**
 * The targets that the reader of a report tells apart, some of them groups; all that `noise` names
 * (labels of transfers) are one. Throws a Failure (exit code 2) for a service that only the old version gets.
 */
export function comparedTargets(services: readonly Service[], noise: readonly string[]): ComparedTargets {
  const targets: ComparedTargets["targets"] = [];
  const old = new Set<string>();
  const indexOf = (label: string, isNoise: boolean) => {
    const known = targets.findIndex(
      (target) => target.isNoise === isNoise && (isNoise || target.label === label),
    );
    return known < 0 ? targets.push({ label, isNoise }) - 1 : known;
  };
  const indexes = services.map((service) => {
    if (service.routes.every(({ label }) => noise.includes(label))) {
      const { label } = service.routes[0]!;
      throw new Failure(
        `Cannot use --noise for -x "${label}": nothing else gets the requests of ${labelOf(service)}`,
        "Name the target with the new version too, in a transfer of its own.",
        2,
      );
    }
    return service.routes.map(({ label, targets: its }) => {
      const hosts = its.map(({ address, port }) => formatEndpoint(address.bytes, port)).join("|");
      if (noise.includes(label)) old.add(hosts);
      return indexOf(hosts, noise.includes(label));
    });
  });
  for (const target of targets) if (target.isNoise) target.label = [...old].join(", ");
  return { targets, indexes };
}
