/** The package on a booted Debian: installed, run as a service, upgraded, killed, reloaded, restarted, removed; it copies all the while. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { appendFileSync, existsSync, mkdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Booted, boot } from "../support/booted.ts";
import { compareContents, EXACTLY_ONCE } from "../support/compare.ts";
import { kernelObjects, stillThere } from "../support/kernel-objects.ts";
import { createLab, type Lab } from "../support/lab.ts";
import { type Nginx, startNginx } from "../support/nginx.ts";
import { contentsOf, TRANSFER, URL_ONLINE } from "../support/served.ts";
import { until } from "../support/until.ts";
import { load, startLoad } from "../support/wrk.ts";
import { hostState, XCOPY } from "../support/xcopy.ts";
import { type Circumstances, follow, unfollowed } from "./documented.ts";

const ROOT = join(import.meta.dir, "../..");
const ARCHITECTURE = process.arch === "arm64" ? "arm64" : "x64";
const UNIT = "xcopy-copy@shop.service";
const CONFIG = "/etc/xcopy/shop.toml";

let lab: Lab;
let booted: Booted;
/** By version. */
const packages: Record<string, string> = {};
let online: Nginx;
let target: Nginx;
let before: string;

/** Makes the package of the executable under test, not compressed; its path. */
async function makePackage(version: string): Promise<void> {
  const script = join(ROOT, "packaging/deb/package.sh");
  const child = Bun.spawn([script, XCOPY, ARCHITECTURE, version, lab.directory, "-Znone"], {
    env: { ...process.env, SOURCE_DATE_EPOCH: "1767323045" },
  });
  expect(await child.exited).toBe(0);
  packages[version] = join(
    lab.directory,
    `xcopy_${version}_${{ x64: "amd64", arm64: "arm64" }[ARCHITECTURE]}.deb`,
  );
}

/** What `dpkg` is asked, without writing everything to the disk at once and without an index of all manual pages of this host. */
const dpkg = (...words: string[]) => booted.run("dpkg", "--force-unsafe-io", "--no-triggers", ...words);

/** What apt is to do without: questions, this host's sources of packages (which take it seconds to read), and logs of its own. */
function writeAptConfiguration(): void {
  const [lists, logs] = ["apt-lists", "apt-logs"].map((name) => join(lab.directory, name)) as [
    string,
    string,
  ];
  for (const path of [join(lists, "partial"), logs]) mkdirSync(path, { recursive: true });
  const settings = {
    "APT::Get::Assume-Yes": "true",
    "Dir::State::Lists": lists,
    "Dir::Etc::SourceList": "/dev/null",
    "Dir::Etc::SourceParts": "/dev/null",
    "Dir::Cache::pkgcache": "",
    "Dir::Cache::srcpkgcache": "",
    "Dir::Log": logs,
    "Dir::Log::Planner": "/dev/null",
    // No index of all manual pages of this host.
    "DPkg::NoTriggers": "true",
  };
  const lines = Object.entries(settings).map(([name, value]) => `${name} "${value}";`);
  lines.push('DPkg::Options { "--force-unsafe-io"; };');
  writeFileSync(join(lab.directory, "apt.conf"), lines.join("\n"));
}

/** How the pages' apt is run: without questions, and as `dpkg`; `version`: of the package that they name. */
const apt = (version = ""): Circumstances => ({
  environment: { APT_CONFIG: join(lab.directory, "apt.conf") },
  words: { "./xcopy_VERSION_amd64.deb": packages[version] ?? "" },
});

/** Resolves with the service as soon as it copies, as another process than `old`. */
const copying = (old = 0) =>
  booted.untilUnit(UNIT, "copies", ({ ActiveState, MainPID }) => ActiveState === "active" && MainPID !== old);

/** Writes the file of the service, with a share of the connections to copy. */
const configure = (sample: number) =>
  writeFileSync(booted.path(CONFIG), `[copy]\ntransfer = ["${TRANSFER}"]\nsample = ${sample}\n`);

/** Reads it again; resolves when it has. */
async function reload(change: string): Promise<void> {
  follow(booted, "reload");
  await until(`"${change}" is taken`, () => booted.run("journalctl", "-u", UNIT).includes(change));
}

/** Lets clients ask 200 times, and compares what arrives at a target. */
async function expectToCopy(service: Nginx): Promise<void> {
  const [asked, arrived] = await Promise.all([contentsOf(online), contentsOf(service)]);
  const { errors } = await load(lab, { url: URL_ONLINE, rate: 1000, count: 200, connections: 10 });
  expect(errors).toBe(0);
  await until("200 requests arrive", async () => (await contentsOf(service)).length >= arrived.length + 200);
  const [all, copied] = await Promise.all([contentsOf(online), contentsOf(service)]);
  expect(compareContents(all.slice(asked.length), copied.slice(arrived.length))).toEqual(EXACTLY_ONCE);
}

beforeAll(async () => {
  lab = createLab({ manyClients: false });
  [online, target] = await Promise.all([startNginx(lab, lab.online, 80), startNginx(lab, lab.target, 8080)]);
  writeAptConfiguration();
  before = hostState(lab.online);
  [booted] = await Promise.all([boot(lab), makePackage("9.0.0"), makePackage("9.1.0")]);
});
afterAll(async () => {
  booted?.remove();
  await lab?.stopAll();
  lab?.remove();
});

test("installed, it has a user, places that only root writes, and runs nothing", () => {
  follow(booted, "install", apt("9.0.0"));
  expect(booted.run("xcopy", "--version")).toStartWith("xcopy ");
  expect(booted.run("stat", "-c%a %U %G", "/etc/xcopy")).toBe("750 root xcopy\n");
  expect(booted.run("getent", "passwd", "xcopy")).toMatch(/^xcopy:x:\d+:\d+:xcopy services:\/:.*nologin\n$/);
  expect(booted.run("systemctl", "list-units", "--all", "--plain", "--no-legend", "xcopy*")).toBe("");
});

test("a service copies what its file says", async () => {
  configure(100);
  const sooner = join(lab.directory, "sooner.conf");
  writeFileSync(sooner, "[Service]\nRestartSec=100ms\n");
  follow(booted, "configure", { environment: { SYSTEMD_EDITOR: `cp ${sooner}` }, isTerminal: true });
  follow(booted, "start");
  const { MainPID } = await copying();
  expect(booted.run("ps", "-o", "user=", "-p", `${MainPID}`)).toBe("xcopy\n");
  await expectToCopy(target);
  follow(booted, "look");
});

test("an upgrade runs the new version, and production does not notice", async () => {
  const { MainPID } = booted.unit(UNIT);
  const clients = startLoad(lab, { url: URL_ONLINE, rate: 200, connections: 10 });
  follow(booted, "upgrade", apt("9.1.0"));
  expect(booted.run("dpkg-query", "-W", "xcopy")).toBe("xcopy\t9.1.0\n");
  await copying(MainPID);
  expect((await clients.end()).errors).toBe(0);
  await expectToCopy(target);
});

test("a change is taken without an end of what is copied", async () => {
  const { MainPID } = booted.unit(UNIT);
  configure(0.01);
  await reload("-r 100 -> 0.01");
  const { requests, errors } = await load(lab, { url: URL_ONLINE, rate: 1000, count: 50, connections: 5 });
  expect([requests, errors]).toEqual([50, 0]);
  configure(100);
  await reload("-r 0.01 -> 100");
  // Nothing of what was left out comes with it.
  await expectToCopy(target);
  expect(booted.unit(UNIT).MainPID).toBe(MainPID);
});

test("one that is killed is started again", async () => {
  const { MainPID, NRestarts } = booted.unit(UNIT);
  // Of 0 it would end what runs this test.
  expect(MainPID).toBeGreaterThan(1);
  booted.run("kill", "-9", `${MainPID}`);
  expect((await copying(MainPID)).NRestarts).toBe(NRestarts + 1);
  await expectToCopy(target);
});

test("enabled, it copies when the system has restarted", async () => {
  follow(booted, "stop");
  expect(booted.unit(UNIT).ActiveState).toBe("inactive");
  await booted.reboot();
  await copying();
  await expectToCopy(target);
});

test("the names of tcpcopy are there on request", () => {
  follow(booted, "names");
  // Words of tcpcopy, which has no commands.
  expect(booted.run("tcpcopy", "-x", TRANSFER, "--dry-run")).toContain(TRANSFER);
  expect(booted.run("intercept", "--help")).toContain("xcopy intercept");
});

test("removed, it is out of the kernel, and purged, nothing is left", async () => {
  // An intercept that has ended leaves a process that drops for a while what still comes.
  booted.run("xcopy", "key", "/etc/xcopy/xcopy.key");
  appendFileSync(booted.path(CONFIG), '[intercept]\nservice = [":8080"]\n');
  follow(booted, "intercept");
  const { MainPID } = booted.unit(UNIT);
  const objects = kernelObjects(MainPID, booted.path("/proc"));
  expect(objects.length).toBeGreaterThan(0);
  follow(booted, "remove", apt());
  expect(booted.run("ps", "-eo", "comm=").split("\n")).not.toContain("xcopy");
  expect(existsSync(booted.path("/usr/bin/xcopy"))).toBe(false);
  expect(statSync(booted.path(CONFIG)).isFile()).toBe(true);
  await until("the kernel has freed all", () => stillThere(objects).length === 0);
  dpkg("-P", "xcopy");
  expect(booted.changes()).toEqual([]);
  expect(booted.run("ls", "/run")).not.toContain("xcopy");
  expect(hostState(lab.online)).toBe(before);
});

test("every command that the pages have for a booted Debian was run", () => {
  expect(unfollowed()).toEqual([]);
});
