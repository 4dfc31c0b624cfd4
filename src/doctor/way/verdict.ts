/** What the preflight of a copy and an ordinary connection say about one target together. */
import { formatEndpoint } from "../../config/address.ts";
import type { Findings, ProbeResult } from "../../copy/data-plane/preflight.ts";
import { diagnose } from "../../copy/diagnosis.ts";
import type { Plan } from "../../copy/plan.ts";
import type { OrdinaryConnection } from "../../copy/target/connection.ts";
import { Failure } from "../../native/failure.ts";
import type { Answered } from "../../native/probes/df-datagram.ts";
import type { WatchedService } from "../arrival/traffic.ts";
import type { Finding } from "../finding.ts";
import type { Greeting } from "./greeting.ts";
import { about } from "./route.ts";

/** What is known of a target; null: it was not asked. */
export interface Target {
  endpoint: string;
  ordinary: OrdinaryConnection | null;
  greeting: Greeting | null;
  /** Of UDP: what came of an empty datagram; absent: TCP. */
  datagram?: Answered["result"];
}

function judgeUdp(what: string, datagram: Answered["result"]): Finding {
  if (datagram === "arrived") {
    const fix = "Start the service there, or correct the port in -x.";
    return { ...about("port", what), status: "failed", found: "nobody listens there", fix };
  }
  if (datagram === "prohibited") {
    const found = "a firewall rejects datagrams to it with an ICMP error (prohibited)";
    const fix =
      'Let the port through in the firewall there and in those on the way ("nft list ruleset" or "iptables -S" shows the rule).';
    return { ...about("port", what), status: "failed", found, fix };
  }
  const found = "no error comes back for an empty datagram; whether it answers is not tried";
  return { ...about("port", what), status: "ok", found, fix: null };
}

/** What kind of fault it is that the diagnosis tells: the end of its id. */
function kindOf({ result, facts }: ProbeResult, plan: Plan, ordinary: OrdinaryConnection | null): string {
  if (facts[0]?.blocked) return "rules";
  const isAnswered = ordinary?.result === "answered";
  if (!isAnswered) return "port";
  if (plan.intercepts.length === 0) {
    if (ordinary.translatedTo) return "translated";
    return plan.usesPool ? "pool" : "answers";
  }
  if (result === "refused") return "port";
  const [fact] = facts;
  return fact?.mode === "target" && fact.known === false && !fact.caught ? "spoofing" : "answers";
}

/** What an intercept answers about a connection that was tried: see src/intercept/data-plane/facts.ts. */
interface Seen {
  error?: string;
  known?: boolean;
  caught?: number;
  route?: { interface?: string; error?: string };
  unresolved?: string | null;
  strict?: string[];
  listening?: boolean | null;
}

/** Whether the checks of intercepts (src/doctor/intercept) have named the cause, in `told`: it is told once. */
function isTold({ result, facts }: ProbeResult, told: readonly Finding[]): boolean {
  const failed = new Set(told.filter(({ status }) => status === "failed").map(({ id }) => id));
  if (result === "uncaught") return failed.has("intercept.services");
  if (failed.has("intercept.ip_forward")) return true;
  const seen = facts[0] as Seen | undefined;
  if (!seen || seen.error || seen.caught || !seen.known) return false;
  const { route, unresolved, strict = [], listening } = seen;
  return (
    (Boolean(route?.error || unresolved) && failed.has("intercept.route_back")) ||
    (listening === false && failed.has("intercept.listening")) ||
    (strict.length > 0 && failed.has("intercept.rp_filter"))
  );
}

/** What was found of the intercepts that catch a path's answers, and of all together. */
function toldOf(path: number, { intercepts }: Findings, plan: Plan, told: readonly Finding[]): Finding[] {
  const labels = intercepts
    .filter(({ covers }) => covers.includes(path))
    .map(({ index }) => plan.intercepts[index]!.label);
  return told.filter(({ host }) => host === null || labels.includes(host));
}

function describe({ ordinary, greeting }: Target): string {
  const said = greeting?.protocol
    ? greeting.isFirst
      ? `, greets as ${greeting.protocol} does`
      : `, speaks ${greeting.protocol}`
    : greeting?.isFirst
      ? ", speaks first, by no protocol that is known"
      : ", waits for its client to speak";
  return ordinary?.result === "answered" ? `open${said}` : "answers copied connections";
}

/**
 * One finding for each path's target; null: it is among `told`, the findings about intercepts. `findings`: null where the preflight
 * could not be made.
 */
export function judgeTarget(
  target: Target,
  plan: Plan,
  findings: Findings | null,
  told: readonly Finding[] = [],
): Finding | null {
  const what = `${target.datagram === undefined ? "" : "UDP "}port of ${target.endpoint}`;
  const { ordinary, datagram } = target;
  if (datagram !== undefined) return judgeUdp(what, datagram);
  const probe = findings?.probes.find(({ path }) => {
    const { target: address, targetPort } = plan.paths[path]!;
    return formatEndpoint(address, targetPort) === target.endpoint;
  });
  if (findings && probe && probe.result !== "answered") {
    if (plan.intercepts.length > 0 && isTold(probe, toldOf(probe.path, findings, plan, told))) return null;
    try {
      const plain = new Map(ordinary ? [[target.endpoint, ordinary]] : []);
      diagnose({ ...findings, probes: [probe] }, plan, plain);
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      const id = kindOf(probe, plan, ordinary);
      const found = error.message.replace(/^Cannot (reach|copy to|try) (target )?"[^"]*": /, "");
      return { ...about(id, what), status: "failed", found, fix: error.fix };
    }
  }
  if (!probe && ordinary && ordinary.result !== "answered") {
    const how =
      ordinary.result === "refused"
        ? "connection refused"
        : `no response${ordinary.error ? ` (${ordinary.error})` : ""}`;
    const fix = "Start the service there, and check the firewalls on the way.";
    return { ...about("port", what), status: "failed", found: how, fix };
  }
  if (target.greeting?.isClosed) {
    const found = "open, but it closes each connection at once, before anything is said";
    const fix = "See its log there: is what it passes requests on to up, and does it let this host in?";
    return { ...about("port", what), status: "warning", found, fix };
  }
  return { ...about("port", what), status: "ok", found: describe(target), fix: null };
}

/** Production and target that do not both speak TLS; null: they do, or it is not known. */
export function judgeTls(target: Target, production: ReadonlyMap<string, number>): Finding | null {
  const [most] = [...production].filter(([name]) => name !== "").sort((one, other) => other[1] - one[1]);
  if (!most || !target.greeting) return null;
  const isTlsHere = most[0] === "TLS";
  const isTlsThere = target.greeting.protocol === "TLS";
  const what = about("tls", `TLS at ${target.endpoint}`);
  if (isTlsThere && !isTlsHere) {
    const found = `the target speaks TLS, and clients here speak ${most[0]} without it`;
    return { ...what, status: "warning", found, fix: "Name in -x a port of the target without TLS." };
  }
  return null;
}

/** A target that is the copied service itself: it would get each request twice. */
export function judgeSame(endpoint: string, services: readonly WatchedService[]): Finding | null {
  const service = services.find(({ address, port }) => address && formatEndpoint(address, port) === endpoint);
  if (!service) return null;
  const found = "it is the service that is copied: it would get each request twice";
  const fix = "Name another host or port as the target in -x.";
  return { ...about("loop", `target ${endpoint}`), status: "failed", found, fix };
}

/** Whether the host of a target is a client of the service. */
export function judgeLoop(endpoint: string, opened: number, services: string): Finding | null {
  if (opened === 0) return null;
  const found = `its host opened ${opened} connections to ${services} meanwhile: if it passes requests on to production, each copy comes back as a request`;
  const fix = "Let the target answer by itself, or leave its connections out: -F 'not src host ADDRESS'.";
  const address = endpoint.replace(/:\d+$/, "").replace(/[[\]]/g, "");
  return {
    ...about("loop", `target ${endpoint}`),
    status: "warning",
    found,
    fix: fix.replace("ADDRESS", address),
  };
}
