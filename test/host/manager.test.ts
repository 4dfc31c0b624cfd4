/** What a service manager is told, and how it gets there. */
import { afterAll, afterEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  managerOf,
  type Notification,
  serviceManager,
  textOf,
  watchdogOf,
} from "../../src/host/manager/manager.ts";
import { Heartbeats } from "../../src/host/manager/watchdog.ts";
import { sendDatagram, unixAddress } from "../../src/native/notify/notify.ts";
import { listenAsManager } from "../support/manager.ts";

const ends: (() => void)[] = [];
afterEach(() => {
  for (const end of ends.splice(0)) end();
});

test("each call is the message of sd_notify(3) for it", () => {
  const sent: Notification[] = [];
  const manager = managerOf(
    (message) => sent.push(message),
    30e6,
    () => 1234.5,
  );
  manager.starting();
  manager.ready();
  manager.status("captured 1\n  sent 1");
  manager.alive();
  manager.reloading();
  expect(manager.isStopping).toBe(false);
  manager.stopping(5);
  manager.stopping(5);
  expect(manager.isStopping).toBe(true);
  expect(sent.map(textOf)).toEqual([
    "EXTEND_TIMEOUT_USEC=60000000\n",
    "READY=1\n",
    "STATUS=captured 1 sent 1\n",
    "WATCHDOG=1\n",
    "RELOADING=1\nMONOTONIC_USEC=1234\n",
    "STOPPING=1\nEXTEND_TIMEOUT_USEC=5000000\n",
  ]);
});

test.each([
  ["it is for every process", { WATCHDOG_USEC: "30000000" }, 30_000_000],
  ["it is for this one", { WATCHDOG_USEC: "30000000", WATCHDOG_PID: "7" }, 30_000_000],
  ["it is for another one", { WATCHDOG_USEC: "30000000", WATCHDOG_PID: "8" }, null],
  ["there is none", {}, null],
  ["it is off", { WATCHDOG_USEC: "0" }, null],
  ["it is no number", { WATCHDOG_USEC: "soon" }, null],
])("a watchdog counts where %s", (_, environment, expected) => {
  expect(watchdogOf(environment, 7)).toBe(expected);
});

test("without a service manager nothing is said, and nobody waits", () => {
  const manager = serviceManager({ WATCHDOG_USEC: "30000000" });
  expect(manager.listens).toBe(false);
  expect(manager.watchdogMicroseconds).toBeNull();
});

const directory = mkdtempSync(join(tmpdir(), "manager-"));
afterAll(() => rmSync(directory, { recursive: true }));

test.each([join(directory, "notify"), `@xcopy-test-${process.pid}`])("a datagram reaches %s", (name) => {
  const listener = listenAsManager(name);
  ends.push(listener.close);
  serviceManager({ NOTIFY_SOCKET: name }).ready();
  expect(sendDatagram(name, "STATUS=é\n")).toBeNull();
  expect(listener.said()).toEqual(["READY=1", "STATUS=é"]);
});

test("a socket that is not there is a cause, and no error", () => {
  expect(sendDatagram(`@xcopy-nobody-${process.pid}`, "READY=1\n")).toBe("connection refused");
  expect(sendDatagram(join(directory, "nobody"), "READY=1\n")).toBe("no such file or directory");
  expect(sendDatagram("vsock:2:1", "READY=1\n")).toBe('"vsock:2:1" is no name of a unix socket');
});

test.each([
  ["/a", "01002f6100"],
  ["@a", "01000061"],
  [`/${"a".repeat(106)}`, `01002f${"61".repeat(106)}00`],
  [`/${"a".repeat(107)}`, null],
  [`@${"a".repeat(107)}`, `010000${"61".repeat(107)}`],
  ["relative", null],
  ["", null],
  ["@", null],
])("the address of %s", (name, expected) => {
  expect(unixAddress(name)?.toHex() ?? null).toBe(expected);
});

test("data planes are alive while all of them publish within the patience", () => {
  const planes = [0, 1].map(() => ({ shared: { version: new Int32Array(1) }, isDead: false }));
  const publish = (...which: number[]) => {
    for (const index of which) planes[index]!.shared.version[0]!++;
  };
  const heartbeats = new Heartbeats(planes, 1000, 0);
  const looks: [now: number, publish: number[], alive: boolean][] = [
    [500, [], true],
    [1100, [0, 1], true],
    [2000, [0], true],
    // The second one was seen to move at 1100.
    [2200, [0], false],
    [2300, [1], true],
    [3300, [0], true],
    [3400, [0], false],
  ];
  for (const [now, which, alive] of looks) {
    publish(...which);
    expect({ now, alive: heartbeats.allMove(now) }).toEqual({ now, alive });
  }
  publish(0, 1);
  expect(heartbeats.allMove(3500)).toBe(true);
  planes[0]!.isDead = true;
  publish(0, 1);
  expect(heartbeats.allMove(3600)).toBe(false);
});
