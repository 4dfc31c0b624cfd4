/** Runs the demo: three hosts, a service on two of them, a client on one, and the real `xcopy copy` on the middle one. */
import { colors } from "consola/utils";
import { createLogUpdate } from "log-update";
import { Failure } from "../native/failure.ts";
import { type Child, self, spawnChild } from "./child.ts";
import type { Sent } from "./client.ts";
import {
  abandonedNamespaces,
  createNetwork,
  type Network,
  ONLINE,
  removeNamespaces,
  requireNamespaces,
  TARGET,
} from "./network.ts";
import { judge, type Picture, renderLine, renderScreen } from "./screen.ts";
import type { Served } from "./service.ts";
import { usageOf } from "./usage.ts";

const RATE = 2000;
const SECONDS = 8;
const CONNECTIONS = 64;
const ONLINE_PORT = 80;
const TARGET_PORT = 8080;
const TRANSFER = `${ONLINE_PORT}-${TARGET}:${TARGET_PORT}`;
/** How long a process may take to end. */
const PATIENCE_MILLISECONDS = 1000;
/** Least time between two pictures on a terminal. */
const REFRESH_MILLISECONDS = 100;
/** The whole demo is ended after this time, also if a process hangs. */
const LIMIT_MILLISECONDS = 15_000;

/** The role of a child process and its arguments, as JSON; see `playRole` in src/commands/demo.ts. */
export const ROLE = "XCOPY_DEMO_ROLE";

interface CopyReport {
  lag_us: { p50: number; p99: number };
}

/** The processes of the demo. */
interface Processes {
  online: Child<Served>;
  target: Child<Served>;
  copy: Child<CopyReport>;
  client: Child<Sent>;
}

/** The hosts, and all processes on them in the order of their start. */
interface Lab {
  network: Network;
  children: Child<unknown>[];
}

/** Runs it to its end and says whether every request arrived exactly once. Throws a Failure where it cannot run. */
export async function runDemo(): Promise<boolean> {
  requireNamespaces();
  removeNamespaces(abandonedNamespaces());
  const lab: Lab = { network: createNetwork(), children: [] };
  let stopped = false;
  const end = async (code: number) => {
    stopped = true;
    await clear(lab);
    process.exit(code);
  };
  process.on("SIGINT", () => end(130));
  process.on("SIGTERM", () => end(143));
  process.on("SIGHUP", () => end(129));
  const limit = setTimeout(() => {
    console.error(`Cannot finish the demo: it takes longer than ${LIMIT_MILLISECONDS / 1000} s`);
    end(1);
  }, LIMIT_MILLISECONDS);
  try {
    return await copyTraffic(lab);
  } catch (error) {
    // Processes that end because of `end` are no error; it also ends this process.
    if (stopped) await new Promise(() => {});
    throw error;
  } finally {
    clearTimeout(limit);
    await clear(lab);
  }
}

/** Ends all processes, the client first, so that `copy` has nothing left to do; then removes the hosts. */
async function clear({ network, children }: Lab): Promise<void> {
  for (const child of children.toReversed())
    await Promise.race([child.stop(), Bun.sleep(PATIENCE_MILLISECONDS)]);
  network.remove();
  await Promise.all(children.map((child) => child.exited));
}

/** Starts all processes and shows what they do until the client has ended; returns whether every request arrived exactly once. */
async function copyTraffic(lab: Lab): Promise<boolean> {
  const { network } = lab;
  const online = await startService(lab, network.online, ONLINE_PORT);
  const target = await startService(lab, network.target, TARGET_PORT);
  const copy = await startCopy(lab);
  const client = spawnRole<Sent>(lab, network.client, {
    client: { host: ONLINE, port: ONLINE_PORT, rate: RATE, count: RATE * SECONDS, connections: CONNECTIONS },
  });
  const processes = { online, target, copy, client };
  const show = createShow();
  const picture = createPicture(processes);
  while (await client.next()) show(picture());
  if ((await client.exited) !== 0) throw ended("the client", client);
  const before = picture();
  if ((await copy.stop()) !== 0) throw ended("xcopy copy", copy);
  // The target's next report may miss what copy sent last: the one after it is complete.
  for (const service of [online, target]) {
    await service.next();
    await service.next();
  }
  const last: Picture = {
    ...before,
    online: online.latest!,
    target: target.latest!,
    lag: copy.latest!.lag_us,
  };
  show(last, true);
  return conclude(last, copy);
}

function spawn<Report>(
  { children }: Lab,
  namespace: string,
  args: string[],
  env: Record<string, string> = {},
): Child<Report> {
  const child = spawnChild<Report>(namespace, [...self(), ...args], env);
  children.push(child);
  return child;
}

function spawnRole<Report>(lab: Lab, namespace: string, role: object): Child<Report> {
  return spawn<Report>(lab, namespace, ["demo"], { [ROLE]: JSON.stringify(role) });
}

async function startService(lab: Lab, namespace: string, port: number): Promise<Child<Served>> {
  const service = spawnRole<Served>(lab, namespace, { service: port });
  if (!(await service.next())) throw ended("the service", service);
  return service;
}

async function startCopy(lab: Lab): Promise<Child<CopyReport>> {
  const options = ["-x", TRANSFER, "--json", "--stats-interval", "0.1"];
  const copy = spawn<CopyReport>(lab, lab.network.online, ["copy", ...options]);
  if (!(await copy.next())) throw ended("xcopy copy", copy);
  return copy;
}

function ended(who: string, child: Child<unknown>): Failure {
  return new Failure(
    `Cannot go on with the demo: ${who} ended`,
    child.messages().trim() || "It printed no error; please report this.",
    1,
  );
}

/** Returns a function that makes a picture of the present state. */
function createPicture({ online, target, copy, client }: Processes): () => Picture {
  const begun = performance.now();
  const before = usageOf(copy.pid);
  const past: { time: number; client: number; online: number; target: number }[] = [];
  return () => {
    const time = (performance.now() - begun) / 1000;
    const now = {
      time,
      client: client.latest?.sent ?? 0,
      online: online.latest!.received,
      target: target.latest!.received,
    };
    past.push(now);
    const then = past.find((earlier) => earlier.time >= time - 1)!;
    const rate = (host: "client" | "online" | "target") =>
      now.time > then.time ? (now[host] - then[host]) / (now.time - then.time) : 0;
    const { user, system } = usageOf(copy.pid);
    const seconds = user + system - before.user - before.system;
    return {
      command: `xcopy copy -x ${TRANSFER}`,
      addresses: {
        client: `${CONNECTIONS} connections`,
        online: `${ONLINE}:${ONLINE_PORT}`,
        target: `${TARGET}:${TARGET_PORT}`,
      },
      seconds: Math.min(time, SECONDS),
      duration: SECONDS,
      client: client.latest ?? { sent: 0, answered: 0, failed: 0, connections: 0 },
      online: online.latest!,
      target: target.latest!,
      rates: { client: rate("client"), online: rate("online"), target: rate("target") },
      lag: copy.latest?.lag_us ?? null,
      cpu: { seconds, share: seconds / Math.max(time, 0.1) },
    };
  };
}

/** Returns a function that shows pictures: on a terminal the latest one, elsewhere a line per second and the whole last one. */
function createShow(): (picture: Picture, last?: boolean) => void {
  if (process.stdout.isTTY) {
    const update = createLogUpdate(process.stdout);
    let shownAt = 0;
    return (picture, last) => {
      const now = performance.now();
      if (!last && now - shownAt < REFRESH_MILLISECONDS) return;
      shownAt = now;
      update(renderScreen(picture));
      if (last) update.done();
    };
  }
  let shown = 0;
  return (picture, last) => {
    if (last) console.log(renderScreen(picture));
    else if (picture.seconds >= shown + 1) {
      shown = Math.floor(picture.seconds);
      console.log(renderLine(picture));
    }
  };
}

function conclude(picture: Picture, copy: Child<CopyReport>): boolean {
  const { good, lines } = judge(picture);
  const colour = good ? colors.green : colors.red;
  console.log(`\n${lines.map((line) => `  ${colour(line)}`).join("\n")}\n`);
  if (good) console.log(`  On the host of your own service:  ${colors.cyan(`xcopy copy -x ${TRANSFER}`)}\n`);
  else console.log(`${JSON.stringify(copy.latest)}\n${copy.messages()}`);
  return good;
}
