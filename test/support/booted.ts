/**
 * A booted Debian: systemd as the first process of namespaces of its own, over this host's files, in which packages are installed
 * and services run as on a host. It is up in about half a second, and restarts in about one.
 */
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmdirSync,
  symlinkSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import type { Lab } from "./lab.ts";
import { type Running, start } from "./process.ts";
import { until } from "./until.ts";

export interface Booted {
  /** The command line that runs `command` in there as root; for `lab.start` and the like. */
  inside(command: string[]): string[];
  /** Runs a command in there to its end and returns its stdout; throws with what it printed when it fails. */
  run(...command: string[]): string;
  /** As `run`, without blocking; does not throw. */
  try(...command: string[]): Promise<{ code: number; output: string }>;
  /** Where a file of it is, seen from this host; until it restarts. */
  path(file: string): string;
  unit(name: string): Unit;
  /** Resolves with the unit as soon as it fulfils the condition. */
  untilUnit(name: string, what: string, condition: (unit: Unit) => boolean, ms?: number): Promise<Unit>;
  /** `systemctl reboot`: resolves when it is up again, with the same files. */
  reboot(): Promise<void>;
  /** `systemctl poweroff`: resolves when it is off. */
  powerOff(): Promise<void>;
  /** Files and directories that are not as this host has them, sorted: "+/etc/xcopy" is new, "-/etc/x" is gone, "~/etc/passwd" differs. */
  changes(): string[];
  /** Ends it at once, and removes all. Also done at the end of this process. */
  remove(): void;
}

/** What systemd says of a unit: systemctl(1), show. */
export interface Unit {
  ActiveState: string;
  SubState: string;
  Result: string;
  StatusText: string;
  MainPID: number;
  NRestarts: number;
  /** us since its start; 0 if it never was active. */
  ActiveEnterTimestampMonotonic: number;
}
const NUMBERS = ["MainPID", "NRestarts", "ActiveEnterTimestampMonotonic"] as const;
const TEXTS = ["ActiveState", "SubState", "Result", "StatusText"] as const;

export interface BootOptions {
  /** The namespace whose network it has; the online host of the lab by default. */
  namespace?: string;
  /** Directories of this host that it sees at the same places; the one of the lab is there always. It has a /tmp and a /run of its own. */
  shared?: string[];
}

const SCRIPT = join(import.meta.dir, "booted.sh");
const APART = "unshare --pid --fork --kill-child --mount --uts --ipc".split(" ");
const ENVIRONMENT = [
  "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
  "LANG=C.UTF-8",
  "HOME=/root",
  "DEBIAN_FRONTEND=noninteractive",
];
/** What installing anything leaves, and systemd itself, which makes and removes its directories of links. */
const BOOKS =
  /^\/(var\/lib\/(dpkg|apt|systemd|rpm)|var\/cache|var\/log\/(dpkg|alternatives)\.log|etc\/(\.pwd\.lock|\.updated|(passwd|group|g?shadow)-)|var\/\.updated)(\/|$)|^\/etc\/systemd\/system\/[^/]+\.wants$/;

const all = new Set<Booted>();
process.on("exit", () => {
  for (const booted of all) booted.remove();
});

/** Boots a Debian in the network of a namespace of the lab. */
export async function boot(
  lab: Lab,
  { namespace = lab.online, shared = [] }: BootOptions = {},
): Promise<Booted> {
  const directory = mkdtempSync(join(tmpdir(), "xcopy-booted-"));
  const cgroups = join(directory, "cgroups");
  // All cgroups are in one tree, whatever namespaces this test runs in.
  const cgroup = join(cgroups, basename(directory));
  let system: Running | undefined;
  let init = 0;
  const inside = (command: string[]) => [
    ...["nsenter", "--target", `${init}`, "--all", "--root", "--wd"],
    ...["env", "-i", ...ENVIRONMENT, ...command],
  ];

  async function powerOn(): Promise<void> {
    mkdirSync(cgroup, { recursive: true });
    const shares = [lab.directory, ...shared];
    const started = start(namespace, [
      "setpriv",
      "--pdeathsig",
      "KILL",
      ...APART,
      SCRIPT,
      directory,
      ...shares,
    ]);
    system = started;
    await until(
      () => `systemd is up\n${started.errors.join("\n")}`,
      () => {
        if (started.ended()) throw new Error(`It does not boot:\n${started.errors.join("\n")}`);
        init = Number(Bun.spawnSync(["pgrep", "-P", `${started.pid}`]).stdout.toString());
        return init > 0 && existsSync(booted.path("/run/systemd/private"));
      },
    );
    await booted.try("systemctl", "is-system-running", "--wait");
  }

  const booted: Booted = {
    inside,
    run(...command) {
      const { exitCode, stdout, stderr } = Bun.spawnSync(inside(command));
      if (exitCode !== 0)
        throw new Error(`Cannot run "${command.join(" ")}": ${exitCode}\n${stdout}${stderr}`);
      return stdout.toString();
    },
    async try(...command) {
      const child = Bun.spawn(inside(command), { stdin: "ignore", stdout: "pipe", stderr: "pipe" });
      const [output, errors, code] = await Promise.all([
        child.stdout.text(),
        child.stderr.text(),
        child.exited,
      ]);
      return { code, output: output + errors };
    },
    path: (file) => join(`/proc/${init}/root`, file),
    unit(name) {
      const properties = [...TEXTS, ...NUMBERS];
      const lines = booted.run("systemctl", "show", name, "-p", properties.join()).split("\n");
      const values = new Map(
        lines.map((line) => [line.split("=", 1)[0]!, line.slice(line.indexOf("=") + 1)]),
      );
      const texts = TEXTS.map((key) => [key, values.get(key) ?? ""]);
      return Object.fromEntries([...texts, ...NUMBERS.map((key) => [key, Number(values.get(key))])]) as Unit;
    },
    untilUnit: (name, what, condition, ms) =>
      until(
        () =>
          `${name} ${what}: ${JSON.stringify(booted.unit(name))}\n${booted.run("journalctl", "-n30", "-u", name)}`,
        () => {
          const unit = booted.unit(name);
          return condition(unit) ? unit : null;
        },
        ms,
      ),
    async reboot() {
      await ended("reboot", 129);
      await powerOn();
    },
    powerOff: () => ended("poweroff", 130),
    changes: () => changesBelow(directory),
    remove() {
      if (!all.delete(booted)) return;
      if (existsSync(cgroup)) {
        if (system && !system.ended()) process.kill(system.pid, "SIGKILL");
        while (!isEmpty(cgroup)) Bun.sleepSync(5);
        removeCgroup(cgroup);
      }
      for (const mounted of [cgroups, directory]) Bun.spawnSync(["umount", mounted]);
      rmdirSync(directory);
    },
  };

  /** The kernel ends the first process by a signal that says what systemd asked for: reboot(2), about PID namespaces. */
  async function ended(verb: string, expected: number): Promise<void> {
    await booted.try("systemctl", verb);
    const code = await system!.exited;
    if (code !== expected) throw new Error(`It ended with ${code} at "systemctl ${verb}"`);
    await until("all of its processes are gone", () => isEmpty(cgroup));
    removeCgroup(cgroup);
  }

  all.add(booted);
  try {
    mount("tmpfs", directory);
    mkdirSync(cgroups);
    mount("cgroup2", cgroups);
    symlinkSync(cgroup, join(directory, "cgroup"));
    await powerOn();
  } catch (error) {
    booted.remove();
    throw error;
  }
  return booted;
}

function mount(type: string, where: string): void {
  const { exitCode, stderr } = Bun.spawnSync(["mount", "-t", type, type, where]);
  if (exitCode !== 0) throw new Error(`Cannot mount ${type}: ${stderr}`);
}

/** Whether no process is in a cgroup or in one of those in it. */
function isEmpty(cgroup: string): boolean {
  const events = join(cgroup, "cgroup.events");
  return !existsSync(events) || readFileSync(events, "utf8").includes("populated 0");
}

/** Removes a cgroup without processes, with those in it. */
function removeCgroup(cgroup: string): void {
  for (const entry of readdirSync(cgroup, { withFileTypes: true })) {
    if (entry.isDirectory()) removeCgroup(join(cgroup, entry.name));
  }
  rmdirSync(cgroup);
}

/** See `Booted.changes`: what the upper layer has, compared with the layers below it. */
function changesBelow(directory: string): string[] {
  const upper = join(directory, "upper");
  const isThere = (file: string) => lstatSync(file, { throwIfNoEntry: false }) !== undefined;
  /** Whether a layer in between hides it, or a directory that it is in, which is checked first. */
  const isHidden = (path: string): boolean =>
    path !== "/" &&
    (isHidden(dirname(path)) ||
      lstatSync(join(directory, "hidden", path), { throwIfNoEntry: false })?.isCharacterDevice() === true);
  const below = (path: string) => {
    const own = join(directory, "own", path);
    if (isThere(own)) return own;
    return isThere(path) && !isHidden(path) ? path : null;
  };
  const paths = readdirSync(upper, { recursive: true, encoding: "utf8" }).map((path) => `/${path}`);
  return paths
    .filter((path) => !BOOKS.test(path))
    .flatMap((path) => {
      const now = lstatSync(join(upper, path));
      const original = below(path);
      if (now.isCharacterDevice() && now.rdev === 0) return original ? [`-${path}`] : [];
      if (!original) return [`+${path}`];
      if (now.isSymbolicLink())
        return readlinkSync(join(upper, path)) === readlinkSync(original) ? [] : [`~${path}`];
      if (now.isFile())
        return readFileSync(join(upper, path)).equals(readFileSync(original)) ? [] : [`~${path}`];
      return [];
    })
    .sort();
}
