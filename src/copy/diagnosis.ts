/** Turns what the preflight found into an error that says where on the way to the target and back a connection failed. */
import { TEXTS } from "../channel/close.ts";
import { formatAddress, formatEndpoint } from "../config/address.ts";
import { Failure } from "../native/failure.ts";
import type { InterceptState } from "./data-plane/intercepts.ts";
import { type Findings, type ProbeResult, worstOf } from "./data-plane/preflight.ts";
import type { Plan } from "./plan.ts";
import type { OrdinaryConnection } from "./target/connection.ts";

const FORCE = "or start anyway with --force.";

/** What else it may be over a channel without a key, which registers nothing. */
const INSECURE =
  " (or its mark, TCP option 253, is lost on the way: with a key on both sides connections are registered instead)";

/** Where the tried connection failed, as far as an intercept could see it, and what to do. */
type Verdict = [cause: string, fix: string];

interface Try {
  target: string;
  port: number;
  source: string;
  intercept: string;
  /** Whether the intercept can be asked what it saw (an intercept 1.x cannot). */
  tells: boolean;
  /** Whether nothing can be registered: --insecure. */
  isInsecure: boolean;
  /** The result of an ordinary connection of this host; undefined: none was tried. */
  plain: OrdinaryConnection["result"] | undefined;
}

/** The same for a target whose answers come to this host. */
interface DirectTry extends Pick<Try, "target" | "port" | "source" | "plain"> {
  /** The error that an ordinary connection got in place of an answer, and so by ICMP; undefined: none. */
  error: string | undefined;
  isRefused: boolean;
  /** Where this host's netfilter sends an ordinary connection instead; null: to the target itself, as far as is known. */
  translatedTo: string | null;
  /** Whether the attempt came from an address of -c. */
  isFromPool: boolean;
}

/** What an intercept answers about a connection that was tried: see src/intercept/data-plane/facts.ts. */
interface Seen {
  known?: boolean;
  caught?: number;
  sent?: number;
  route?: { interface?: string; error?: string };
  unresolved?: string | null;
  strict?: string[];
  listening?: boolean | null;
  /** Of an intercept that counts what its host drops; null: it cannot. */
  dropped?: { reversePath: number; listen: number } | null;
  blocked?: { drops: "requests" | "answers"; place: string; fix: string } | null;
}

/** What an ordinary connection of this host got from the target, as the end of a sentence. */
const PLAIN_RESULT: Record<OrdinaryConnection["result"], string> = {
  answered: ", though an ordinary connection from this host is",
  refused: "; an ordinary connection from this host is refused",
  silent: ", and neither is an ordinary connection from this host",
};

function notAnswered({ plain }: Try): string {
  return `not answered${plain ? PLAIN_RESULT[plain] : ""}`;
}

/** For an intercept on the target, which sees what arrives there. */
function judgeTarget(seen: Seen, tried: Try): Verdict {
  const { known, caught, sent, route, unresolved, strict = [], listening, dropped, blocked } = seen;
  const { target, port, source, intercept, plain, isInsecure } = tried;
  if (caught) {
    return [
      `the target answered, the intercept caught ${caught} of its packets and sent ${sent} of them, but none arrived here`,
      `Check that the target answers from ${target}, the address in -x; behind a NAT give the intercept --dnat.`,
    ];
  }
  if (!known && plain !== "answered") {
    return [
      `a connection attempt from ${source} left this host, but the intercept at ${intercept} did not see it arrive; an ordinary connection from this host is ${plain === "refused" ? "refused" : "not answered either"}`,
      `Let port ${port} of ${target} through in the firewalls between the two hosts, and in this host's, ${FORCE}`,
    ];
  }
  if (!known) {
    return [
      `a connection attempt from ${source} left this host, but the intercept at ${intercept} did not see it arrive, though ordinary connections from this host get there: something on the way drops foreign source addresses${isInsecure ? INSECURE : ""}`,
      `Turn source address checks off on the way to ${target} (reverse path filters of routers, source/destination checks of clouds), or send from addresses that pass with -c, ${FORCE}`,
    ];
  }
  if (route?.error) {
    return [
      `the attempt arrived, but the target has no way back to ${source} (${route.error.replace(/^.*: /, "")})`,
      `Give it a route there (a default route will do: the responses do not leave the target), name an address that it has a route to with --probe-from, ${FORCE}`,
    ];
  }
  if (listening === false) {
    return [
      `the attempt arrived, but nothing listens on port ${port} there`,
      "Start the service, or correct the port in -x.",
    ];
  }
  if (unresolved) {
    const isSource = unresolved === source;
    const how = unresolved.includes(":") ? "neighbour discovery" : "ARP";
    const where = isSource
      ? `is on the target's own network, ${route?.interface}, and`
      : "is the gateway there and";
    const entry = `ip neighbour replace ${unresolved} lladdr 02:00:00:00:00:01 dev ${route?.interface}`;
    return [
      `the attempt from ${source} arrived, but the target cannot send its response: ${unresolved} ${where} does not answer ${how}`,
      isSource
        ? `Name an address that the target reaches through a gateway with --probe-from, or give the target an entry for this one (its responses do not leave it): ${entry}, ${FORCE}`
        : `Correct the target's route to ${source}, or give the target an entry for the gateway (its responses do not leave it): ${entry}, ${FORCE}`,
    ];
  }
  if (blocked) {
    const what = blocked.drops === "answers" ? "the target's response to it" : "it there";
    return [
      `the attempt from ${source} arrived and was ${notAnswered(tried)}: when the intercept started, netfilter dropped ${what} by the ${blocked.place}`,
      `On the target: ${blocked.fix}; ${FORCE}`,
    ];
  }
  if (dropped?.listen && dropped.listen > 0 && plain !== "refused") {
    return [
      `the attempt from ${source} arrived and was ${notAnswered(tried)}: the service takes no more connections, its queue of those that wait is full`,
      `See why the service there does not accept connections, and how many wait: ss -ltn 'sport = :${port}'`,
    ];
  }
  if (plain === "answered" && strict.length > 0 && (dropped?.reversePath ?? 1) > 0) {
    return [
      `the attempt from ${source} arrived and was ${notAnswered(tried)}: the target drops what comes in on another interface than its way back, ${route?.interface} (rp_filter=1 on ${strict.join(", ")})`,
      `Allow it on the target: sysctl -w net.ipv4.conf.all.rp_filter=2`,
    ];
  }
  const rule = plain === "answered" ? `for ${source} and the clients' addresses` : "for everybody";
  return [
    `the attempt from ${source} arrived and was ${notAnswered(tried)}`,
    `Let port ${port} through in the target's own firewall, ${rule} ("nft list ruleset" or "iptables -S" shows it), ${FORCE}`,
  ];
}

/** For an intercept that sees only what passes it: on a third host, or a netfilter queue. */
function judgeAssistant({ caught }: Seen, tried: Try): Verdict {
  const { target, port, source, intercept, plain } = tried;
  if (caught) {
    return [
      `the target's response to ${source} was caught by the intercept at ${intercept}, but did not arrive here`,
      `Check that the target answers from ${target}, the address in -x; behind a NAT give the intercept --dnat.`,
    ];
  }
  const silence = `no response to ${source} reached the intercept at ${intercept}`;
  if (plain === "silent" || plain === "refused") {
    return [
      `${silence}; an ordinary connection from this host is ${plain === "refused" ? "refused" : "not answered either"}`,
      `Start the service there, let port ${port} through in the target's firewall and in those on the way, ${FORCE}`,
    ];
  }
  return [
    `${silence}${plain ? ", though the target answers an ordinary connection from this host" : ""}`,
    `On the target, route the clients' addresses through the intercept's host ("ip route add ${source} via ...") and accept packets from them (sysctl -w net.ipv4.conf.all.rp_filter=2; let them through in its firewall); name one of the addresses that are routed so with --probe-from, ${FORCE}`,
  ];
}

/** A target of direct mode that did not answer as it answers others. */
function judgeDirect(
  failed: string,
  { target, port, source, plain, translatedTo, isFromPool, error, isRefused }: DirectTry,
): Verdict {
  if (plain === "answered" && translatedTo) {
    return [
      `${failed}, as ${target}:${port} is an address that this host's own netfilter translates to ${translatedTo} (DNAT, as for services of Kubernetes or Docker): copied packets do not pass netfilter`,
      `Name the server itself: ${translatedTo} in place of ${target}:${port} in -x.`,
    ];
  }
  if (plain === "answered" && isFromPool) {
    return [
      `${failed}, though an ordinary connection from this host is answered: responses to ${source} do not come back to this host`,
      `Route the addresses of -c to this host on ${target} and on the way, leave -c out, ${FORCE}`,
    ];
  }
  if (plain === "answered") {
    return [
      `${failed}, though an ordinary connection from this host is answered: it is translated on its way (DNAT, IPVS, a proxy in this host's netfilter), or its responses come from another address or by another interface than the way there`,
      `Name in -x the address of the server that really answers ("ss -tn", "conntrack -L" and "ipvsadm -Ln" help to find it), ${FORCE}`,
    ];
  }
  const firewall = `Let port ${port} through in the firewall of ${target} and in those on the way ("nft list ruleset" or "iptables -S" there shows the rule)`;
  // A service that is not there answers with a reset, which the attempt would have got too, were it not for something on the way.
  if (plain === "refused" && !isRefused) {
    return [
      `${failed}, and an ordinary connection from this host is refused: a firewall rejects it with an ICMP error, or keeps the service's own refusal from copies`,
      `${firewall}, check that the service is there, ${FORCE}`,
    ];
  }
  if (error && !isRefused) {
    return [
      `${failed}, and an ordinary connection from this host got an ICMP error (${error}): a firewall rejects it, or a router has no way to it`,
      `${firewall}, ${FORCE}`,
    ];
  }
  return [failed, `Start the service there, check the firewalls on the way, ${FORCE}`];
}

function judgeSilence({ facts }: ProbeResult, tried: Try): Verdict {
  const [fact] = facts;
  if (!fact || fact.error) {
    const silence = tried.tells ? "did not say what it saw of the attempt" : "cannot be asked for the reason";
    return [
      `no response to a connection attempt from ${tried.source} came back by the intercept at ${tried.intercept}, which ${fact ? `reports: ${fact.error}` : silence}`,
      `Check that responses to ${tried.source} pass there, name another address with --probe-from, ${FORCE}`,
    ];
  }
  return fact.mode === "target" ? judgeTarget(fact as Seen, tried) : judgeAssistant(fact as Seen, tried);
}

/** What to do about an intercept that could not be reached or that refuses; `text`: why, "" if it did not answer. */
export function fixIntercept(text: string, port: number): string {
  if (text === TEXTS["copy without key"])
    return "Give this side the intercept's key, with --key-file or XCOPY_KEY, and leave --insecure out.";
  if (text === TEXTS["intercept without key"])
    return `Give the intercept this side's key, with --key-file or XCOPY_KEY, in place of --insecure, ${FORCE}`;
  if (text === TEXTS.limited)
    return `Wait a minute, and give both sides the same key (--key-file or XCOPY_KEY), ${FORCE}`;
  if (text === TEXTS["wrong key"]) return `Give both the same key, with --key-file or XCOPY_KEY, ${FORCE}`;
  if (/--compat/.test(text)) return `Give --compat to both or to neither, ${FORCE}`;
  if (text === "" || /refused|answer|response|unreachable|route|timed out/i.test(text))
    return `Start it there ("xcopy intercept -o :${port}"), check the firewalls on the way, ${FORCE}`;
  return `Correct that on this side or on the other, ${FORCE}`;
}

/** The error for an intercept that could not be reached, or that refused this copy. */
function judgeIntercept({ index, text }: InterceptState, plan: Plan): Failure {
  const { address, port } = plan.intercepts[index]!;
  const where = formatEndpoint(address.bytes, port);
  const message = `Cannot use the intercept at "${where}": ${text || "no response within 3 s"}`;
  return new Failure(message, fixIntercept(text, plan.services[0]!.routes[0]!.targets[0]!.port), 3);
}

/** What an intercept catches, as far as it has said. */
function describeCaught({ index, welcome }: InterceptState, plan: Plan): string {
  const services = welcome?.services ?? [];
  const shown = [...new Set(services.map(({ port }) => port))].slice(0, 5).map((port) => `port ${port}`);
  return `${plan.intercepts[index]!.label}${shown.length > 0 ? ` catches ${shown.join(", ")}` : ""}`;
}

/** The error for a target whose answers no intercept catches. */
function judgeUncaught(endpoint: string, port: number, intercepts: InterceptState[], plan: Plan): Failure {
  const list = intercepts.map((state) => describeCaught(state, plan)).join("; ");
  return new Failure(
    `Cannot copy to "${endpoint}": none of the intercepts catches its responses (${list})`,
    `Start the intercept there with -o :${port}, correct -x, or name the intercept that catches them in -s.`,
    3,
  );
}

/** The error for a path that was held for too long to be tried: its intercept is connected, but silent again and again. */
function judgeUntried(endpoint: string, label: string): Failure {
  return new Failure(
    `Cannot try target "${endpoint}": the intercept at ${label} is too busy to catch its responses`,
    `Find out what keeps that host, this host or the network between them busy, and start again, ${FORCE}`,
    3,
  );
}

/**
 * Throws a Failure (exit code 3) for the worst finding, if there is one. `plain`: by endpoint, what a target that did not
 * answer through its intercept answers to this host.
 */
export function diagnose(
  { probes, intercepts }: Findings,
  plan: Plan,
  plain: ReadonlyMap<string, OrdinaryConnection>,
): void {
  const missing = intercepts.find(({ up }) => !up);
  if (missing) throw judgeIntercept(missing, plan);
  const bad = worstOf(probes);
  if (!bad || bad.result === "answered") return;
  const { target, targetPort, local } = plan.paths[bad.path]!;
  const endpoint = formatEndpoint(target, targetPort);
  const catching = intercepts.find(({ covers }) => covers.includes(bad.path));
  const label = catching ? plan.intercepts[catching.index]!.label : "";
  if (bad.result === "uncaught") throw judgeUncaught(endpoint, targetPort, intercepts, plan);
  if (bad.result === "untried") throw judgeUntried(endpoint, label);
  const ordinary = plain.get(endpoint);
  if (plan.intercepts.length === 0) {
    const source = formatAddress(local!);
    const [cause, fix] = judgeDirect(
      bad.result === "refused" ? "connection refused" : `no response to a connection attempt from ${source}`,
      {
        target: formatAddress(target),
        port: targetPort,
        source,
        plain: ordinary?.result,
        error: ordinary?.error,
        isRefused: bad.result === "refused",
        translatedTo: ordinary?.translatedTo ?? null,
        isFromPool: plan.usesPool,
      },
    );
    throw new Failure(`Cannot reach target "${endpoint}": ${cause}`, fix, 3);
  }
  if (bad.result === "refused") {
    throw new Failure(
      `Cannot reach target "${endpoint}": connection refused`,
      `Start the service there, check the firewalls on the way, ${FORCE}`,
      3,
    );
  }
  const [cause, fix] = judgeSilence(bad, {
    target: formatAddress(target),
    port: targetPort,
    source: formatAddress(plan.probeFrom[bad.path] ?? local!),
    intercept: label,
    tells: catching?.welcome?.mode !== "compat",
    isInsecure: plan.key === null,
    plain: ordinary?.result,
  });
  throw new Failure(`Cannot reach target "${endpoint}": ${cause}`, fix, 3);
}
