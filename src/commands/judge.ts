/** What the tries before the first request found, as an error that names the place on the way where it ended. */
import { formatAddress, formatEndpoint } from "../config/address.ts";
import { Failure } from "../native/failure.ts";
import type { InterceptState } from "../worker/intercepts.ts";
import type { Findings, ProbeResult } from "../worker/preflight.ts";
import type { Plan } from "./plan.ts";

const FORCE = "or start all the same with --force.";

/** Where the try of a path ended, as far as an intercept could see it, and what to do. */
type Verdict = [cause: string, fix: string];

interface Try {
  target: string;
  port: number;
  source: string;
  intercept: string;
}

/** What an intercept answers about a connection that was tried: see src/worker/facts.ts. */
interface Seen {
  known?: boolean;
  caught?: number;
  sent?: number;
  route?: { interface?: string; error?: string };
  rpFilter?: { all: number | null; interface: number | null };
  listening?: boolean | null;
}

/** Where the intercept runs on the target and sees what comes. */
function judgeTarget(seen: Seen, { target, port, source, intercept }: Try): Verdict {
  const { known, caught, sent, route, rpFilter, listening } = seen;
  if (!known) {
    return [
      `a connection attempt from ${source} left this host, but the intercept at ${intercept} did not see it arrive`,
      `Check firewalls and source address checks on the way to ${target}, name another address with --probe-from, ${FORCE}`,
    ];
  }
  if (route?.error) {
    return [
      `the attempt arrived, but the target has no way back to ${source} (${route.error})`,
      `Give it a route there (a default route will do), name an address that it has a route to with --probe-from, ${FORCE}`,
    ];
  }
  if (listening === false) {
    return [
      `the attempt arrived, but nothing listens on port ${port} there`,
      "Start the service, or correct the port in -x.",
    ];
  }
  if (!caught && Math.max(rpFilter?.all ?? 0, rpFilter?.interface ?? 0) === 1) {
    return [
      `the attempt from ${source} arrived and was not answered; the target filters by reverse path (rp_filter=1), and its way back to ${source} is ${route?.interface}`,
      `If the attempt came in on another interface, allow that there: sysctl -w net.ipv4.conf.all.rp_filter=2; or name an address that is routed back the same way with --probe-from.`,
    ];
  }
  if (!caught) {
    return [
      `the attempt from ${source} arrived, and the target did not answer`,
      `Check the target's firewall, ${FORCE}`,
    ];
  }
  return [
    `the target answered, the intercept caught ${caught} of its packets and sent ${sent}, and none arrived here`,
    `Check that the target answers from ${target}, the address in -x; behind a NAT give the intercept --dnat.`,
  ];
}

/** Where it only sees what passes by. */
function judgeAssistant({ caught }: Seen, { target, source, intercept }: Try): Verdict {
  if (caught) {
    return [
      `its answer to ${source} was caught at ${intercept}, and did not arrive here`,
      `Check that the target answers from ${target}, the address in -x; behind a NAT give the intercept --dnat.`,
    ];
  }
  return [
    `no answer to ${source} came by the intercept at ${intercept}`,
    `On the target, route the clients by way of the intercept's host ("ip route add ${source} via ...") and set rp_filter to 2; name one of the addresses that are routed so with --probe-from, ${FORCE}`,
  ];
}

function judgeSilence({ facts }: ProbeResult, tried: Try): Verdict {
  const [fact] = facts;
  if (tried.intercept === "") {
    return [
      `no answer to a connection attempt from ${tried.source}`,
      `Start the service there, check the firewalls on the way, ${FORCE}`,
    ];
  }
  if (!fact) {
    return [
      `no answer to a connection attempt from ${tried.source} came back by the intercept at ${tried.intercept}, which says nothing more`,
      `Check that answers to ${tried.source} pass there, name another address with --probe-from, ${FORCE}`,
    ];
  }
  return fact.mode === "target" ? judgeTarget(fact as Seen, tried) : judgeAssistant(fact as Seen, tried);
}

/** An intercept that could not be reached, or took us for something else. */
function judgeIntercept({ index, text }: InterceptState, plan: Plan): Failure {
  const { address, port } = plan.intercepts[index]!;
  const where = formatEndpoint(address.bytes, port);
  const message = `Cannot use the intercept at "${where}": ${text || "no answer within 3 s"}`;
  const service = plan.services[0]!.routes[0]!.targets[0]!.port;
  const isNotThere = /refused|answer|unreachable|route|timed out/i.test(text) || text === "";
  const start = `Start it there ("xcopy intercept -o :${service}"), check the firewalls on the way, ${FORCE}`;
  return new Failure(message, isNotThere ? start : `Put that right there or here, ${FORCE}`, 3);
}

/** Throws a Failure (exit code 3) for the first thing without which nothing can be copied. */
export function judgeFindings({ probes, intercepts }: Findings, plan: Plan): void {
  const missing = intercepts.find(({ up }) => !up);
  if (missing) throw judgeIntercept(missing, plan);
  const bad = probes.find(({ result }) => result !== "answered");
  if (!bad) return;
  const { target, targetPort, local } = plan.paths[bad.path]!;
  const endpoint = formatEndpoint(target, targetPort);
  if (bad.result === "held") {
    const list = plan.intercepts.map(({ label }) => label).join(", ");
    throw new Failure(
      `Cannot copy to "${endpoint}": none of the intercepts (${list}) catches what it answers`,
      `Start the intercept there with -o :${targetPort}, or name the intercept that catches it in -s.`,
      3,
    );
  }
  if (bad.result === "refused") {
    throw new Failure(
      `Cannot reach target "${endpoint}": connection refused`,
      `Start the service there, check the firewalls on the way, ${FORCE}`,
      3,
    );
  }
  const catching = intercepts.find(({ covers }) => covers.includes(bad.path));
  const [cause, fix] = judgeSilence(bad, {
    target: formatAddress(target),
    port: targetPort,
    source: formatAddress(plan.probeFrom[bad.path] ?? local!),
    intercept: catching ? plan.intercepts[catching.index]!.label : "",
  });
  throw new Failure(`Cannot reach target "${endpoint}": ${cause}`, fix, 3);
}
