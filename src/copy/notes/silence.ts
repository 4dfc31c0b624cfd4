/** Says why nothing is captured, where it can be told: which connections this host has while no request comes. */
import { formatAddress } from "../../config/address.ts";
import type { Service } from "../../config/transfer.ts";
import type { Log } from "../../host/log/log.ts";
import { ESTABLISHED, LISTEN, type OpenSocket, openSockets } from "../../native/sockets.ts";
import { translatedPorts } from "../../netfilter/translation.ts";
import { number } from "../../runtime/figures.ts";
import { nameServices } from "./nothing-found.ts";

/** ms between two looks at this host's connections, how many there are, and ms after which an end without requests is explained. */
const LOOK = 2000;
const LOOKS = 5;
const LEAST = 2000;
/** Ports that are named. */
const MOST_PORTS = 5;

/** What this host has: by port most connections that were seen at a time, and whether something listens. */
export interface HostPorts {
  connections: Map<number, number>;
  listening: Set<number>;
}

type Watched = Pick<Service, "address" | "port" | "transport">;

/** Adds what `sockets` tells. Connections that this host has begun have a port of its own here, and are nobody's. */
export function addSockets({ connections, listening }: HostPorts, sockets: readonly OpenSocket[]): void {
  for (const { state, port } of sockets) if (state === LISTEN) listening.add(port);
  const now = new Map<number, number>();
  for (const { state, port } of sockets) if (state === ESTABLISHED) now.set(port, (now.get(port) ?? 0) + 1);
  for (const [port, count] of now) connections.set(port, Math.max(count, connections.get(port) ?? 0));
}

function others({ connections, listening }: HostPorts): string {
  const served = [...connections].filter(([port]) => listening.has(port));
  const most = served.sort((one, other) => other[1] - one[1]).slice(0, MOST_PORTS);
  if (most.length === 0) return "";
  return ` Most connections here are to ports ${most.map(([port, count]) => `${port} (${number(count)})`).join(", ")}.`;
}

/**
 * Why nothing may have come to `service`, in one or two lines; `where`: what is captured and how. `translated`: the ports that
 * clients use for it where netfilter translates them; `isLocal`: whether its address, if it has one, is this host's.
 */
export function renderSilence(
  service: Watched,
  where: string,
  host: HostPorts,
  translated: readonly number[],
  isLocal: boolean,
): string {
  const name = nameServices([service]);
  const nothing = `no request to ${name} has come (${where})`;
  if (service.address && !isLocal)
    return `${nothing}\n${formatAddress(service.address.bytes)} is no address of this host: see whether the mirror or the gateway sends its packets here.`;
  if (service.transport === "udp") return nothing;
  const { port } = service;
  const own = host.connections.get(port) ?? 0;
  const has = `established connections of port ${port} here: ${number(own)}`;
  if (translated.length > 0)
    return `${nothing}\n${has}. Netfilter translates what clients send to port ${translated.join(", ")}: name that port in -x.`;
  if (own > 0)
    return `${nothing}\n${has}. If they are not idle, their packets have another port on the wire (a REDIRECT or DNAT rule: name in -x the port that clients use), or come where xcopy does not capture (-i, -F).`;
  if (!host.listening.has(port))
    return `${nothing}\nNothing listens on port ${port} in this network namespace.${others(host)} If the service is in a container, run xcopy in its network namespace (nsenter -t PID -n), or name in -x the port that clients use.`;
  return `${nothing}\nA service listens on port ${port}, and has no connection.${others(host)}`;
}

/**
 * Explains once why nothing was captured: after some seconds, or at the end, which is told by calling what it returns.
 * `captured` tells how many packets were; `where` what is captured and how.
 */
export function watchSilence(
  captured: () => number,
  services: readonly Service[],
  where: () => string,
  isLocal: (address: Uint8Array) => boolean,
  log: Log,
): () => Promise<void> {
  const host: HostPorts = { connections: new Map(), listening: new Set() };
  const start = performance.now();
  let looks = 0;
  let isOver = false;
  const look = (): void => addSockets(host, [...openSockets("tcp"), ...openSockets("tcp6")]);
  const end = async (tells: boolean): Promise<void> => {
    isOver = true;
    clearInterval(timer);
    if (!tells) return;
    for (const service of services) {
      const isHere = service.address === null || isLocal(service.address.bytes);
      const ports = isHere ? await translatedPorts(service.port) : [];
      log.warn(renderSilence(service, where(), host, ports, isHere));
    }
  };
  const timer = setInterval(() => {
    if (captured() > 0) return void end(false);
    look();
    if (++looks >= LOOKS) void end(true);
  }, LOOK);
  return async () => {
    if (isOver) return;
    look();
    await end(captured() === 0 && performance.now() - start >= LEAST);
  };
}
