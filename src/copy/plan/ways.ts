/** The way to each target of a plan: what the options ask for, what this host has, and how it is followed. */
import { type Address, formatAddress } from "../../config/address.ts";
import type { Service } from "../../config/transfer.ts";
import type { ResolvedEgress, Way } from "../../inject/egress.ts";
import type { PathConfig } from "../../inject/path.ts";
import { Failure } from "../../native/failure.ts";
import type { CopyOptions } from "../options.ts";
import type { PlannedWay } from "../ways/way.ts";
import type { Host } from "./host.ts";
import { targetsOf } from "./services.ts";

/** Index of the interface that -o names; 0 without it. */
function outputOf({ output }: CopyOptions, host: Host): number {
  if (output === null) return 0;
  const found = host.interfaces.find(({ name }) => name === output);
  if (found) return found.ifindex;
  const known = host.interfaces.map(({ name }) => name).join(", ");
  throw new Failure(`Cannot use -o "${output}": no such network interface`, `There are: ${known}.`, 2);
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

export interface ResolvedWay extends ResolvedEgress {
  address: Address;
  way: Way;
}

/** The way to each distinct target, by its address as text. */
export async function resolveTargets(
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

/** The ways as they are followed. Paths from this host's own address follow it, those from `-c` or from clients do not. */
export function plannedWays(
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
