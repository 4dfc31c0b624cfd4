/** What of its configuration an engine takes while it runs, and what that means for the sessions that it has. */
import type { ProtocolModule } from "../protocol/module.ts";
import { addressBytes } from "../wire/address-words.ts";
import { ACK, RST } from "../wire/tcp.ts";
import { supersede } from "./session-lifecycle.ts";
import { type Context, type EngineConfig, type Path, type Route, unusablePort } from "./sessions/context.ts";
import { TurnLimit } from "./sessions/share.ts";
import { Spread } from "./sessions/spread.ts";
import {
  CLIENT_ADDRESS,
  CLIENT_PORTS,
  CLIENTLESS,
  CLOSED,
  COPY,
  CURSOR,
  FLAGS,
  FREE,
  NONE,
  ONLINE_ADDRESS,
  PATH,
  PORT,
  ROW,
  SERVICE,
  STATE,
  SUPERSEDED,
  TARGET,
  TIME_WAIT,
} from "./sessions/table.ts";
import { Users } from "./sessions/users.ts";
import { copiesOf, creditAfter, routeOf } from "./sessions/weights.ts";
import { endSession } from "./tcp/connection.ts";
import { emitControl, hasRoom } from "./tcp/emit.ts";

/** Numbers of the configuration that may change, with the units of EngineConfig. */
export type EngineNumbers = Required<
  Pick<
    EngineConfig,
    "jitter" | "late" | "turnTimeout" | "quiet" | "turnLimit" | "users" | "sessionTimeout" | "idleTimeout"
  >
>;

/**
 * From now on these numbers hold. Sessions go on; what waits is looked at again. `round`: a number that grows with each change of
 * `turnLimit`, the same for all engines; `since`: when that began, us, the same for all too.
 */
export function changeNumbers(c: Context, numbers: EngineNumbers, round: number, since: number): void {
  const { config, table } = c;
  if (numbers.turnLimit !== config.turnLimit)
    c.turnLimit = new TurnLimit({ ...c.share, since }, numbers.turnLimit, round);
  Object.assign(config, numbers);
  if (numbers.late?.spreads) c.spread ??= new Spread(table.capacity);
  if (c.users !== null) c.users.setLimit(numbers.users);
  else if (numbers.users > 0) c.users = usersOf(c, numbers.users);
  for (let s = 0; s < table.end; s++) {
    if (c.words[s * ROW + STATE] === FREE) continue;
    if (c.words[s * ROW + CURSOR] !== NONE) c.makeReady(s);
    // Its timers were set by the numbers before.
    c.wheel.arm(s, c.now + 1);
  }
}

/** Those that have a connection are users already. */
function usersOf(c: Context, limit: number): Users {
  const users = new Users(c.table.capacity, limit);
  for (let s = 0; s < c.table.end; s++) {
    const row = s * ROW;
    if (c.words[row + STATE] !== FREE && c.words[row + PORT] !== NONE) users.adopt(s);
  }
  return users;
}

/**
 * Ends the sessions whose clients' packets are not captured any more, as `isLeftOut` says of the addresses and ports of a client
 * and its service: what was captured of them is delivered, then they close.
 */
export function leaveOut(
  c: Context,
  isLeftOut: (client: Uint8Array, service: Uint8Array, clientPort: number, servicePort: number) => boolean,
): void {
  const w = c.words;
  for (let s = 0; s < c.table.end; s++) {
    const row = s * ROW;
    if (w[row + STATE] === FREE || w[row + FLAGS]! & (CLIENTLESS | SUPERSEDED)) continue;
    const client = addressBytes(w, row + CLIENT_ADDRESS);
    const service = addressBytes(w, row + ONLINE_ADDRESS);
    const ports = w[row + CLIENT_PORTS]!;
    if (isLeftOut(client, service, ports >>> 16, ports & 0xffff)) supersede(c, s);
  }
}

/** One more path, held for these reasons (hold.ts). */
export function addPath(c: Context, path: Path, reasons: number): void {
  c.paths.push(path);
  c.held.push(reasons);
  c.heldSince.push(c.now);
  c.ownFlows.addPath(path.fromClient === true);
  c.ports.addPath(unusablePort(path));
}

/** The routes of a service, and the module of its sessions; see EngineConfig. A service keeps its module. */
export function setRoutes(c: Context, service: number, routes: Route[], module: ProtocolModule | null): void {
  const { services, modules, replicas } = c.config;
  if (service === services.length) modules?.push(module);
  const rotation = c.pathRotation[service] ?? [];
  services[service] = routes;
  c.copies[service] = copiesOf(routes, replicas);
  c.credit[service] = routes.map((route) => creditAfter(route, isLive(route) ? c.share.worker : 0));
  c.pathRotation[service] = routes.map((route, r) => route.map((_, target) => rotation[r]?.[target] ?? 0));
}

function isLive(route: Route): boolean {
  return route.some(({ weight }) => weight > 0);
}

/** Whether a session is of a target that is gone. */
function isGone(c: Context, s: number): boolean {
  const w = c.words;
  const row = s * ROW;
  if (w[row + STATE] === FREE || w[row + FLAGS]! & CLIENTLESS) return false;
  const route = routeOf(w[row + COPY]!, c.config.replicas);
  return c.config.services[w[row + SERVICE]!]![route]![w[row + TARGET]!]!.weight === 0;
}

/**
 * Sessions whose targets are gone get nothing more of their clients: what was captured is delivered, then they close. Returns how many
 * there are.
 */
export function retire(c: Context): number {
  let count = 0;
  for (let s = 0; s < c.table.end; s++) {
    if (!isGone(c, s) || c.words[s * ROW + FLAGS]! & SUPERSEDED) continue;
    supersede(c, s);
    count++;
  }
  return count;
}

/** Ends the sessions of targets that are gone, as the engine's end does. False when a batch was full: call it again. */
export function endRetired(c: Context): boolean {
  for (let s = 0; s < c.table.end; s++) {
    if (!isGone(c, s)) continue;
    const row = s * ROW;
    const state = c.words[row + STATE]!;
    if (state !== CLOSED && state !== TIME_WAIT && !c.held[c.words[row + PATH]!]) {
      if (!hasRoom(c, s)) return false;
      emitControl(c, s, RST | ACK);
    }
    endSession(c, s, "ended");
  }
  return true;
}
