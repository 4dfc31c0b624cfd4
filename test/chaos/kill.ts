/** Kills a mode at random moments, under a load of production. */
import { ONLINE } from "../../src/demo/network.ts";
import { randomFrom } from "../engine/simulation.ts";
import { brokenConnections } from "../support/capture.ts";
import { createLab, type Lab } from "../support/lab.ts";
import { startNginx } from "../support/nginx.ts";
import { type Running, run } from "../support/process.ts";
import { until } from "../support/until.ts";
import { startLoad } from "../support/wrk.ts";
import { hostState, XCOPY } from "../support/xcopy.ts";
import type { Mode, Victim } from "./modes.ts";

const PHASES = ["start", "work", "end"] as const;
type Phase = (typeof PHASES)[number];

/** Requests per second of production, by connections that stay and by one for each. */
const RATE = 200;
/** ms of its work and of its end that the moments lie in; those of its start are what a start takes. */
const WORK = 500;
const END = 300;
/** ms after which what is left is left. */
const PATIENCE = 5000;

/** Tables that iptables makes when it is first run, and leaves empty. */
const EMPTY_TABLE = /^table ip6? \w+ \{\n\tchain \w+ \{\n\t\ttype [^\n]* policy accept;\n\t\}\n\}\n/gm;

function stateOf(namespace: string): string {
  return hostState(namespace).replaceAll(EMPTY_TABLE, "");
}

/** Starts it and kills it at a moment of a phase; `fraction` (0 to 1) says which. Returns the ms of that phase. */
async function killAt(victim: Victim, phase: Phase, fraction: number, startTakes: number): Promise<number> {
  const running: Running = victim.start();
  const after = fraction * (phase === "start" ? startTakes : phase === "work" ? WORK : END);
  if (phase !== "start") await running.line(victim.works, 20_000);
  if (phase === "end") {
    await Bun.sleep(WORK * fraction);
    process.kill(running.pid, "SIGTERM");
  }
  await Bun.sleep(after);
  await running.stop("SIGKILL");
  return after;
}

/** Whether all is as before: by itself, or (the filters of clsact) after `xcopy cleanup`. Null: it never is. */
async function settle(namespace: string, before: string): Promise<"by itself" | "by cleanup" | null> {
  const isAsBefore = () => stateOf(namespace) === before;
  const waited = await until("the host is as it was", isAsBefore, PATIENCE).catch(() => false);
  if (waited) return "by itself";
  run(namespace, XCOPY, "cleanup");
  return isAsBefore() ? "by cleanup" : null;
}

async function startTime(victim: Victim): Promise<number> {
  const began = performance.now();
  const running = victim.start();
  await running.line(victim.works, 20_000);
  const took = performance.now() - began;
  await running.stop();
  return took;
}

/** Kills it `moments` times, prints what was found, and returns whether nothing was left and no client saw anything. */
export async function kill(name: string, mode: Mode, moments: number, seed: number): Promise<boolean> {
  const lab = createLab();
  try {
    return await killIn(lab, name, mode, moments, seed);
  } finally {
    await lab.stopAll();
    lab.remove();
  }
}

async function killIn(lab: Lab, name: string, mode: Mode, moments: number, seed: number): Promise<boolean> {
  const random = randomFrom(seed);
  await Promise.all([startNginx(lab, lab.online, 80), startNginx(lab, lab.target, 8080)]);
  const victim = await mode.prepare(lab);
  const broken = brokenConnections(lab.client);
  const before = stateOf(victim.namespace);
  const takes = await startTime(victim);
  let left = (await settle(victim.namespace, before)) === null ? 1 : 0;
  const loads = [false, true].map((close) =>
    startLoad(lab, { url: `http://${ONLINE}`, rate: RATE, connections: 20, close }),
  );
  let cleaned = 0;
  for (let moment = 0; moment < moments; moment++) {
    const phase = PHASES[moment % PHASES.length]!;
    const after = await killAt(victim, phase, random(), takes);
    const how = await settle(victim.namespace, before);
    if (how === "by cleanup") cleaned++;
    if (how === null) {
      left++;
      console.log(
        `${name}: ${after.toFixed(0)} ms into its ${phase}, this is left:\n${difference(before, stateOf(victim.namespace))}`,
      );
    }
  }
  const results = await Promise.all(loads.map((load) => load.end()));
  const errors = results.reduce((sum, result) => sum + result.errors, 0);
  const resets = brokenConnections(lab.client) - broken;
  const requests = results.reduce((sum, result) => sum + result.requests, 0);
  console.log(
    `${name.padEnd(20)} ${moments} kills: ${left} left something, ${cleaned} needed xcopy cleanup; production: ${requests} requests, ${errors} errors, ${resets} broken connections`,
  );
  return left + errors + resets === 0;
}

/** Lines that only one of the two has. */
function difference(before: string, after: string): string {
  const [old, now] = [before.split("\n"), after.split("\n")];
  const gone = old.filter((line) => !now.includes(line)).map((line) => `- ${line}`);
  return [...gone, ...now.filter((line) => !old.includes(line)).map((line) => `+ ${line}`)].join("\n");
}
