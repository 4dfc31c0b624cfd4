/** Giving up capabilities and system calls, in all threads of a process, for root and for a user with ambient capabilities. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { chownSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { deniedCalls, type StillDoes } from "../../src/host/denied-calls.ts";
import { keptOf } from "../../src/host/drop.ts";
import { withoutInheritance } from "../../src/native/credentials/credentials.ts";
import type { ThreadPrivileges } from "../support/threads.ts";

const NOTHING: StillDoes = { runsPrograms: false, attaches: false, loads: false };
const NET_ADMIN = 12;
const NET_RAW = 13;

interface Said {
  left: number[];
  filter: string | null;
  http: string;
  maps: boolean;
  child: string;
  threads: ThreadPrivileges[];
}

function drop(kept: number[], passedOn: number[], still: StillDoes, prefix: string[] = []): Said {
  const command = [
    process.execPath,
    join(import.meta.dir, "drop-child.ts"),
    JSON.stringify({ kept, passedOn, still }),
  ];
  const { stdout, stderr } = Bun.spawnSync([...prefix, ...command], { cwd: "/" });
  expect(stderr.toString()).toBe("");
  return JSON.parse(stdout.toString());
}

/** Expects all of them to have these privileges; there must be several threads that are not ours. */
function expectAll({ threads, left, filter, http }: Said, privileges: Partial<ThreadPrivileges>): void {
  expect({ left, filter, http }).toEqual({ left: [], filter: null, http: "ECONNREFUSED" });
  expect(threads.length).toBeGreaterThan(4);
  for (const thread of threads) {
    expect(thread).toMatchObject({ ...privileges, noNewPrivileges: true, isFiltered: true });
  }
}

test("root keeps what it names and passes nothing on", () => {
  const said = drop([NET_ADMIN, NET_RAW], [], NOTHING);
  expectAll(said, { effective: "3000", permitted: "3000", inheritable: "0", bounding: "0", ambient: "0" });
  expect([said.child, said.maps]).toEqual(["EPERM", true]);
});

test("so it does while the garbage collector runs all the time", () => {
  const collects = ["env", "BUN_JSC_slowPathAllocsBetweenGCs=2"];
  expectAll(drop([NET_ADMIN], [], NOTHING, collects), {
    effective: "1000",
    permitted: "1000",
    bounding: "0",
  });
});

test("root that passes one on has it in the programs that it runs, and no other", () => {
  const said = drop([NET_ADMIN, NET_RAW], [NET_ADMIN], { ...NOTHING, runsPrograms: true });
  expectAll(said, { effective: "3000", bounding: "1000" });
  expect(said.child).toBe("CapEff: 0000000000001000 CapBnd: 0000000000001000");
});

test("so does a user with ambient capabilities, whose bounds it may not change", () => {
  const some = "-all,+net_admin,+net_raw,+bpf";
  const user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
  const sets = ["bounding-set", "inh-caps", "ambient-caps"].map((set) => `--${set}=${some}`);
  const said = drop([NET_RAW], [NET_RAW], { ...NOTHING, runsPrograms: true }, [...user, ...sets]);
  expectAll(said, { effective: "2000", permitted: "2000", inheritable: "2000", ambient: "2000" });
  expect(said.child).toStartWith("CapEff: 0000000000002000 ");
});

test("a program that is to inherit nothing has no capability, and this process has its own again", () => {
  const status = ["grep", "-h", "-e", "CapEff", "/proc/self/status"];
  const run = () => Bun.spawnSync(status).stdout.toString();
  const before = run();
  expect(withoutInheritance(run)).toBe("CapEff:\t0000000000000000\n");
  expect(run()).toBe(before);
});

describe("what stays", () => {
  const KEEPS = {
    ...NOTHING,
    capabilities: [NET_ADMIN],
    usesTools: false,
    usesMaps: false,
    writes: [],
    reads: [],
  };
  const NET_ADMIN_ALONE = 1n << 12n;
  const DAC_OVERRIDE = 1n << 1n;
  let own: string;
  let foreign: string;
  beforeAll(() => {
    own = mkdtempSync(join(tmpdir(), "xcopy-drop-"));
    foreign = mkdtempSync(join(tmpdir(), "xcopy-drop-"));
    for (const directory of [own, foreign]) writeFileSync(join(directory, "log"), "", { mode: 0o600 });
    for (const path of [foreign, join(foreign, "log")]) chownSync(path, 65534, 65534);
  });
  afterAll(() => {
    for (const directory of [own, foreign]) rmSync(directory, { recursive: true });
  });

  test("is what the mode names, where its files are this user's", () => {
    expect(keptOf({ ...KEEPS, writes: [join(own, "log"), join(own, "later"), null, "-"] })).toBe(
      NET_ADMIN_ALONE,
    );
    expect(keptOf({ ...KEEPS, reads: [join(own, "log"), "-"] })).toBe(NET_ADMIN_ALONE);
  });

  test("is CAP_DAC_OVERRIDE too, where root writes or reads what is another user's", () => {
    expect(keptOf({ ...KEEPS, writes: [join(foreign, "log")] })).toBe(NET_ADMIN_ALONE | DAC_OVERRIDE);
    expect(keptOf({ ...KEEPS, writes: [join(foreign, "later")] })).toBe(NET_ADMIN_ALONE | DAC_OVERRIDE);
    expect(keptOf({ ...KEEPS, reads: [join(foreign, "log")] })).toBe(NET_ADMIN_ALONE | DAC_OVERRIDE);
  });
});

/** Runs a filter on a system call, as the kernel does; what it returns. */
function verdict(program: Uint8Array, words: Record<number, number>): string {
  const view = new DataView(program.buffer);
  let accumulator = 0;
  for (let at = 0; ; at++) {
    const [code, k] = [view.getUint16(at * 8, true), view.getUint32(at * 8 + 4, true)];
    const jump = (isTrue: boolean) => view.getUint8(at * 8 + (isTrue ? 2 : 3));
    if (code === 0x20) accumulator = words[k] ?? 0;
    else if (code === 0x15) at += jump(accumulator === k);
    else if (code === 0x45) at += jump((accumulator & k) !== 0);
    else if (code === 0x05) at += k;
    else if (code === 0x06) return k === 0x7fff_0000 ? "allowed" : `errno ${k & 0xffff}`;
    else throw new Error(`code ${code}`);
  }
}

const X64 = 0xc000_003e;
const ARM64 = 0xc000_00b7;

describe("the filter", () => {
  test.each<[string, Partial<StillDoes>, call: number[], string]>([
    ["read", {}, [0, 63], "allowed"],
    ["sendmmsg", {}, [307, 269], "allowed"],
    ["execve", {}, [59, 221], "errno 1"],
    ["execve, to run programs", { runsPrograms: true }, [59, 221], "allowed"],
    ["execveat", {}, [322, 281], "errno 1"],
    ["ptrace", { runsPrograms: true, attaches: true, loads: true }, [101, 117], "errno 1"],
    ["init_module", {}, [175, 105], "errno 1"],
    ["mount", {}, [165, 40], "errno 1"],
    ["setns", {}, [308, 268], "errno 1"],
    ["perf_event_open", {}, [298, 241], "errno 1"],
    ["io_uring_setup", {}, [425, 425], "errno 1"],
    ["clone of a thread", {}, [56, 220, 0x3d0f00], "allowed"],
    ["clone with a namespace of users", {}, [56, 220, 0x1000_0000], "errno 1"],
    ["clone3", {}, [435, 435], "errno 38"],
    ["bpf, BPF_MAP_LOOKUP_ELEM", {}, [321, 280, 1], "allowed"],
    ["bpf, BPF_MAP_UPDATE_BATCH", {}, [321, 280, 26], "allowed"],
    ["bpf, BPF_LINK_CREATE", {}, [321, 280, 28], "errno 1"],
    ["bpf, BPF_LINK_CREATE, to attach", { attaches: true }, [321, 280, 28], "allowed"],
    ["bpf, BPF_PROG_LOAD, to attach", { attaches: true }, [321, 280, 5], "errno 1"],
    ["bpf, BPF_PROG_LOAD, to load", { loads: true }, [321, 280, 5], "allowed"],
    ["bpf, BPF_OBJ_PIN", { attaches: true }, [321, 280, 6], "errno 1"],
  ])("%s", (_, still, [x64, arm64, argument = 0], expected) => {
    const does = { ...NOTHING, ...still };
    const on = (architecture: "x64" | "arm64", number: number, id: number) =>
      verdict(deniedCalls(does, architecture), { 0: number, 4: id, 16: argument });
    expect([on("x64", x64!, X64), on("arm64", arm64!, ARM64)]).toEqual([expected, expected]);
  });

  test("denies calls of other architectures, and of the x32 ABI", () => {
    const program = deniedCalls(NOTHING, "x64");
    expect(verdict(program, { 0: 3, 4: 0x4000_0003 })).toBe("errno 1");
    expect(verdict(program, { 0: 0x4000_0000, 4: X64 })).toBe("errno 1");
    expect(verdict(program, { 0: 0, 4: X64 })).toBe("allowed");
  });
});
