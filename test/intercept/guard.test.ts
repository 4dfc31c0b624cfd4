/** After the end of an intercept, in order or by kill -9, no packet of a forged flow gets out for the time to linger. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { endLingeringGuards, type GuardRecord, readGuards } from "../../src/host/guard.ts";
import { removeLeftovers } from "../../src/host/leftovers.ts";
import type { Frame } from "../bpf/build.ts";
import { enterNamespace } from "../bpf/namespace.ts";
import { kernelObjects, stillThere } from "../support/kernel-objects.ts";
import { createLab, type Lab } from "../support/lab.ts";
import { patient } from "../support/patience.ts";
import { type Running, run } from "../support/process.ts";
import { until } from "../support/until.ts";
import { ForgedClient, Forger } from "./forged.ts";
import { flowOf, loadForTest } from "./load.ts";

const MAIN = join(import.meta.dir, "../../src/main.ts");
const LONG = 60;
const FORGED: Frame = {
  source: "10.1.0.2",
  destination: "10.0.0.2",
  sourcePort: 40000,
  destinationPort: 8080,
};

let lab: Lab;
let forger: Forger;

beforeEach(async () => {
  lab = createLab({ manyClients: false });
  forger = new Forger(lab.online);
  await lab
    .start(lab.target, [process.execPath, join(import.meta.dir, "server.ts"), "8080"])
    .line(/^listening/);
});

afterEach(async () => {
  forger?.close();
  await lab?.stopAll();
  if (lab) inTarget(() => [endLingeringGuards(), removeLeftovers()]);
  lab?.remove();
});

function inTarget<T>(inside: () => T): T {
  return enterNamespace(lab.target, inside);
}

async function startChild(hook: string, linger = LONG, mode = "target"): Promise<Running> {
  const indexes = ["net0", "lo"].map(
    (name) => JSON.parse(run(lab.target, "ip", "-j", "link", "show", name))[0].ifindex,
  );
  const command = [process.execPath, join(import.meta.dir, "child.ts"), hook, mode, `${linger}`, ...indexes];
  const child = lab.start(lab.target, command);
  await child.line(/^attached/);
  return child;
}

/** Sends a SYN with the cookie: each is answered at once. */
function forge(frame: Frame): void {
  new ForgedClient(forger, frame, () => []).open();
}

/** What comes to the real client from the service. */
async function watch(): Promise<Running> {
  const command = ["tcpdump", "-i", "net0", "-nn", "-l", "--immediate-mode", "tcp and src port 8080"];
  const tcpdump = lab.start(lab.client, command);
  await tcpdump.line(/^listening on/);
  return tcpdump;
}

let fetched = 0;

/** What has come in forged flows: all that the target sent before the call, as it has served a real client since. */
async function leaks(watched: Running): Promise<string[]> {
  const port = `${41000 + (fetched++ % 1000)}`;
  const url = "http://10.0.0.2:8080/5";
  expect(run(lab.client, "curl", "-s", "-m", `${patient(5000) / 1000}`, "--local-port", port, url)).toBe(
    "xxxxx",
  );
  await watched.line(new RegExp(`> 10.1.0.2.${port}: `));
  return watched.output.filter((line) => / > 10.1.0.2.40\d\d\d: /.test(line));
}

function guards(): GuardRecord[] {
  return inTarget(readGuards);
}

/** Pids of the guards in the target's namespace, by what `ps` shows: without the children that are about to be `sleep`. */
function guardProcesses(): number[] {
  return run(lab.target, "ip", "netns", "pids", lab.target)
    .split("\n")
    .filter(Boolean)
    .map(Number)
    .filter((pid) => {
      const { name, session } = statusOf(pid);
      return name === "xcopy-guard" && session === pid;
    });
}

function statusOf(pid: number): { name: string; session: number } {
  try {
    const [, name, session] = /\((.*)\) \S \d+ \d+ (\d+)/.exec(readFileSync(`/proc/${pid}/stat`, "utf8"))!;
    return { name: name!, session: Number(session) };
  } catch {
    return { name: "", session: 0 }; // It has just ended.
  }
}

function filters(): string {
  return ["ingress", "egress"]
    .map((direction) => run(lab.target, "tc", "filter", "show", "dev", "net0", direction))
    .join("");
}

const HOOKS = ["tcx", "clsact"];

describe.each(HOOKS)("%s", (hook) => {
  test("kill -9: nothing gets out as long as the guard stays, then everything is gone", async () => {
    const child = await startChild(hook, 2);
    const objects = kernelObjects(child.pid);
    const [guard] = guards();
    expect(guardProcesses()).toEqual([guard!.pid]);
    const watched = await watch();
    forge(FORGED);
    await child.line(/^learned/);
    await child.stop("SIGKILL");
    // Old flows go on, and new ones still are learned.
    let last = 0;
    for (; guardProcesses().length > 0; last++) {
      forge({ ...FORGED, sourcePort: 40001 + (last % 900) });
      const leaked = await leaks(watched);
      if (guardProcesses().length > 0) expect(leaked).toEqual([]);
    }
    expect(last).toBeGreaterThan(1);
    expect(existsSync(`/run/xcopy/guard-${guard!.pid}.json`)).toBe(false);
    if (hook === "clsact") {
      // These stay, on the safe side, until somebody looks.
      expect(filters()).toContain("xcopy_catch");
      expect(inTarget(() => removeLeftovers())).toHaveLength(6);
      expect(filters()).toBe("");
    }
    await until("the kernel to free everything", () => stillThere(objects).length === 0);
    forge({ ...FORGED, sourcePort: 40999 });
    await watched.line(/40999: Flags \[S\.\]/);
  });

  test("an orderly end lingers as well, if a flow was forged", async () => {
    const child = await startChild(hook);
    const watched = await watch();
    forge(FORGED);
    await child.line(/^learned/);
    expect(await child.stop("SIGTERM")).toBe(0);
    expect(child.output.filter(Boolean).at(-1)).toBe("lingers");
    expect(guardProcesses()).toHaveLength(1);
    forge(FORGED);
    forge({ ...FORGED, sourcePort: 40001 });
    expect(await leaks(watched)).toEqual([]);
    // The next one knows whose these flows were.
    inTarget(() => {
      const next = loadForTest();
      expect(next.kernel.inherit()).toBe(2);
      expect(next.learned.has(flowOf(FORGED))).toBe(true);
      expect(next.learned.has(flowOf({ ...FORGED, sourcePort: 40002 }))).toBe(false);
      next.kernel.detach();
    });
  });

  test("an orderly end leaves nothing, if none was", async () => {
    const child = await startChild(hook);
    const objects = kernelObjects(child.pid);
    const [guard] = guards();
    expect(await child.stop("SIGTERM")).toBe(0);
    expect(child.output.at(-1)).toBe("gone");
    expect(guardProcesses()).toEqual([]);
    expect(existsSync(`/run/xcopy/guard-${guard!.pid}.json`)).toBe(false);
    expect(existsSync(`/run/xcopy/${child.pid}.json`)).toBe(false);
    expect(filters()).toBe("");
    await until("the kernel to free everything", () => stillThere(objects).length === 0);
  });

  test("cleanup ends a lingering guard with what it stands for, and leaves a running intercept alone", async () => {
    const child = await startChild(hook);
    const objects = kernelObjects(child.pid);
    const cleanUp = () => run(lab.target, process.execPath, MAIN, "cleanup").trim().split("\n");
    cleanUp(); // What tests before this one left.
    expect(cleanUp()).toEqual(["nothing to remove"]);
    expect(guardProcesses()).toHaveLength(1);
    const [guard] = guards();
    forge(FORGED);
    await child.line(/^learned/);
    await child.stop("SIGKILL");
    // The next start is no reason.
    expect(inTarget(() => removeLeftovers())).toEqual([]);
    expect(guardProcesses()).toHaveLength(1);
    const removed = cleanUp();
    expect(removed[0]).toBe(`removed guard ${guard!.pid} of process ${child.pid}`);
    expect(removed).toHaveLength(hook === "clsact" ? 7 : 1);
    expect(guardProcesses()).toEqual([]);
    expect(filters()).toBe("");
    await until("the kernel to free everything", () => stillThere(objects).length === 0);
    expect(cleanUp()).toEqual(["nothing to remove"]);
  });

  test("a new intercept sees packets before the guard of an old one, which still drops what is its own", async () => {
    const child = await startChild(hook);
    const watched = await watch();
    forge(FORGED);
    await child.line(/^learned/);
    await child.stop("SIGKILL");
    const { kernel, beat, learned, take } = loadForTest({ hook: hook as "tcx" });
    inTarget(() =>
      kernel.attach([JSON.parse(run(lab.target, "ip", "-j", "link", "show", "net0"))[0].ifindex]),
    );
    try {
      beat();
      forge({ ...FORGED, sourcePort: 40001 });
      await until("the record", () => take().length > 0);
      expect(learned.count()).toBe(1);
    } finally {
      inTarget(() => kernel.detach());
    }
    forge(FORGED);
    expect(await leaks(watched)).toEqual([]);
  });
});

test("a guard is in a session of its own, and no signal of a terminal or a service manager's stop ends it", async () => {
  const child = await startChild("tcx");
  const watched = await watch();
  const [guard] = guards();
  const pid = guard!.pid;
  expect(statusOf(pid).session).toBe(pid);
  // Of this process it has the links and the flows of copies, and nothing else: not the other end of its pipe, above all.
  const held = readdirSync(`/proc/${pid}/fdinfo`).map((fd) =>
    readFileSync(`/proc/${pid}/fdinfo/${fd}`, "utf8"),
  );
  expect(held.filter((text) => /^link_id:/m.test(text))).toHaveLength(4);
  expect(held.filter((text) => /^map_id:/m.test(text))).toHaveLength(1);
  expect(held).toHaveLength(3 + 4 + 1);
  forge(FORGED);
  await child.line(/^learned/);
  await child.stop("SIGKILL");
  forge(FORGED);
  for (const signal of ["SIGINT", "SIGHUP", "SIGQUIT", "SIGTERM"] as const) process.kill(pid, signal);
  expect(await leaks(watched)).toEqual([]);
  expect(guardProcesses()).toEqual([pid]);
});

test("--linger 0 has no guard", async () => {
  const child = await startChild("tcx", 0);
  const objects = kernelObjects(child.pid);
  expect(guards()).toEqual([]);
  expect(guardProcesses()).toEqual([]);
  await child.stop("SIGKILL");
  await until("the kernel to free everything", () => stillThere(objects).length === 0);
});
