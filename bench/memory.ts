/** Resident memory with open sessions, and what an idle xcopy costs. */
import { join } from "node:path";
import { ONLINE, TARGET } from "../src/demo/network.ts";
import { usageOf } from "../src/demo/usage.ts";
import type { Lab } from "../test/support/lab.ts";
import { startNginx } from "../test/support/nginx.ts";
import { startCopy } from "../test/support/xcopy.ts";
import { type Figure, megabytes } from "./figures.ts";

/** A process may have so many files open. */
const CONNECTIONS_PER_CLIENT = 10_000;

const AIMS: Record<number, string> = { 1000: "120 MB" };

/** Idle, then with more and more connections that have sent one request each and stay open. */
export async function measureMemory(lab: Lab, steps: number[]): Promise<Figure[]> {
  await startNginx(lab, lab.online, 80, { workers: 4 });
  await startNginx(lab, lab.target, 8080, { workers: 4 });
  const copy = await startCopy(lab, ["-x", `80-${TARGET}:8080`]);
  const first = await copy.report("something", () => true);
  const cpu = usageOf(copy.running.pid);
  await copy.report("2 idle seconds more", ({ seconds }) => seconds >= first.seconds + 2);
  const { user, system, resident } = usageOf(copy.running.pid);
  const idle = ((user + system - cpu.user - cpu.system) / 2) * 100;
  const figures: Figure[] = [
    { name: "CPU of an idle xcopy", value: `${idle.toFixed(1)} % of a core` },
    { name: "resident memory, no session", value: megabytes(resident) },
  ];
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
      name: `resident memory, ${sessions.active.toLocaleString("en-US")} open sessions`,
      value: megabytes(usage.resident),
      ...(AIMS[step] ? { aim: AIMS[step] } : {}),
    });
  }
  await lab.stopAll();
  return figures;
}

async function hold(lab: Lab, count: number): Promise<void> {
  const script = join(import.meta.dir, "../test/support/connections.ts");
  const client = lab.start(lab.client, [process.execPath, script, ONLINE, "80", `${count}`]);
  await client.line(/^open$/, 60_000);
}
