/** What the facts about an intercept's host mean for the copy. */
import type { HostFacts } from "../../intercept/data-plane/host-facts.ts";
import type { Finding, FindingStatus } from "../finding.ts";

/** What is asked of an intercept, and compared with its answer. */
export interface Question {
  /** The intercept as the user wrote it. */
  label: string;
  /** The addresses that copies come from, as far as they are known: of -c, or those of the preflight. */
  clients: string[];
  /** This host's own address towards the targets. */
  self: string;
  servers: { address: string; port: number; transport: "tcp" | "udp" }[];
  /** TCP servers, by `endpointOf`, that have answered a connection as the copy makes it: what is true of it is no fault. */
  answered: ReadonlySet<string>;
}

/** ms by which clocks may differ: more than a slow network makes of it. */
const CLOCK = 2000;
/** Shares of the table of connection tracking from which on it is nearly full, and full. */
const NEARLY_FULL = 0.8;
const FULL = 0.98;

type Say = (id: string, what: string) => (status: FindingStatus, found: string, fix?: string) => Finding;

function saying(host: string): Say {
  return (id, what) => (status, found, fix) => ({
    id: `intercept.${id}`,
    status,
    what,
    found,
    fix: fix ?? null,
    host,
  });
}

function listing(values: string[]): string {
  return values.length > 3
    ? `${values.slice(0, 3).join(", ")} and ${values.length - 3} more`
    : values.join(", ");
}

/** All findings about one host. `now`: ms since 1970 here, in the middle of the question's way; `version`: ours. */
export function judgeHost(facts: HostFacts, question: Question, now: number, version: string): Finding[] {
  const say = saying(question.label);
  return [
    judgeVersion(facts, version, say),
    judgeListening(facts, question, say),
    ...proven([...judgeRoutes(facts, question, say), ...judgeForwarding(facts, question, say)], question),
    ...judgeConntrack(facts, say),
    judgeClock(facts, now, say),
  ].flat();
}

function judgeVersion(facts: HostFacts, version: string, say: Say): Finding {
  const about = say("version", "version and kernel");
  const found = `xcopy ${facts.version}, Linux ${facts.kernel}, mode ${facts.mode} by ${facts.hook}`;
  if (facts.version === version) return about("ok", found);
  return about("warning", `${found}; here it is xcopy ${version}`, "Install the same version on both hosts.");
}

/** Whether all servers have answered connections from clients' addresses: then no setting stands in the way of answers. */
function isProven({ servers, answered }: Question): boolean {
  const tried = servers.filter(({ transport }) => transport === "tcp");
  return tried.length > 0 && tried.every((server) => answered.has(endpointOf(server)));
}

/** What settings seem to stand in the way of, where answers come back all the same. */
function proven(findings: Finding[], question: Question): Finding[] {
  if (!isProven(question)) return findings;
  const found = "answers to tried connections come back";
  return findings.map((one) => (one.status === "ok" ? one : { ...one, status: "ok", found, fix: null }));
}

/** As in Question.answered. */
export function endpointOf({ address, port }: { address: string; port: number }): string {
  return `${address} ${port}`;
}

/** On the target: whether somebody listens. Elsewhere that cannot be seen. */
function judgeListening({ servers }: HostFacts, { answered }: Question, say: Say): Finding[] {
  return servers.flatMap(({ address, port, transport, listening }) => {
    if (listening === null) return [];
    const about = say("listening", `${transport} port ${port} there`);
    if (listening) return [about("ok", "somebody listens")];
    if (transport === "tcp" && answered.has(endpointOf({ address, port })))
      return [about("ok", "answered from elsewhere: a rule of that host sends it on")];
    const fix = "Start the service there, or correct the port in -x.";
    return [about("failed", `nothing listens on ${address}`, fix)];
  });
}

/** The ways back to clients, and whether rp_filter drops what comes in by another way. */
function judgeRoutes({ routes, strict, mode }: HostFacts, { clients, self }: Question, say: Say): Finding[] {
  const routeTo = (address: string) => routes.find((one) => one.address === address);
  const lacking = clients.filter((client) => {
    const found = routeTo(client);
    return found !== undefined && "error" in found.route;
  });
  const about = say("route_back", "routes back to clients");
  if (lacking.length > 0) {
    const cause = (routeTo(lacking[0]!)!.route as { error: string }).error.replace(/^.*: /, "");
    return [
      about(
        "failed",
        `none to ${listing(lacking)} (${cause})`,
        `ip route add ${lacking[0]} via GATEWAY (a default route will do: responses do not leave that host), or name an address that it has a route to with --probe-from`,
      ),
    ];
  }
  const unresolved = clients.flatMap((client) => routeTo(client)?.unresolved ?? []);
  if (unresolved.length > 0) {
    const fix = `Responses to such clients never leave: route them through a host that answers, or name another address with --probe-from.`;
    return [
      about(
        "failed",
        `${listing([...new Set(unresolved)])}, the next hop to them, answers no ARP or ND`,
        fix,
      ),
    ];
  }
  const found = [about("ok", `there are (${listing(clients)})`)];
  return [...found, ...(mode === "target" ? judgeFilter({ routes, strict }, clients, self, say) : [])];
}

function judgeFilter(
  { routes, strict }: Pick<HostFacts, "routes" | "strict">,
  clients: string[],
  self: string,
  say: Say,
): Finding[] {
  const through = (address: string) => {
    const route = routes.find((one) => one.address === address)?.route;
    return route && !("error" in route) ? route.interface : null;
  };
  const about = say("rp_filter", "reverse path filter");
  const inBy = through(self);
  if (inBy === null || !strict.includes(inBy)) return [about("ok", "lets clients' addresses in")];
  const dropped = clients.filter((client) => !client.includes(":") && through(client) !== inBy);
  if (dropped.length === 0) return [about("ok", `strict on ${inBy}, which is also the way back`)];
  return [
    about(
      "failed",
      `drops packets from ${listing(dropped)} that come in by ${inBy}, as the way back is ${through(dropped[0]!)} (rp_filter=1)`,
      "sysctl -w net.ipv4.conf.all.rp_filter=2",
    ),
  ];
}

/** A queue of netfilter on a host between sees only what that host forwards. */
function judgeForwarding(
  { mode, ipForward, servers }: HostFacts,
  { clients }: Question,
  say: Say,
): Finding[] {
  if (mode === "target" || servers.some(({ listening }) => listening !== null)) return [];
  const about = say("ip_forward", "forwarding");
  const families = [...new Set(clients.map((client) => (client.includes(":") ? 6 : 4)))];
  const off = families.find((family) => ipForward[family] === 0);
  if (off === undefined) return [about("ok", "on")];
  const name = off === 4 ? "net.ipv4.ip_forward" : "net.ipv6.conf.all.forwarding";
  if (mode === "assistant")
    return [about("ok", `off (${name}=0), which does not matter: what it catches goes no further`)];
  return [
    about(
      "failed",
      `off (${name}=0): responses that are routed through it are not queued`,
      `sysctl -w ${name}=1`,
    ),
  ];
}

function judgeConntrack({ conntrack }: HostFacts, say: Say): Finding[] {
  const about = say("conntrack", "connection tracking");
  if (conntrack === null) return [about("ok", "not in use")];
  const { count, max } = conntrack;
  const found = `${count} of ${max} connections`;
  const fix = `sysctl -w net.netfilter.nf_conntrack_max=${2 * max}`;
  if (max === 0 || count < NEARLY_FULL * max) return [about("ok", found)];
  if (count < FULL * max)
    return [about("warning", `${found}: it is nearly full, and each copied connection takes one`, fix)];
  return [about("failed", `${found}: it is full, and drops new connections`, fix)];
}

function judgeClock({ time }: HostFacts, now: number, say: Say): Finding {
  const about = say("clock", "clock");
  const difference = Math.abs(time - now);
  if (difference <= CLOCK) return about("ok", "the same as here");
  const direction = time > now ? "ahead of" : "behind";
  return about(
    "warning",
    `${(difference / 1000).toFixed(1)} s ${direction} this host's: times in reports and logs of both do not fit together`,
    "timedatectl set-ntp true (on both hosts)",
  );
}
