/** Finds out which services speak MySQL where --protocol does not say, by the greetings of their targets. */
import { formatAddress, formatEndpoint } from "../config/address.ts";
import { isByGreeting, isMysqlPort, type ProtocolChoice, protocolFor } from "../config/protocol.ts";
import { Failure } from "../native/failure.ts";
import type { CopyOptions } from "./options.ts";
import type { Plan } from "./plan.ts";
import { type Greets, lookAtGreeting } from "./target/greeting.ts";

/** ms: a MySQL server may look up this host's name before it greets; other services send nothing, which delays the start. */
const PATIENCE = { mysqlPort: 3000, other: 500 };

type PlannedService = Plan["services"][number];

export function targetPortsOf({ routes }: PlannedService): number[] {
  return routes.flatMap(({ targets }) => targets.map(({ port }) => port));
}

/** The TCP services whose protocol is decided by the greetings of their targets. */
export function servicesByGreeting({ services }: Plan, options: CopyOptions): PlannedService[] {
  return services.filter(
    (service) => !service.transport && isByGreeting(options, service.port, targetPortsOf(service)),
  );
}

/**
 * Throws a Failure (exit code 2) where clients log in (MySQL) and what production answers to them cannot be captured, unless
 * --trust-logins says to believe them. `backEnd`: the name of the capture, or what was asked for.
 */
export function requireLogins(plan: Plan, options: CopyOptions, backEnd: string): void {
  const { protocols, mysql, capture } = options;
  const service = plan.services.find((one) => !one.transport && protocolFor(protocols, one) === "mysql");
  if (!service || mysql.trustLogins) return;
  let why: string | null = null;
  // Whether a recording has them shows when it is read: see Gate.
  if (plan.files.length > 0) return;
  if (capture.direction === "out") why = "they come in by --direction out";
  else if (backEnd === "raw") why = "--capture raw sees only requests";
  else if (backEnd === "pcap") why = "--capture pcap does not tell what leaves this host from what comes in";
  if (why === null) return;
  throw new Failure(
    `Cannot tell whom the MySQL server at port ${service.port} lets in: its responses to logins are not captured (${why})`,
    "Capture live requests where they come in, by eBPF (--capture tcx) or by packet sockets (--capture packet), or give --trust-logins to believe every login: then clients that production refuses are let in at the target.",
    2,
  );
}

/**
 * With --late spread and --compare requests are told apart: services whose protocol nothing names are read as HTTP, if they speak it.
 */
function protocolOfOthers({ late, comparison, protocols, noWait }: CopyOptions): ProtocolChoice[] {
  const isNamed = protocols.some(({ port }) => port === null);
  const tellsApart = late?.spreads || (comparison !== null && !noWait);
  return tellsApart && !isNamed ? [{ port: null, name: "http" }] : [];
}

/**
 * The protocols of all services: those that are named, and mysql for each service with a target that greets so; where no target
 * can be connected to, the port decides. `tell` and `warn` take lines for the log.
 */
export async function recognizeProtocols(
  plan: Plan,
  options: CopyOptions,
  tell: (line: string) => void,
  warn: (line: string) => void,
): Promise<ProtocolChoice[]> {
  const services = servicesByGreeting(plan, options);
  const otherwise = protocolOfOthers(options);
  if (services.length === 0) return [...options.protocols, ...otherwise];
  const looks = new Map<string, Promise<Greets>>();
  let isUnknown = false;
  const found = services.map(async (service): Promise<ProtocolChoice[]> => {
    const isLikely = isMysqlPort(service.port, targetPortsOf(service));
    const endpoints = service.routes.flatMap(({ targets }) =>
      targets.map(({ address, port }) => {
        const text = formatEndpoint(address.bytes, port);
        const patience = isLikely ? PATIENCE.mysqlPort : PATIENCE.other;
        if (!looks.has(text)) looks.set(text, lookAtGreeting(formatAddress(address.bytes), port, patience));
        return text;
      }),
    );
    const results = await Promise.all(endpoints.map((endpoint) => looks.get(endpoint)!));
    const { port } = service;
    const mysql = results.indexOf("mysql");
    const other = results.findIndex((result) => result === "other" || result === "silent");
    if (mysql >= 0) {
      tell(`${endpoints[mysql]} greets as MySQL does: connections to port ${port} are read as mysql`);
    } else if (other >= 0 && isLikely) {
      // No time is named: the target may also have closed the connection before the time was over.
      const said = results[other] === "silent" ? "has not greeted" : "does not greet as MySQL does";
      warn(
        `${endpoints[other]} ${said}: connections to port ${port} are copied byte by byte. If it is a MySQL server, give --protocol ${port}=mysql`,
      );
    }
    if (mysql < 0 && other < 0 && !isLikely) {
      isUnknown = true;
      // Without --force the preflight reports the unreachable target.
      if (options.force) {
        warn(
          `cannot connect to ${endpoints[0]} to see its protocol: connections to port ${port} are copied byte by byte. If it is a MySQL server, give --protocol ${port}=mysql`,
        );
      }
    }
    return mysql >= 0 || (other < 0 && isLikely) ? [{ port, name: "mysql" }] : [];
  });
  const recognized = (await Promise.all(found)).flat();
  const protocols = [...options.protocols, ...recognized];
  if (options.speaksMysql && !isUnknown && !protocols.some(({ name }) => name === "mysql")) {
    warn("the options about MySQL have no effect: no target greets as MySQL does");
  }
  return [...protocols, ...otherwise];
}
