/** Several copies of one configuration file: one process each, to everybody else as one. */
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { ONLINE, TARGET } from "../../src/demo/network.ts";
import { createLab, type Lab } from "../support/lab.ts";
import { type FakeManager, listenAsManager } from "../support/manager.ts";
import { startNginx } from "../support/nginx.ts";
import type { Running } from "../support/process.ts";
import { startServices } from "../support/served.ts";
import { until } from "../support/until.ts";
import { load } from "../support/wrk.ts";
import { patientOption, runXcopy, XCOPY } from "../support/xcopy.ts";

let lab: Lab;
let manager: FakeManager | undefined;
beforeAll(() => {
  lab = createLab();
});
afterEach(async () => {
  await lab.stopAll();
  manager?.close();
  manager = undefined;
});
afterAll(() => lab.remove());

function start(text: string, env: Record<string, string> = {}): Running {
  const path = join(lab.directory, "several.toml");
  writeFileSync(path, text);
  return lab.start(lab.online, [XCOPY, "copy", "--config", path, ...patientOption("--drain")], env);
}

const accounts = ({ output }: Running) => output.map((line) => JSON.parse(line));

/** Process ids of the copies, which have the command line of all with --only in it. */
function pidOf(name: string): number {
  const { stdout } = Bun.spawnSync(["pgrep", "-f", `copy --only ${name} .*--config ${lab.directory}`]);
  return Number(stdout.toString().trim());
}

const COPIES = `[copy]
json = true
stats-interval = 0.1

[copy.shop]
transfer = "80-${TARGET}:8080"

[copy.search]
transfer = "81-${TARGET}:8080"
`;

test("two copies to one target are ready together, copy, read the file again, are started again, and end together", async () => {
  const { target } = await startServices(lab);
  await startNginx(lab, lab.online, 81);
  const socket = join(lab.directory, "notify");
  manager = listenAsManager(socket);
  const running = start(COPIES, { NOTIFY_SOCKET: socket, WATCHDOG_USEC: "4000000" });
  await manager.hear(/^READY=1$/);
  await until("what both say", () => running.errors.filter((line) => /: copying /.test(line)).length === 2);
  await load(lab, { url: `http://${ONLINE}`, rate: 100, count: 20, connections: 4 });
  await load(lab, { url: `http://${ONLINE}:81`, rate: 100, count: 30, connections: 4 });
  await until("the responses to both", () => {
    const answered = (name: string) => accounts(running).findLast((one) => one.name === name)?.turns.answered;
    return answered("shop") === 20 && answered("search") === 30;
  });
  await manager.hear(/^STATUS=shop: .*; search: /);
  await manager.hear(/^WATCHDOG=1$/);

  const said = (what: string) => manager!.said().filter((line) => line === what).length;
  const file = join(lab.directory, "several.toml");
  const limited = COPIES.replace("[copy.shop]", "limit = 5000\n\n[copy.shop]");
  writeFileSync(file, limited);
  process.kill(running.pid, "SIGHUP");
  await until("all have read it again", () => said("READY=1") === 2);
  expect(said("RELOADING=1")).toBe(1);
  expect(running.errors.filter((line) => line.includes("--limit none -> 5,000/s"))).toHaveLength(2);

  // What is wrong in one table changes nothing in any, and is said to who asked.
  writeFileSync(
    file,
    `${limited.replace("limit = 5000", "limit = 6000")}[copy.pay]\ntransfer = "82-${TARGET}:8082"\nmemory = 1\n`,
  );
  const refused = await runXcopy(lab, ["reload"]);
  expect(refused).toMatchObject({
    code: 2,
    errors: expect.stringContaining('several.toml:14:10 memory "1"'),
  });
  expect(running.errors.filter((line) => line.includes("5,000/s -> 6,000/s"))).toEqual([]);

  // A table comes, one that shares a target with another cannot yet, and goes.
  writeFileSync(file, `${limited}[copy.pay]\ntransfer = "82-${TARGET}:8082"\n`);
  await Promise.all([startNginx(lab, lab.online, 82), startNginx(lab, lab.target, 8082)]);
  const come = await runXcopy(lab, ["reload", `${running.pid}`]);
  expect(come).toMatchObject({
    code: 0,
    output: expect.stringContaining('"pay" is new in the file: it has begun'),
  });
  await load(lab, { url: `http://${ONLINE}:82`, rate: 100, count: 10, connections: 2 });
  await until("the answers to the new one", () => {
    return accounts(running).findLast((one) => one.name === "pay")?.turns.answered === 10;
  });
  writeFileSync(file, `${limited}[copy.twin]\ntransfer = "83-${TARGET}:8080"\n`);
  const held = await runXcopy(lab, ["reload"]);
  expect(held).toMatchObject({
    code: 2,
    errors: expect.stringContaining('Cannot begin "twin" now: "shop" sends to its target too'),
  });
  await until("the end of the one that is gone", () => pidOf("pay") === 0);
  writeFileSync(file, limited);

  const copying = () => running.errors.filter((line) => line.startsWith("search: copying ")).length;
  process.kill(pidOf("search"), "SIGKILL");
  await running.line(/^warning: "search" ended with exit code 1, and is started again in 5 s$/);
  await until("it copies again", () => copying() === 2);
  expect(await running.stop("SIGTERM")).toBe(0);
  await manager.hear(/^STOPPING=1$/);
  expect(
    accounts(running)
      .slice(-2)
      .map(({ name }) => name)
      .sort(),
  ).toEqual(["search", "shop"]);
  expect(target.ended()).toBe(false);
});

test("if one cannot start, none does; of several that copy the others go on without one", async () => {
  await startServices(lab);
  const failed = start(`${COPIES}[copy.lost]\ntransfer = "82-${TARGET}:9"`);
  expect(await failed.exited).toBe(3);
  expect(failed.errors).toContain('warning: "lost" ended with exit code 3: the others are ended too');

  const running = start(COPIES);
  await until("both copy", () => running.errors.filter((line) => /: copying /.test(line)).length === 2);
  process.kill(pidOf("search"), "SIGKILL");
  await running.line(/^warning: "search" ended with exit code 1$/);
  await load(lab, { url: `http://${ONLINE}`, rate: 100, count: 10, connections: 2 });
  await until("the responses", () => accounts(running).at(-1)?.turns.answered === 10);
  // Who is killed can tell nobody: the copies find out.
  expect(await running.stop("SIGKILL")).toBe(137);
  await until("the copy has ended by itself", () => pidOf("shop") === 0);
  // What the killed copy has left.
  expect((await runXcopy(lab, ["cleanup"])).code).toBe(0);
});
