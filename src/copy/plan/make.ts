/** Makes the plan of `xcopy copy`: all that will be done, from the options and this host, before any of it is done. */
import type { Key } from "../../channel/key.ts";
import { type Address, formatAddress, formatEndpoint } from "../../config/address.ts";
import { chooseInputs } from "../../config/inputs.ts";
import { resolveIntercepts } from "../../config/intercepts.ts";
import { meansEvery } from "../../config/interfaces.ts";
import { type Ambiguous, labelOf, resolveTransfers, type Target } from "../../config/transfer.ts";
import { sameEgress } from "../../inject/egress.ts";
import type { EgressConfig, PathConfig } from "../../inject/path.ts";
import { Failure } from "../../native/failure.ts";
import { comparedTargets } from "../comparison/targets.ts";
import { datagramNotes } from "../datagram-notes.ts";
import type { CopyOptions } from "../options.ts";
import type { Plan } from "../plan.ts";
import { planWorkers } from "../worker-plan.ts";
import type { Host } from "./host.ts";
import { foreignSources, leftOutFamilies, refuseLoop, refuseOtherFamilies, targetsOf } from "./services.ts";
import { choosePorts, probeSource, sourcesFor } from "./sources.ts";
import { plannedWays, resolveTargets } from "./ways.ts";

const INSECURE =
  "--insecure: who answers at the address of -s is not authenticated, and learns what the targets answer.";

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
    warnings.push("With -s responses over UDP are not compared: intercepts send no more than their headers.");
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
