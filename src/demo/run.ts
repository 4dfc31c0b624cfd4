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
import { type Awaited, LIMIT, Watch } from "./watch.ts";

const RATE = 2000;
const SECONDS = 8;
const REQUESTS = RATE * SECONDS;
const CONNECTIONS = 64;
const ONLINE_PORT = 80;
const TARGET_PORT = 8080;
const TRANSFER = `${ONLINE_PORT}-${TARGET}:${TARGET_PORT}`;
/** The load leaves the CPU to `copy`, which captures nothing while it stands still for 2 s. */
const LOAD_NICE = 10;
/** Least time between two pictures on a terminal. */
const REFRESH_MILLISECONDS = 100;
/** Between two looks for something that moves. */
const LOOK_MILLISECONDS = 1000;
/** How long nothing may arrive at the target before the requests that are missing there are given up. */
const PATIENCE_MILLISECONDS = 10_000;
/** How long processes may take to end after one of them has hung. */
const HUNG_MILLISECONDS = 3000;

/** The role of a child process and its arguments, as JSON; see `playRole` in src/commands/demo.ts. */
export const ROLE = "XCOPY_DEMO_ROLE";

interface CopyReport {
  turns: { captured: number; sent: number; answered: number };
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
  network: Network | null;
  children: Child<unknown>[];
  /** What the demo waits for. */
  awaited: () => Awaited;
}

/** Runs it to its end and says whether every request arrived exactly once. Throws a Failure where it cannot run. */
export async function runDemo(): Promise<boolean> {
  requireNamespaces();
  removeNamespaces(abandonedNamespaces());
  const lab: Lab = { network: null, children: [], awaited: () => starting("the first host") };
  const isForced = Promise.withResolvers<void>();
  let stopped = false;
  const end = async (code: number) => {
    // Who says it twice does not want to wait.
    if (stopped) isForced.resolve();
    if (stopped) return;
    stopped = true;
    await clear(lab, isForced.promise);
    process.exit(code);
  };
  process.on("SIGINT", () => end(130));
  process.on("SIGTERM", () => end(143));
  process.on("SIGHUP", () => end(129));
  const silence = watchSilence(lab, isForced.resolve);
  try {
    lab.network = createNetwork();
    return await Promise.race([copyTraffic(lab, lab.network), silence.failure]);
  } catch (error) {
    // Processes that end because of `end` are no error; it also ends this process.
    if (stopped) await new Promise(() => {});
    throw error;
  } finally {
    silence.stop();
    await clear(lab, isForced.promise);
  }
}

/** `failure` rejects when nothing has moved for too long, until `stop`; then `force` is called soon. */
function watchSilence(lab: Lab, force: () => void): { failure: Promise<never>; stop(): void } {
  const watch = new Watch();
  const { promise, reject } = Promise.withResolvers<never>();
  const timer = setInterval(() => {
    const failure = watch.look(stateOf(lab), lab.awaited());
    if (!failure) return;
    reject(failure);
    // What has hung does not end in an orderly way either.
    setTimeout(force, HUNG_MILLISECONDS);
  }, LOOK_MILLISECONDS);
  return { failure: promise, stop: () => clearInterval(timer) };
}

/** All that can move, as text. */
function stateOf({ children, awaited }: Lab): string {
  const states = children.map((child) => {
    // Of what `copy` reports the turns do not change by themselves, as times and its status line do.
    const { turns, ...others } = (child.latest ?? { said: child.messages() }) as Partial<CopyReport>;
    return [turns ?? others, child.hasEnded];
  });
  return JSON.stringify([awaited().lack, states]);
}

/**
 * Ends all processes, the client first, so that `copy` has nothing left to do; then removes the hosts, with what has not ended
 * after a while, or when that is `forced`.
 */
async function clear({ network, children }: Lab, forced: Promise<void>): Promise<void> {
  const patience = Promise.race([forced, Bun.sleep(LIMIT * 1000)]);
  for (const child of children.toReversed()) await Promise.race([child.stop(), patience]);
  network?.remove();
  await Promise.all(children.map((child) => child.exited));
}

function starting(who: string, child?: Child<unknown>): Awaited {
  return { aim: "start", lack: `${who} has said nothing`, messages: () => child?.messages() ?? "" };
}

function finishing(lack: string): Awaited {
  return { aim: "finish", lack, messages: () => "" };
}

/** What the load waits for: where the requests are held up. */
function flowing({ online, target, client }: Processes): Awaited {
  const { sent, answered } = client.latest ?? { sent: 0, answered: 0 };
  if (sent < REQUESTS && sent === answered) return finishing("the client has sent nothing");
  if (online.latest!.received < sent) return finishing("no request has reached online");
  if (answered < sent) return finishing("no response has reached the client");
  if (target.latest!.received < sent) return finishing("no request has reached the target");
  return finishing("the client has not ended");
}

/** Starts all processes and shows what they do until the client has ended; returns whether every request arrived exactly once. */
async function copyTraffic(lab: Lab, network: Network): Promise<boolean> {
  const online = await startService(lab, network.online, ONLINE_PORT);
  const target = await startService(lab, network.target, TARGET_PORT);
  const copy = await startCopy(lab, network.online);
  const client = spawnRole<Sent>(lab, network.client, {
    client: { host: ONLINE, port: ONLINE_PORT, rate: RATE, count: REQUESTS, connections: CONNECTIONS },
  });
  const processes = { online, target, copy, client };
  lab.awaited = () => flowing(processes);
  const show = createShow();
  const picture = createPicture(processes);
  while (await client.next()) show(picture());
  if ((await client.exited) !== 0) throw ended("the client", client);
  await arrival(processes, () => show(picture()));
  const before = picture();
  await stop(lab, '"xcopy copy"', copy);
  // A service's last report is complete.
  await stop(lab, "the service", online);
  await stop(lab, "the service", target);
  const last: Picture = {
    ...before,
    online: online.latest!,
    target: target.latest!,
    lag: copy.latest!.lag_us,
  };
  show(last, true);
  return conclude(last, copy);
}

/** Waits until all that online served has arrived at the target: where the machine is slow, `copy` may be far behind. */
async function arrival({ online, target }: Processes, onReport: () => void): Promise<void> {
  let distinct = -1;
  let movedAt = 0;
  while (target.latest!.distinct < online.latest!.distinct) {
    if (target.latest!.distinct !== distinct) movedAt = performance.now();
    else if (performance.now() - movedAt > PATIENCE_MILLISECONDS) return;
    distinct = target.latest!.distinct;
    if (!(await target.next())) throw ended("the service", target);
    onReport();
  }
}

/** Ends a process in an orderly way, and waits for that. */
async function stop(lab: Lab, who: string, child: Child<unknown>): Promise<void> {
  lab.awaited = () => finishing(`${who} has not ended`);
  if ((await child.stop()) !== 0) throw ended(who, child);
}

function spawn<Report>(
  { children }: Lab,
  namespace: string,
  args: string[],
  env: Record<string, string> = {},
  nice = 0,
): Child<Report> {
  const child = spawnChild<Report>(namespace, [...self(), ...args], env, nice);
  children.push(child);
  return child;
}

function spawnRole<Report>(lab: Lab, namespace: string, role: object): Child<Report> {
  return spawn<Report>(lab, namespace, ["demo"], { [ROLE]: JSON.stringify(role) }, LOAD_NICE);
}

async function startService(lab: Lab, namespace: string, port: number): Promise<Child<Served>> {
  const service = spawnRole<Served>(lab, namespace, { service: port });
  lab.awaited = () => starting(`the service on port ${port}`, service);
  if (!(await service.next())) throw ended("the service", service);
  return service;
}

async function startCopy(lab: Lab, namespace: string): Promise<Child<CopyReport>> {
  const options = ["-x", TRANSFER, "--json", "--stats-interval", "0.1"];
  const copy = spawn<CopyReport>(lab, namespace, ["copy", ...options]);
  lab.awaited = () => starting('"xcopy copy"', copy);
  if (!(await copy.next())) throw ended('"xcopy copy"', copy);
  return copy;
}

function ended(who: string, child: Child<unknown>): Failure {
  return new Failure(
    `Cannot go on with the demo: ${who} ended`,
    messagesOf(child) || "It printed no error; please report this.",
    1,
  );
}

/** What it has printed on standard error, without the status lines of `copy`. */
function messagesOf(child: Child<unknown>): string {
  const lines = child.messages().trim().split("\n");
  return lines.filter((line) => !line.startsWith("captured ")).join("\n");
}

/** Returns a function that makes a picture of the present state. */
function createPicture({ online, target, copy, client }: Processes): () => Picture {
  const begun = performance.now();
  const before = usageOf(copy.pid);
  const past: { time: number; client: number; online: number; target: number }[] = [];
  return () => {
    if (copy.hasEnded) throw ended('"xcopy copy"', copy);
    const time = (performance.now() - begun) / 1000;
    const now = {
      time,
      client: client.latest?.sent ?? 0,
      online: online.latest!.received,
      target: target.latest!.received,
    };
    past.push(now);
    while (past[0]!.time < time - 1 && past.length > 2) past.shift();
    const then = past[0]!;
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
      seconds: time,
      duration: SECONDS,
      requests: REQUESTS,
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
  else console.log(`${JSON.stringify(copy.latest)}\n${messagesOf(copy)}`);
  return good;
}
