/** Measures resident memory with open sessions, and the CPU time of an idle xcopy. */
import { join } from "node:path";
import { ONLINE, TARGET } from "../src/demo/network.ts";
import { usageOf } from "../src/demo/usage.ts";
import type { Lab } from "../test/support/lab.ts";
import { startNginx } from "../test/support/nginx.ts";
import { startCopy } from "../test/support/xcopy.ts";
import { type Figure, megabytes } from "./figures.ts";
import { QUIET } from "./load.ts";

/** Connections per process: below the limit of open files. */
const CONNECTIONS_PER_CLIENT = 10_000;

const IDLE_SECONDS = 3;
/** Until memory for bursts is ready and what runs has been compiled. */
const SETTLE_SECONDS = 10;
const TRANSFER = `80-${TARGET}:8080`;
const AIMS: Record<number, string> = { 1000: "120 MB" };

/** The rings have a share of the host's memory by default: what else there is does not depend on the host. */
const RINGS = ["-B", "32"];

/** Idle, then with more and more connections that have sent one request each and stay open. */
export async function measureMemory(lab: Lab, steps: number[]): Promise<Figure[]> {
  await startNginx(lab, lab.online, 80, { workers: 4 });
  await startNginx(lab, lab.target, 8080, { workers: 4 });
  const figures = await measureIdle(lab);
  const copy = await startCopy(lab, ["-x", TRANSFER, ...RINGS]);
  let open = 0;
  for (const step of steps) {
    for (; open < step; ) {
      const count = Math.min(step - open, CONNECTIONS_PER_CLIENT);
      await hold(lab, count);
      open += count;
    }
    const { sessions } = await copy.report(
      `${step} sessions`,
      ({ sessions }) => sessions.active >= step,
      20_000,
    );
    const usage = usageOf(copy.running.pid);
    figures.push({
      name: `resident memory, ${sessions.active.toLocaleString("en-US")} open sessions, ${RINGS.join(" ")}`,
      value: megabytes(usage.resident),
      ...(AIMS[step] ? { aim: AIMS[step] } : {}),
    });
  }
  await lab.stopAll();
  return figures;
}

async function measureIdle(lab: Lab): Promise<Figure[]> {
  const copy = await startCopy(lab, ["-x", TRANSFER, ...RINGS], { interval: QUIET });
  await Bun.sleep(SETTLE_SECONDS * 1000);
  const before = usageOf(copy.running.pid);
  await Bun.sleep(IDLE_SECONDS * 1000);
  const { user, system, resident } = usageOf(copy.running.pid);
  await copy.stop();
  const share = (user + system - before.user - before.system) / IDLE_SECONDS;
  return [
    { name: "CPU of an idle xcopy", value: `${(share * 100).toFixed(1)} % of a core` },
    { name: `resident memory, no session, ${RINGS.join(" ")}`, value: megabytes(resident) },
  ];
}

async function hold(lab: Lab, count: number): Promise<void> {
  const script = join(import.meta.dir, "../test/support/connections.ts");
  const client = lab.start(lab.client, [process.execPath, script, ONLINE, "80", `${count}`]);
  await client.line(/^open$/, 60_000);
}
