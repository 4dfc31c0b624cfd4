/** Which services speak MySQL, where nobody has said so: their targets are asked. */
import { formatAddress, formatEndpoint } from "../config/address.ts";
import { isByGreeting, isMysqlPort, type ProtocolChoice } from "../config/protocol.ts";
import { type Greets, lookAtGreeting } from "./greeting.ts";
import type { CopyOptions } from "./options.ts";
import type { Plan } from "./plan.ts";

/** ms: a MySQL server may look up the name of this host before it greets; other services say nothing and keep us waiting. */
const PATIENCE = { mysqlPort: 3000, other: 500 };

type PlannedService = Plan["services"][number];

export function targetPortsOf({ routes }: PlannedService): number[] {
  return routes.flatMap(({ targets }) => targets.map(({ port }) => port));
}

/** The services (of TCP) whose protocol is for their targets' greetings to say. */
export function servicesByGreeting({ services }: Plan, options: CopyOptions): PlannedService[] {
  return services.filter(
    (service) => !service.transport && isByGreeting(options, service.port, targetPortsOf(service)),
  );
}

/**
 * The protocols of all services: those that are named, and mysql for each whose target greets so; where no connection is to be
 * had, the port decides. `tell` and `warn` take lines about what is not obvious.
 */
export async function recognizeProtocols(
  plan: Plan,
  options: CopyOptions,
  tell: (line: string) => void,
  warn: (line: string) => void,
): Promise<ProtocolChoice[]> {
  const services = servicesByGreeting(plan, options);
  if (services.length === 0) return options.protocols;
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
    const greeter = results.indexOf("mysql");
    const mute = results.findIndex((result) => result === "other" || result === "silent");
    if (greeter >= 0) {
      tell(`${endpoints[greeter]} greets as MySQL does: connections to port ${port} are read as mysql`);
    } else if (mute >= 0 && isLikely) {
      // One that closes the connection without a word has not waited for the end of the patience.
      const said = results[mute] === "silent" ? "has not greeted" : "does not greet as MySQL does";
      warn(
        `${endpoints[mute]} ${said}: connections to port ${port} are copied byte by byte. If it is one, say so: --protocol ${port}=mysql`,
      );
    }
    if (greeter < 0 && mute < 0 && !isLikely) {
      isUnknown = true;
      // Without it the unreachable target is all that there is to say, and is said.
      if (options.force) {
        warn(
          `no connection to ${endpoints[0]} tells what it speaks: connections to port ${port} are copied byte by byte. If it is MySQL, say so: --protocol ${port}=mysql`,
        );
      }
    }
    return greeter >= 0 || (mute < 0 && isLikely) ? [{ port, name: "mysql" }] : [];
  });
  const recognized = (await Promise.all(found)).flat();
  const protocols = [...options.protocols, ...recognized];
  if (options.speaksMysql && !isUnknown && !protocols.some(({ name }) => name === "mysql")) {
    warn("the options about MySQL are for nothing: no target has greeted as MySQL does");
  }
  return protocols;
}
