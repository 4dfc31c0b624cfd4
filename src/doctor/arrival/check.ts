/** What arrives at the services of -x: watched for some seconds, or read from the beginning of recorded files. */
import { formatEndpoint } from "../../config/address.ts";
import type { CopyOptions } from "../../copy/options.ts";
import type { Plan } from "../../copy/plan.ts";
import { compileFilter } from "../../filter/compile.ts";
import { localTest } from "../../host/local-addresses.ts";
import { Failure } from "../../native/failure.ts";
import { links } from "../../native/netlink/netlink.ts";
import { number } from "../../runtime/figures.ts";
import type { Finding } from "../finding.ts";
import type { Subject } from "../subject.ts";
import { type Arrived, judgeArrivals, type Watch } from "./judge.ts";
import { readBeginning } from "./recorded.ts";
import { rulesOf } from "./rules-of.ts";
import { watchTraffic } from "./sniff.ts";
import { readSockets, type Sample, surroundingsOf } from "./surroundings.ts";
import { type Counts, Traffic, type WatchedService } from "./traffic.ts";

/** ms that live traffic is watched. */
const SPAN = 3000;

/** The services of a plan, with the families of clients that can be copied. */
export function watchedServices({ services, paths }: Plan): WatchedService[] {
  return services.map(({ address, port, transport, routes }) => {
    const path = paths[routes[0]!.targets[0]!.paths[0]!]!;
    return {
      address: address?.bytes ?? null,
      port,
      isUdp: transport === "udp",
      families: path.local === null ? [path.family] : [4, 6],
    };
  });
}

function trafficOf(plan: Plan, { capture }: CopyOptions, isLive: boolean): Traffic {
  const isOutgoing = isLive && capture.direction === "out";
  return new Traffic({
    services: watchedServices(plan),
    isOutgoing,
    interfaces: !isLive || plan.followsAll ? null : new Set(plan.interfaces.map(({ ifindex }) => ifindex)),
    isLocal: isLive ? localTest() : null,
    targets: plan.paths.map(({ target, targetPort }) => ({ address: target, port: targetPort })),
  });
}

/** What was watched or read; null: it cannot be looked at, or there is no plan. */
interface Observation {
  traffic: Traffic;
  watch: Watch;
  faults: string[];
}

/** Subjects of which something is done that the watch has to see. */
const busy = new WeakSet<Subject>();

/** Does what the watch of a subject has to see from beginning to end: until it is done, a watch that has begun does not end. */
export async function whileWatched<T>(subject: Subject, work: () => Promise<T>): Promise<T> {
  busy.add(subject);
  try {
    return await work();
  } finally {
    busy.delete(subject);
  }
}

/** One observation for all checks of a subject. */
const observations = new WeakMap<Subject, Promise<Observation | null>>();

/** Watches for `span` ms (see `whileWatched`), or reads the files; at a second call, what the first one saw. Rejects with a Failure (4, 5). */
export function observe(subject: Subject, span = SPAN): Promise<Observation | null> {
  const known = observations.get(subject);
  if (known) return known;
  const { plan, options } = subject;
  const made =
    plan === null
      ? Promise.resolve(null)
      : plan.files.length > 0
        ? readRecorded(plan, options)
        : watchLive(plan, options, span, () => busy.has(subject));
  observations.set(subject, made);
  return made;
}

async function readRecorded(plan: Plan, options: CopyOptions): Promise<Observation> {
  const traffic = trafficOf(plan, options, false);
  const { packets, isPart, faults } = await readBeginning(plan.files, traffic);
  const watch: Watch = {
    span: `in ${isPart ? "the first" : "the"} ${number(packets)} packets of ${plan.files.join(", ")}`,
    least: "",
    isLive: false,
    isOutgoing: false,
    filtered: null,
    names: new Map(),
    hidden: [],
    named: [],
    opened: traffic.opened,
    datagrams: traffic.datagrams,
  };
  return { traffic, watch, faults };
}

/** -F for packets without link layer; null where it is about one, or cannot be compiled: the plan says that. */
function frontOf(filter: string): Uint8Array | null {
  try {
    return compileFilter(filter, "raw").instructions;
  } catch (error) {
    if (error instanceof Failure) return null;
    throw error;
  }
}

async function watchLive(
  plan: Plan,
  options: CopyOptions,
  span: number,
  isBusy: () => boolean,
): Promise<Observation> {
  const traffic = trafficOf(plan, options, true);
  const services = watchedServices(plan);
  const portsOf = (isUdp: boolean) => services.filter((one) => one.isUdp === isUdp).map(({ port }) => port);
  const present = links();
  const loopback = present.find((link) => link.loopback)?.ifindex ?? 0;
  const { filter, direction } = options.capture;
  const isOutgoing = direction === "out";
  const { seconds, lost, passed } = await watchTraffic(traffic, {
    ...{ ports: portsOf(false), datagramPorts: portsOf(true), isOutgoing, loopback, span, isBusy },
    front: filter === null ? null : frontOf(filter),
  });
  const watch: Watch = {
    span: `in ${seconds.toFixed(1)} s`,
    least: lost > 0 ? "at least " : "",
    isLive: true,
    isOutgoing,
    filtered: passed === 0 ? filter : null,
    names: new Map(present.map(({ ifindex, name }) => [ifindex, name])),
    hidden: present.filter(({ hasXdp }) => hasXdp).map(({ name }) => name),
    named: plan.interfaces.map(({ name }) => name),
    opened: traffic.opened,
    datagrams: traffic.datagrams,
  };
  return { traffic, watch, faults: [] };
}

/** The first of what was taken, by the interface of most of it. */
function sampleOf({ to, interfaces }: Counts, { names }: Watch): Sample {
  const [most] = [...interfaces].sort((one, other) => other[1] - one[1]);
  return { to, by: most && names.get(most[0]) };
}

/** What arrived, service by service. */
async function judgeAll(subject: Subject, plan: Plan, { traffic, watch }: Observation): Promise<Finding[]> {
  const sockets = watch.isLive ? readSockets() : null;
  const { chains } = sockets ? await rulesOf(subject) : { chains: [] };
  const services = watchedServices(plan);
  const found = await Promise.all(
    services.map(async (service, index): Promise<Finding[]> => {
      const [target] = plan.services[index]!.routes[0]!.targets;
      const { taken } = traffic.arrivals[index]!.ways;
      const arrived: Arrived = {
        service,
        target: formatEndpoint(target!.address.bytes, target!.port),
        arrivals: traffic.arrivals[index]!,
        surroundings: sockets && (await surroundingsOf(service, sockets, chains, sampleOf(taken, watch))),
        proxyProtocol: subject.options.proxyProtocol,
      };
      return judgeArrivals(arrived, watch);
    }),
  );
  return found.flat();
}

/** Watches for `span` ms, or reads the files. Nothing is attached, changed or sent. */
export async function checkArrival(subject: Subject, span = SPAN): Promise<Finding[]> {
  const { plan } = subject;
  try {
    const seen = await observe(subject, span);
    if (seen === null || plan === null) return [];
    const about = { id: "arrival.file", what: "recorded traffic", fix: null, host: null };
    const unread = seen.faults.map((found): Finding => ({ ...about, status: "warning", found }));
    if (seen.faults.length > 0 && seen.traffic.packets === 0) return unread;
    return [...unread, ...(await judgeAll(subject, plan, seen))];
  } catch (error) {
    if (!(error instanceof Failure) || error.exitCode !== 4) throw error;
    const { message: found, fix } = error;
    return [{ id: "arrival.packets", status: "warning", what: "requests", found, fix, host: null }];
  }
}
