/** xcopy as a service: what its service manager hears of it. */
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { existsSync, readFileSync, renameSync } from "node:fs";
import { join } from "node:path";
import { createLab, type Lab } from "../support/lab.ts";
import { type FakeManager, listenAsManager } from "../support/manager.ts";
import { startMortalCopy } from "../support/mortal-copy.ts";
import { startServices, TRANSFER, URL_ONLINE } from "../support/served.ts";
import { until } from "../support/until.ts";
import { load } from "../support/wrk.ts";
import { runXcopy, startCopy, XCOPY } from "../support/xcopy.ts";

let lab: Lab;
let manager: FakeManager | undefined;
let sockets = 0;
beforeAll(async () => {
  lab = createLab();
});
afterEach(async () => {
  await lab.stopAll();
  // Closed once: later its descriptor is another's.
  manager?.close();
  manager = undefined;
});
afterAll(() => lab.remove());

/** What makes a process take `manager` for its service manager, with a watchdog of so many ms. */
function managed(watchdog: number) {
  const name = join(lab.directory, `notify-${sockets++}`);
  const listening = listenAsManager(name);
  manager = listening;
  return { manager: listening, env: { NOTIFY_SOCKET: name, WATCHDOG_USEC: `${watchdog * 1000}` } };
}

test("a copy is ready when it copies, tells that it lives, and that it ends", async () => {
  await startServices(lab);
  const { manager, env } = managed(2000);
  const copy = await startCopy(lab, ["-x", TRANSFER], { env });
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

test("a worker that rests, as it may use no more CPU, lives", async () => {
  await startServices(lab);
  const { manager, env } = managed(2000);
  const copy = await startCopy(lab, ["-x", TRANSFER, "--cpu-limit", "1", "--drain", "0"], { env });
  await load(lab, { url: URL_ONLINE, rate: 1000, count: 1000 });
  // What it has used by now it may use in some 10 s.
  const before = manager.said().length;
  await until("four more signs of life", () => manager.said().slice(before).length >= 4);
  expect((await copy.stop()).code).toBe(0);
});

test("a worker that stands still is not said to be alive", async () => {
  await startServices(lab);
  const { manager, env } = managed(2000);
  const copy = await startMortalCopy(lab, ["-x", TRANSFER], env);
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
  const { manager, env } = managed(30_000);
  const copy = await startMortalCopy(lab, ["-x", TRANSFER, "--workers", "2"], env);
  await manager.hear(/^READY=1$/);
  copy.kill(1, "throw");
  expect(await copy.running.exited).toBe(1);
  expect(copy.running.errors.join("\n")).toContain(
    "All of it ends, to be started again by the service manager.",
  );
  expect(manager.said()).toContain("STOPPING=1");
});

test.each([
  ["intercept", ["-o", ":8080", "--insecure", "--linger", "0"], "catching "],
  ["record", ["-x", "80", "-w", "-"], "recording "],
])("an %s tells as much", async (command, words, announced) => {
  const { manager, env } = managed(2000);
  const running = lab.start(lab.target, [XCOPY, command, ...words], env);
  await manager.hear(/^WATCHDOG=1$/);
  expect(await running.stop()).toBe(0);
  const said = manager.said();
  expect(said.indexOf("READY=1")).toBeLessThan(said.indexOf("WATCHDOG=1"));
  expect(said.find((line) => line.startsWith("STATUS="))).toStartWith(`STATUS=${announced}`);
  expect(said).toContain("STOPPING=1");
});

test("in the background: works when the command ends, opens its log anew, says all of it as JSON", async () => {
  await startServices(lab);
  const [log, pidFile] = [join(lab.directory, "log"), join(lab.directory, "pid")];
  const words = ["copy", "-x", TRANSFER, "--log-format", "json"];
  const { code, errors } = await runXcopy(lab, [...words, "-d", "-P", pidFile, "-l", log]);
  expect(code).toBe(0);
  const pid = Number(readFileSync(pidFile, "utf8"));
  renameSync(log, `${log}.1`);
  process.kill(pid, "SIGUSR1");
  await until("a new log", () => existsSync(log));
  process.kill(pid, "SIGTERM");
  await until("its end", () => !existsSync(pidFile));

  const parsed = (lines: string) =>
    lines
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
  expect(parsed(errors)).toEqual(parsed(readFileSync(`${log}.1`, "utf8")));
  const copying = { level: "info", command: "copy", pid, message: expect.stringMatching(/^copying /) };
  expect(parsed(errors)).toContainEqual({ ...copying, time: expect.stringMatching(/^2.*Z$/) });
  expect(parsed(readFileSync(log, "utf8")).at(-1)).toMatchObject({
    pid,
    message: expect.stringMatching(/^copied for /),
  });

  const refused = await runXcopy(lab, [...words, "-l", "/nowhere/log"]);
  expect(refused.code).toBe(2);
  expect(parsed(refused.errors).at(-1)).toMatchObject({
    level: "error",
    command: "copy",
    message: expect.stringMatching(/^Cannot use -l "\/nowhere\/log": /),
  });
});
