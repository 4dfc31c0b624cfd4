/** What a killed copy leaves in the kernel, and that the next start removes it. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { removeLeftovers } from "../../src/host/leftovers.ts";
import { loadForTest } from "../bpf/capture.ts";
import { until } from "../support/until.ts";
import { Link } from "./link.ts";

interface Child {
  pid: number;
  /** Ids of its programs. */
  programs: string[];
  end(signal: "SIGKILL" | "SIGTERM"): Promise<void>;
}

let link: Link;
let children: Child[];

beforeEach(() => {
  link = new Link();
  children = [];
});

afterEach(async () => {
  for (const child of children) await child.end("SIGKILL");
  link.host.enter(() => removeLeftovers());
  link.remove();
});

async function start(hook: string): Promise<Child> {
  const child = Bun.spawn(
    [
      "ip",
      "netns",
      "exec",
      link.host.name,
      process.execPath,
      `${import.meta.dir}/child.ts`,
      hook,
      `${link.ifindex}`,
    ],
    { stdout: "pipe", stderr: "inherit" },
  );
  const reader = child.stdout.getReader();
  const { value } = await reader.read();
  const { pid, programs } = JSON.parse(new TextDecoder().decode(value));
  const started = {
    pid,
    programs,
    async end(signal: "SIGKILL" | "SIGTERM") {
      child.kill(signal);
      await child.exited;
    },
  };
  children.push(started);
  return started;
}

function isLoaded(program: string): boolean {
  return Bun.spawnSync(["bpftool", "prog", "show", "id", program]).exitCode === 0;
}

function freed(programs: string[]): Promise<boolean> {
  return until("the kernel to free the programs", () => !programs.some(isLoaded));
}

function recordOf(child: Child): string {
  return `/run/xcopy/${child.pid}.json`;
}

function filters(direction = "ingress"): string {
  return link.host.run("tc", "filter", "show", "dev", link.interface, direction);
}

function hasClsact(): boolean {
  return link.host.run("tc", "qdisc", "show", "dev", link.interface).includes("clsact");
}

function cleanUp(): string[] {
  return link.host.enter(() => removeLeftovers());
}

describe("tcx", () => {
  test("kill -9 leaves nothing in the kernel and nothing on disk", async () => {
    const child = await start("tcx");
    expect(child.programs.every(isLoaded)).toBe(true);
    await child.end("SIGKILL");
    await freed(child.programs);
    expect(existsSync(recordOf(child))).toBe(false);
    expect(hasClsact()).toBe(false);
    expect(cleanUp()).toEqual([]);
  });
});

describe("clsact", () => {
  test("kill -9 leaves filters, which the next start removes with their qdisc", async () => {
    const child = await start("clsact");
    expect(filters()).toContain("xcopy_request");
    expect(filters()).toContain("xcopy_response");
    await child.end("SIGKILL");
    expect(filters()).toContain("xcopy_request");
    expect(cleanUp()).toEqual([
      `filter 1 on "${link.interface}"`,
      `filter 2 on "${link.interface}"`,
      `clsact qdisc on "${link.interface}"`,
    ]);
    expect(filters()).toBe("");
    expect(hasClsact()).toBe(false);
    expect(existsSync(recordOf(child))).toBe(false);
    await freed(child.programs);
    expect(cleanUp()).toEqual([]);
  });

  test("a kill between the note and the filter leaves a qdisc, which the next start removes", async () => {
    const child = await start("clsact");
    const record = JSON.parse(readFileSync(recordOf(child), "utf8"));
    await child.end("SIGKILL");
    cleanUp();
    record.filters = [{ ...record.filters[0], priority: 0, madeQdisc: true }];
    writeFileSync(recordOf(child), JSON.stringify(record));
    expect(cleanUp()).toEqual([]);
    expect(existsSync(recordOf(child))).toBe(false);
    link.host.run("tc", "qdisc", "add", "dev", link.interface, "clsact");
    writeFileSync(recordOf(child), JSON.stringify(record));
    expect(cleanUp()).toEqual([`clsact qdisc on "${link.interface}"`]);
    expect(hasClsact()).toBe(false);
  });

  test("an orderly end leaves nothing", async () => {
    const child = await start("clsact");
    expect(hasClsact()).toBe(true);
    await child.end("SIGTERM");
    expect(hasClsact()).toBe(false);
    expect(existsSync(recordOf(child))).toBe(false);
    await freed(child.programs);
  });

  test("what a running process attached stays", async () => {
    const killed = await start("clsact");
    const running = await start("clsact");
    await killed.end("SIGKILL");
    expect(cleanUp()).toHaveLength(2);
    expect(filters().match(/xcopy_request:/g)).toHaveLength(1);
    expect(running.programs.every(isLoaded)).toBe(true);
    expect(existsSync(recordOf(running))).toBe(true);
    expect(cleanUp()).toEqual([]);
  });

  test("the last of several processes takes the qdisc along, whichever made it", async () => {
    const maker = await start("clsact");
    const other = await start("clsact");
    await maker.end("SIGTERM");
    expect(hasClsact()).toBe(true);
    await other.end("SIGTERM");
    expect(hasClsact()).toBe(false);
  });

  test.each([false, true])(
    "the capture of requests ends before that of responses; requests leave: %p",
    (isOutgoing) => {
      const { kernel } = loadForTest({ hook: "clsact", isOutgoing });
      const direction = isOutgoing ? "egress" : "ingress";
      link.host.enter(() => kernel.attachResponses([link.ifindex]));
      link.host.enter(() => kernel.attachRequests([link.ifindex]));
      expect(filters(direction)).toContain("xcopy_request");
      link.host.enter(() => kernel.detachRequests());
      expect(filters(direction)).not.toContain("xcopy_request");
      expect(filters()).toContain("xcopy_response");
      link.host.enter(() => kernel.detach());
      expect(hasClsact()).toBe(false);
    },
  );

  test("a process that has the pid of a dead one does not protect its filters", async () => {
    const child = await start("clsact");
    const record = readFileSync(recordOf(child), "utf8");
    const startTime = JSON.parse(record).startTime;
    writeFileSync(
      recordOf(child),
      record.replace(`"startTime": ${startTime}`, `"startTime": ${startTime - 1}`),
    );
    expect(cleanUp()).toHaveLength(3);
    expect(filters()).toBe("");
  });

  test("the qdisc and the filters of others stay", async () => {
    link.host.run("tc", "qdisc", "add", "dev", link.interface, "clsact");
    const other = ["bpf", "da", "bytecode", "1,6 0 0 4294967295"];
    link.host.run("tc", "filter", "add", "dev", link.interface, "ingress", "prio", "1", ...other);
    const before = filters();
    const child = await start("clsact");
    await child.end("SIGKILL");
    expect(cleanUp()).toHaveLength(2);
    expect(filters()).toBe(before);
    expect(hasClsact()).toBe(true);
  });

  test("an empty qdisc of somebody else stays", async () => {
    link.host.run("tc", "qdisc", "add", "dev", link.interface, "clsact");
    const child = await start("clsact");
    await child.end("SIGTERM");
    expect(filters()).toBe("");
    expect(hasClsact()).toBe(true);
  });

  test("a qdisc of ours stays for a filter that came later", async () => {
    const child = await start("clsact");
    const other = ["bpf", "da", "bytecode", "1,6 0 0 4294967295"];
    link.host.run("tc", "filter", "add", "dev", link.interface, "egress", ...other);
    await child.end("SIGTERM");
    expect(filters()).toBe("");
    expect(filters("egress")).toContain("bpf");
    expect(hasClsact()).toBe(true);
  });

  test("a filter of somebody else at the place of ours stays", async () => {
    const child = await start("clsact");
    await child.end("SIGKILL");
    link.host.run("tc", "filter", "del", "dev", link.interface, "ingress");
    const other = ["bpf", "da", "bytecode", "1,6 0 0 4294967295"];
    const place = ["prio", "1", "handle", `0x${child.pid.toString(16)}`];
    link.host.run("tc", "filter", "add", "dev", link.interface, "ingress", ...place, ...other);
    const before = filters();
    expect(cleanUp()).toEqual([]);
    expect(filters()).toBe(before);
    expect(existsSync(recordOf(child))).toBe(false);
  });

  test("a record of another network namespace is not touched", async () => {
    const child = await start("clsact");
    await child.end("SIGKILL");
    expect(removeLeftovers()).toEqual([]);
    expect(existsSync(recordOf(child))).toBe(true);
    expect(filters()).toContain("xcopy_request");
  });

  test("an interface that is gone is no error", async () => {
    const child = await start("clsact");
    await child.end("SIGKILL");
    link.host.ip("link", "del", link.interface);
    expect(cleanUp()).toEqual([]);
    expect(existsSync(recordOf(child))).toBe(false);
  });
});
