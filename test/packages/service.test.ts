/** The units under a booted systemd: a service is up when it works, is started again when it does not, and ends clean. */
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { copyFileSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Booted, boot } from "../support/booted.ts";
import { createLab, type Lab } from "../support/lab.ts";
import { contentsOf, startServices, TRANSFER, URL_ONLINE } from "../support/served.ts";
import { until } from "../support/until.ts";
import { load } from "../support/wrk.ts";
import { hostState, XCOPY } from "../support/xcopy.ts";

const PACKAGING = join(import.meta.dir, "../../packaging");
const COPY = "xcopy-copy@shop";
const INTERCEPT = "xcopy-intercept@shop";
/** Failures are found in 3 s in place of 30, and nobody waits for the next start. */
const SOONER = "[Service]\nWatchdogSec=3\nRestartSec=100ms\n";

let lab: Lab;
let booted: Booted;
beforeAll(async () => {
  lab = createLab();
  booted = await boot(lab);
  const file = (path: string) => booted.path(path);
  copyFileSync(XCOPY, file("/usr/bin/xcopy"));
  for (const directory of ["/etc/xcopy", "/etc/logrotate.d"]) mkdirSync(file(directory), { recursive: true });
  for (const unit of ["xcopy-copy@.service", "xcopy-intercept@.service"]) {
    copyFileSync(join(PACKAGING, "systemd", unit), file(`/etc/systemd/system/${unit}`));
    mkdirSync(file(`/etc/systemd/system/${unit}.d`));
    writeFileSync(file(`/etc/systemd/system/${unit}.d/sooner.conf`), SOONER);
  }
  copyFileSync(join(PACKAGING, "sysusers.d/xcopy.conf"), file("/usr/lib/sysusers.d/xcopy.conf"));
  copyFileSync(join(PACKAGING, "logrotate.d/xcopy"), file("/etc/logrotate.d/xcopy"));
  booted.run("systemd-sysusers", "xcopy.conf");
  booted.run("systemctl", "daemon-reload");
});
afterEach(async () => {
  await booted.try("systemctl", "stop", COPY, INTERCEPT);
  await booted.try("systemctl", "reset-failed");
  await lab.stopAll();
});
afterAll(() => {
  booted?.remove();
  lab?.remove();
});

function configure(...lines: string[]): void {
  writeFileSync(booted.path("/etc/xcopy/shop.toml"), lines.join("\n"));
}

/** What the journal has of a unit: priority and text. */
function journal(unit: string): [priority: number, text: string][] {
  const lines = booted
    .run("journalctl", "-u", unit, "-o", "json", "--output-fields=PRIORITY,MESSAGE,_COMM")
    .trim();
  return lines
    .split("\n")
    .map((line) => JSON.parse(line))
    .filter(({ _COMM }) => _COMM === "xcopy")
    .map(({ PRIORITY, MESSAGE }) => [Number(PRIORITY), MESSAGE]);
}

test("a copy is up when it copies, survives what kills it, opens its log anew, and leaves nothing", async () => {
  const { target } = await startServices(lab);
  const before = hostState(lab.online);
  const log = "/var/log/xcopy/shop.log";
  configure("[copy]", `transfer = ["${TRANSFER}"]`, `log = "${log}"`);
  const copied = async (count: number) => {
    await load(lab, { url: URL_ONLINE, rate: 200, count: 10 });
    await until(`${count} requests at the target`, async () => (await contentsOf(target)).length === count);
  };

  booted.run("systemctl", "start", COPY);
  expect(booted.unit(COPY)).toMatchObject({ ActiveState: "active", SubState: "running", NRestarts: 0 });
  expect(booted.unit(COPY).StatusText).toStartWith("copying ");
  const status = readFileSync(booted.path(`/proc/${booted.unit(COPY).MainPID}/status`), "utf8");
  expect(status).not.toMatch(/^Uid:\t0\t/m);
  await copied(10);

  booted.run("kill", "-STOP", `${booted.unit(COPY).MainPID}`);
  await booted.untilUnit(
    COPY,
    "runs again after a stand-still",
    (unit) => unit.NRestarts === 1 && unit.ActiveState === "active",
    20_000,
  );
  expect(booted.run("journalctl", "-u", COPY)).toContain("Watchdog timeout");
  await copied(20);

  booted.run("systemctl", "kill", "-s", "KILL", COPY);
  await booted.untilUnit(
    COPY,
    "runs again after kill -9",
    (unit) => unit.NRestarts === 2 && unit.ActiveState === "active",
  );
  await copied(30);

  booted.run("logrotate", "--force", "/etc/logrotate.d/xcopy");
  booted.run("systemctl", "stop", COPY);
  expect(booted.unit(COPY)).toMatchObject({ ActiveState: "inactive", Result: "success" });
  expect(readFileSync(booted.path(log), "utf8")).toMatch(/^\S+Z info copied for /);
  expect(readFileSync(booted.path(`${log}.1`), "utf8")).not.toContain("copied for ");
  expect(hostState(lab.online)).toBe(before);

  const said = journal(COPY);
  expect(said).toContainEqual([6, expect.stringMatching(/^copying /)]);
  expect(said.filter(([priority]) => priority < 6)).toEqual([]);
});

test("several copies of one file are one service: its status, its journal, its end", async () => {
  await startServices(lab);
  const copies = ["one", "two"].flatMap((name) => [`[copy.${name}]`, `transfer = ["${TRANSFER}"]`]);
  configure(...copies);
  booted.run("systemctl", "start", COPY);
  expect(booted.unit(COPY).StatusText).toMatch(/^one: copying .*; two: copying /);
  expect(journal(COPY)).toContainEqual([6, expect.stringMatching(/^two: copying /)]);
  booted.run("systemctl", "reload", COPY);
  await booted.untilUnit(COPY, "works after a reload", ({ ActiveState }) => ActiveState === "active");
  configure(...copies, "memory = 1");
  expect((await booted.try("systemctl", "reload", COPY)).code).not.toBe(0);
  expect(booted.unit(COPY)).toMatchObject({ ActiveState: "active", SubState: "running", NRestarts: 0 });
  expect(journal(COPY)).toContainEqual([3, expect.stringContaining('shop.toml:5:10 memory "1"')]);
  configure(...copies);

  booted.run("systemctl", "kill", "-s", "KILL", "--kill-who=main", COPY);
  await booted.untilUnit(COPY, "runs again", (unit) => unit.NRestarts === 1 && unit.ActiveState === "active");
  booted.run("systemctl", "stop", COPY);
  expect(booted.unit(COPY)).toMatchObject({ ActiveState: "inactive", Result: "success" });
  expect((await booted.try("pgrep", "-x", "xcopy")).output).toBe("");
});

test("a wrong file is an error in the journal, and no reason to try again", async () => {
  configure("[copy]", 'transfer = ["80"]');
  expect((await booted.try("systemctl", "start", COPY)).code).not.toBe(0);
  expect(booted.unit(COPY)).toMatchObject({ ActiveState: "failed", Result: "exit-code", NRestarts: 0 });
  expect(journal(COPY).at(-2)).toEqual([3, expect.stringMatching(/^Cannot use /)]);
});

test("an intercept has the key that only root may read, and leaves a guard to drop what still comes", async () => {
  configure("[intercept]", 'service = [":8080"]', "linger = 600");
  expect((await booted.try("systemctl", "start", INTERCEPT)).code).not.toBe(0);
  expect(journal(INTERCEPT).at(-2)![1]).toContain("there is no key");

  booted.run("xcopy", "key", "/etc/xcopy/xcopy.key");
  booted.run("systemctl", "start", INTERCEPT);
  expect(booted.unit(INTERCEPT).StatusText).toStartWith("catching ");
  expect(journal(INTERCEPT).map(([, text]) => text)).toContainEqual(
    expect.stringMatching(/^key SHA256:\S+ \(\/run\/credentials\/.*xcopy.key\)$/),
  );
  const guards = () => readdirSync(booted.path("/run/xcopy")).filter((name) => name.startsWith("guard-"));
  booted.run("systemctl", "kill", "-s", "KILL", "--kill-who=main", INTERCEPT);
  await booted.untilUnit(
    INTERCEPT,
    "runs again",
    (unit) => unit.NRestarts === 1 && unit.ActiveState === "active",
  );

  booted.run("systemctl", "stop", INTERCEPT);
  expect(booted.unit(INTERCEPT)).toMatchObject({ ActiveState: "inactive", Result: "success" });
  expect(guards()).not.toEqual([]);
  expect(booted.run("xcopy", "cleanup")).toMatch(/^removed guard \d+ of process \d+$/m);
  expect(guards()).toEqual([]);
});
