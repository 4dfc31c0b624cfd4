/** xcopy as a service: what its service manager hears of it. */
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { join } from "node:path";
import { createLab, type Lab } from "../support/lab.ts";
import { type FakeManager, listenAsManager } from "../support/manager.ts";
import { startMortalCopy } from "../support/mortal-copy.ts";
import { startServices, TRANSFER, URL_ONLINE } from "../support/served.ts";
import { load } from "../support/wrk.ts";
import { startCopy } from "../support/xcopy.ts";

let lab: Lab;
let manager: FakeManager;
let sockets = 0;
beforeAll(async () => {
  lab = createLab();
});
afterEach(async () => {
  await lab.stopAll();
  manager.close();
});
afterAll(() => lab.remove());

/** What makes a process take `manager` for its service manager, with a watchdog of so many ms. */
function managed(watchdog: number): Record<string, string> {
  const name = join(lab.directory, `notify-${sockets++}`);
  manager = listenAsManager(name);
  return { NOTIFY_SOCKET: name, WATCHDOG_USEC: `${watchdog * 1000}` };
}

test("a copy is ready when it copies, tells that it lives, and that it ends", async () => {
  await startServices(lab);
  const copy = await startCopy(lab, ["-x", TRANSFER], { env: managed(2000) });
  await manager.hear(/^READY=1$/);
  await load(lab, { url: URL_ONLINE, rate: 100, count: 10 });
  await copy.report("what was sent after READY", ({ turns }) => turns.sent === 10);
  await manager.hear(/^WATCHDOG=1$/);
  const { code } = await copy.finish();
  const said = manager.said();
  expect(said[0]).toBe("EXTEND_TIMEOUT_USEC=60000000");
  expect(said.filter((line) => line === "READY=1")).toHaveLength(1);
  expect(said.indexOf("WATCHDOG=1")).toBeGreaterThan(said.indexOf("READY=1"));
  expect(said.find((line) => line.startsWith("STATUS="))).toStartWith("STATUS=copying ");
  expect(said).toContain("STOPPING=1");
  expect(code).toBe(0);
});

test("a worker that stands still is not said to be alive", async () => {
  await startServices(lab);
  const copy = await startMortalCopy(lab, ["-x", TRANSFER], managed(2000));
  await manager.hear(/^WATCHDOG=1$/);
  copy.kill(0, "hang");
  // Its own observation; from then on the last look in which it moved is over.
  await copy.running.line(/has stalled/);
  const before = manager.said().length;
  await copy.running.stop("SIGKILL");
  expect(manager.said().slice(before)).toEqual([]);
});

test("one worker that dies ends all of them, so that the service manager starts them anew", async () => {
  await startServices(lab);
  const copy = await startMortalCopy(lab, ["-x", TRANSFER, "--workers", "2"], managed(30_000));
  await manager.hear(/^READY=1$/);
  copy.kill(1, "throw");
  expect(await copy.running.exited).toBe(1);
  expect(copy.running.errors.join("\n")).toContain(
    "All of it ends, to be started again by the service manager.",
  );
  expect(manager.said()).toContain("STOPPING=1");
});
