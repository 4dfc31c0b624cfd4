/** The ways to the targets: route, next hop, packet size, port, and what this host's rules do to what is sent. */
import { formatAddress, formatEndpoint, isLinkLocal } from "../../config/address.ts";
import type { Plan } from "../../copy/plan.ts";
import { connectOnce } from "../../copy/target/connection.ts";
import { Failure } from "../../native/failure.ts";
import { sendUncut } from "../../native/probes/df-datagram.ts";
import { observe, watchedServices, whileWatched } from "../arrival/check.ts";
import { nameOf } from "../arrival/judge.ts";
import { rulesOf } from "../arrival/rules-of.ts";
import type { Finding } from "../finding.ts";
import { interceptFindings } from "../intercept/check.ts";
import type { Subject } from "../subject.ts";
import { tryOnce } from "../trial/try-copy.ts";
import { readGreeting } from "./greeting.ts";
import { checkMtu } from "./mtu.ts";
import { checkNeighbour, describeRoute, type Way } from "./route.ts";
import { blockedPaths, checkConnectionTable, judgeRules } from "./rules.ts";
import { judgeLoop, judgeSame, judgeTarget, judgeTls, type Target } from "./verdict.ts";

/** ms for an ordinary connection: a lost SYN is sent again after 1 s. */
const PATIENCE = 3000;
/** ms for the error that an empty datagram to a closed port brings. */
const UDP_PATIENCE = 500;

/** The way to each distinct address of a target. */
function waysOf({ ways, paths, egresses }: Plan): Way[] {
  return ways.map(({ address, paths: [first] }) => {
    const { egress, local } = paths[first!]!;
    return { target: address.bytes, egress: egresses[egress]!, source: local };
  });
}

async function lookAtTarget(plan: Plan, index: number): Promise<Target> {
  const { target, targetPort, transport, egress } = plan.paths[index]!;
  const endpoint = formatEndpoint(target, targetPort);
  if (transport === "udp") {
    const { ifindex } = plan.egresses[egress]!;
    const { result } = await sendUncut(target, targetPort, 0, UDP_PATIENCE, ifindex);
    return { endpoint, ordinary: null, greeting: null, datagram: result };
  }
  const zone = plan.egresses[egress]!.interface;
  const host = isLinkLocal(target) ? `${formatAddress(target)}%${zone}` : formatAddress(target);
  const ordinary = await connectOnce(host, targetPort, PATIENCE);
  const greeting = ordinary.result === "answered" ? await readGreeting(host, targetPort) : null;
  return { endpoint, ordinary, greeting };
}

/** The first path of each endpoint. */
function endpointsOf({ paths }: Plan): number[] {
  const seen = new Set<string>();
  return [...paths.keys()].filter((index) => {
    const { target, targetPort, transport } = paths[index]!;
    const key = `${transport} ${formatEndpoint(target, targetPort)}`;
    return !seen.has(key) && seen.add(key);
  });
}

/** The rules of this host, and its table of connections. */
export async function checkRules(subject: Subject): Promise<Finding[]> {
  const { plan, options, read } = subject;
  if (plan === null) return [];
  const listed = await rulesOf(subject);
  return [...judgeRules(blockedPaths(plan, options, listed), listed), ...checkConnectionTable(read)];
}

/** What is known of the targets besides what they are asked: loops, and which of the two speaks TLS. */
async function compareWithProduction(
  subject: Subject,
  plan: Plan,
  targets: Target[],
  paths: number[],
): Promise<Finding[]> {
  let seen: Awaited<ReturnType<typeof observe>>;
  try {
    seen = await observe(subject);
  } catch (error) {
    // The check of arrivals says so.
    if (error instanceof Failure) return [];
    throw error;
  }
  if (seen === null) return [];
  const { traffic, watch } = seen;
  const services = watchedServices(plan);
  return targets.flatMap((target, index) => {
    const path = paths[index]!;
    const service = plan.services.findIndex(({ routes }) =>
      routes.some((route) => route.targets.some((one) => one.paths.includes(path))),
    );
    const loop = watch.isLive
      ? judgeLoop(target.endpoint, traffic.fromTargets[path]!, nameOf(services[service]!))
      : null;
    return [
      judgeSame(target.endpoint, services) ?? loop,
      judgeTls(target, traffic.arrivals[service]!.protocols),
    ].filter((finding) => finding !== null);
  });
}

/** All about the ways. Sends what an ordinary client and the preflight of a copy send, and a few empty datagrams. */
export async function checkWay(subject: Subject): Promise<Finding[]> {
  const { plan, options } = subject;
  if (plan === null) return [];
  const ways = waysOf(plan);
  const routes = ways.map(describeRoute);
  // A target that passes requests on to production does so when it is asked.
  const neighbours = await whileWatched(subject, () => Promise.all(ways.map(checkNeighbour)));
  const isLost = neighbours.map((finding) => finding?.status === "failed");
  // Nothing gets to those: what else would be found of the way follows from that.
  const reached = ways.filter((_, index) => !isLost[index]);
  const lost = plan.ways.filter((_, index) => isLost[index]).flatMap((way) => way.paths);
  const paths = endpointsOf(plan).filter((path) => !lost.includes(path));
  const [targets, { tried, failure }, sizes] = await Promise.all([
    whileWatched(subject, () => Promise.all(paths.map((path) => lookAtTarget(plan, path)))),
    lost.length > 0 ? { tried: null, failure: null } : tryOnce(subject),
    Promise.all(reached.map(checkMtu)),
  ]);
  const blocked = blockedPaths(plan, options, await rulesOf(subject));
  const isBlocked = (index: number) => blocked.some(({ path }) => path === plan.paths[index]);
  // An intercept that is not there is found by the checks of intercepts.
  const isReached = tried?.findings.intercepts.every(({ up }) => up) ?? true;
  const told = await interceptFindings(subject);
  const judged = targets.flatMap((target, index) => {
    if (isBlocked(paths[index]!)) return [];
    const found = isReached ? (tried?.findings ?? null) : null;
    const finding = judgeTarget(target, tried?.plan ?? plan, found, told);
    return finding ? [finding] : [];
  });
  const untried: Finding[] =
    failure && judged.every(({ status }) => status === "ok")
      ? [
          {
            id: "way.try",
            status: "failed",
            what: "a connection as copies make it",
            found: failure.message,
            fix: failure.fix,
            host: null,
          },
        ]
      : [];
  return [
    ...routes,
    ...neighbours.filter((finding) => finding !== null),
    ...sizes.filter((finding) => finding !== null),
    ...judged,
    ...untried,
    ...(await compareWithProduction(subject, plan, targets, paths)),
  ];
}
