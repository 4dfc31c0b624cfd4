/** The .rpm on a booted system, with rpm itself and a stand-in for the executable: what is done when it comes, is replaced, and goes. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Booted, boot } from "../support/booted.ts";
import { createLab, type Lab } from "../support/lab.ts";

const ROOT = join(import.meta.dir, "../..");
const ARCHITECTURE = process.arch === "arm64" ? "arm64" : "x64";
const UNIT = "xcopy-copy@shop.service";
/** It runs like a service, and notes what it is asked. */
const STAND_IN = `#!/bin/sh
echo "$@" >>/run/asked
case $1 in copy) exec sleep infinity ;; esac
`;

let lab: Lab;
let booted: Booted;

/** Makes a package; its path. */
function makePackage(version: string): string {
  const directory = join(lab.directory, version);
  mkdirSync(directory);
  const executable = join(directory, "stand-in");
  writeFileSync(executable, STAND_IN, { mode: 0o755 });
  const script = join(ROOT, "packaging/rpm/package.sh");
  const { exitCode, stderr } = Bun.spawnSync(
    [script, executable, ARCHITECTURE, version, directory, "w0.gzdio"],
    {
      env: { ...process.env, SOURCE_DATE_EPOCH: "1767323045" },
    },
  );
  expect([exitCode, stderr.toString()]).toEqual([0, ""]);
  return join(directory, readdirSync(directory).find((name) => name.endsWith(".rpm"))!);
}

// This host's glibc is not one of rpm's packages; Debian's rpm has its books in the home directory.
const rpm = (...words: string[]) => booted.run("rpm", "--dbpath", "/var/lib/rpm", "--nodeps", ...words);

beforeAll(async () => {
  lab = createLab({ manyClients: false });
  booted = await boot(lab);
});
afterAll(() => {
  booted?.remove();
  lab?.remove();
});

test("it makes a user, runs nothing; an upgrade restarts, a removal stops and keeps what the administrator wrote", () => {
  rpm("-U", makePackage("1.0"));
  expect(booted.run("stat", "-c%a %U %G", "/etc/xcopy")).toBe("750 root xcopy\n");
  expect(booted.run("getent", "passwd", "xcopy")).toMatch(
    /^xcopy:x:\d+:\d+:xcopy services:\/:\/sbin\/nologin\n$/,
  );
  expect(booted.run("systemctl", "list-units", "--all", "--plain", "--no-legend", "xcopy*")).toBe("");

  mkdirSync(booted.path(`/etc/systemd/system/${UNIT}.d`));
  writeFileSync(
    booted.path(`/etc/systemd/system/${UNIT}.d/simple.conf`),
    "[Service]\nType=exec\nWatchdogSec=0\n",
  );
  writeFileSync(booted.path("/etc/xcopy/shop.toml"), "[copy]\n");
  booted.run("systemctl", "daemon-reload");
  booted.run("systemctl", "enable", "--now", UNIT);
  const before = booted.unit(UNIT);
  expect(before.ActiveState).toBe("active");

  rpm("-U", makePackage("1.1"));
  const after = booted.unit(UNIT);
  expect(after.ActiveState).toBe("active");
  expect(after.MainPID).not.toBe(before.MainPID);

  rpm("-e", "xcopy");
  expect(booted.unit(UNIT).ActiveState).toBe("inactive");
  expect(readFileSync(booted.path("/run/asked"), "utf8").trim().split("\n").at(-1)).toBe("cleanup");
  const wanted = booted.path(`/etc/systemd/system/multi-user.target.wants/${UNIT}`);
  expect(existsSync(wanted)).toBe(false);
  // rpm removes empty directories of shells that no other of its packages has; Debian's it does not know.
  const others = /\/(passwd|group|g?shadow)$|^-\/usr\/share\/(bash-completion|fish|zsh)\//;
  const left = booted.changes().filter((line) => !others.test(line));
  expect(left).toEqual([
    `+/etc/systemd/system/${UNIT}.d`,
    `+/etc/systemd/system/${UNIT}.d/simple.conf`,
    "+/etc/xcopy",
    "+/etc/xcopy/shop.toml",
    "+/var/lib/xcopy",
    "+/var/log/xcopy",
  ]);
});
