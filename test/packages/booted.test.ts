/** The booted Debian of the tests itself: services run in it, it restarts with its files, shows what has changed, and is gone. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync, writeFileSync } from "node:fs";
import { type Booted, boot } from "../support/booted.ts";
import { createLab, type Lab } from "../support/lab.ts";
import { run } from "../support/process.ts";

const UNIT = "/etc/systemd/system/sleeper.service";
const LINK = "/etc/systemd/system/multi-user.target.wants/sleeper.service";

let lab: Lab;
let booted: Booted;
beforeAll(async () => {
  lab = createLab({ manyClients: false });
  booted = await boot(lab);
});
afterAll(() => {
  booted?.remove();
  lab?.remove();
});

test("a service is started again when it is killed, and with the system", async () => {
  expect(booted.changes()).toEqual([]);
  const service = "[Service]\nExecStart=/bin/sleep inf\nRestart=always\nRestartSec=0\n";
  writeFileSync(booted.path(UNIT), `${service}[Install]\nWantedBy=multi-user.target\n`);
  booted.run("systemctl", "enable", "--now", "sleeper");
  expect(existsSync(UNIT)).toBe(false);
  expect(booted.changes()).toEqual([`+${LINK}`, `+${UNIT}`]);
  const first = booted.unit("sleeper");
  expect(first).toMatchObject({ ActiveState: "active", NRestarts: 0 });

  booted.run("kill", "-9", `${first.MainPID}`);
  const second = await booted.untilUnit(
    "sleeper",
    "runs again",
    (unit) => unit.NRestarts === 1 && unit.MainPID > 0,
  );
  expect(second.MainPID).not.toBe(first.MainPID);

  await booted.reboot();
  expect(booted.unit("sleeper")).toMatchObject({ ActiveState: "active", NRestarts: 0 });
  // Its network is that of the lab's host.

  expect(booted.run("ip", "-br", "address")).toBe(run(lab.online, "ip", "-br", "address"));
  writeFileSync(booted.path("/etc/passwd"), "root:x:0:0::/root:/bin/sh\n");
  booted.run("systemctl", "disable", "sleeper");
  booted.run("rm", UNIT, "/etc/group");
  expect(booted.changes()).toEqual(["-/etc/group", "~/etc/passwd"]);
  await booted.powerOff();
});
