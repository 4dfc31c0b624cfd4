/** What is made of the verifier's log and of errors of bpf(2). */
import { describe, expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { release } from "node:os";
import { createRing } from "../../src/native/bpf/create-map.ts";
import { isLimited, isOlder } from "../../src/native/bpf/errors.ts";
import { openLibbpf } from "../../src/native/bpf/libbpf.ts";
import { loadProgram } from "../../src/native/bpf/program.ts";
import { reasonIn, removeLogs } from "../../src/native/bpf/verifier.ts";
import type { Failure } from "../../src/native/failure.ts";
import { EACCES, EPERM } from "../../src/native/libc.ts";
import { failing } from "../config/failing.ts";

const SUMS =
  "processed 39 insns (limit 1000000) max_states_per_insn 0 total_states 3 peak_states 3 mark_read 1";

test.each([
  [
    `R0 unbounded memory access, make sure to bounds check any such access\n${SUMS}\n`,
    "R0 unbounded memory access, make sure to bounds check any such access",
  ],
  [
    `invalid access to memory, mem_size=160 off=32 size=0\nR3 min value is outside of the allowed memory range\n${SUMS}`,
    "R3 min value is outside of the allowed memory range",
  ],
  [
    `combined stack size of 3 calls is 544. Too large\n${SUMS}\n`,
    "combined stack size of 3 calls is 544. Too large",
  ],
  [
    "BPF program is too large. Processed 1000001 insn\nverification time 812345 usec\nstack depth 0+72\nprocessed 1000001 insns (limit 1000000)\n",
    "BPF program is too large. Processed 1000001 insn",
  ],
  [
    [
      "0: R1=ctx() R10=fp0",
      "; return pass(skb); @ request.bpf.c:12",
      "0: (bf) r0 = r9",
      "R9 !read_ok",
      "from 12 to 14: R0=scalar() R10=fp0",
      "14: R0_w=0",
      "R1_w=ctx(off=0) R10=fp0",
      SUMS,
    ].join("\n"),
    "R9 !read_ok",
  ],
  [`R4 ${"x".repeat(200)}\n`, `R4 ${"x".repeat(97)}...`],
])("the reason in %j", (log, reason) => {
  expect(reasonIn(log)).toBe(reason);
});

test.each(["", SUMS, `verification time 80 usec\nstack depth 56\n${SUMS}\n`])("no reason in %j", (log) => {
  expect(reasonIn(log)).toBeNull();
});

test.each([
  ["5.8.0", false],
  ["5.10.0-28-amd64", false],
  ["6.1.0", false],
  ["5.4.0-150-generic", true],
  ["4.19.0", true],
  ["odd", false],
])("Linux %s is older than 5.8: %j", (kernel, older) => {
  expect(isOlder(kernel, [5, 8])).toBe(older);
});

test.each<[number, string[], number, string, boolean]>([
  [EPERM, [], 65536, "5.10.0", true],
  [EPERM, ["CAP_PERFMON"], 65536, "5.10.0", true],
  [EPERM, ["CAP_BPF"], 65536, "5.10.0", false],
  [EPERM, ["CAP_SYS_ADMIN"], 65536, "5.4.0", false],
  [EPERM, [], Number.POSITIVE_INFINITY, "5.10.0", false],
  // From 5.11 on maps are charged to the control group.
  [EPERM, [], 65536, "5.11.0", false],
  [EACCES, [], 65536, "5.10.0", false],
])(
  "errno %d, lacking %j, with a limit of %d on Linux %s: that limit %j",
  (code, missing, limit, kernel, is) => {
    expect(isLimited(code, missing, limit, kernel)).toBe(is);
  },
);

/** What a Failure says, where `code` of another process, which `within` runs, throws one. */
function failureElsewhere(within: string[], code: string): Pick<Failure, "message" | "fix" | "exitCode"> {
  const source = `${import.meta.dir}/../../src`;
  const script = `
    import { carriedLibraries } from "${source}/host/carried-libraries.ts";
    import { createRing } from "${source}/native/bpf/create-map.ts";
    import { openLibbpf } from "${source}/native/bpf/libbpf.ts";
    import { loadProgram } from "${source}/native/bpf/program.ts";
    openLibbpf(await carriedLibraries());
    try {
      ${code};
    } catch ({ message, fix, exitCode }) {
      console.log(JSON.stringify({ message, fix, exitCode }));
    }`;
  const { stdout, stderr } = Bun.spawnSync([...within, process.execPath, "-e", script]);
  expect(stderr.toString()).toBe("");
  return JSON.parse(stdout.toString());
}

/** By numbers, as an old setpriv knows no names for those of Linux 5.8. */
const CAPABILITIES = { bpf: "+cap_39", perfmon: "+cap_38", net_admin: "+net_admin" };

function withOnly(...names: (keyof typeof CAPABILITIES)[]): string[] {
  const some = ["-all", ...names.map((name) => CAPABILITIES[name])].join();
  return ["setpriv", `--bounding-set=${some}`, `--inh-caps=${some}`, `--ambient-caps=${some}`];
}

/** r0 = *(u64 *)(r10 - 1024): outside of the stack; exit */
const OUTSIDE = Uint8Array.from([0x79, 0xa0, 0x00, 0xfc, 0, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0]);

describe("a program that the verifier refuses", () => {
  test("is an error of one line with the reason, and a file", () => {
    openLibbpf();
    const { message, fix, exitCode } = failing(() => loadProgram("tc", "outside", OUTSIDE));
    const log = "/run/xcopy/verifier-outside.log";
    const written = readFileSync(log, "utf8");
    expect(removeLogs()).toContain(log);
    expect(existsSync(log)).toBe(false);
    expect(message).toMatch(
      /^Cannot load the BPF program "outside": this kernel's verifier refuses it: .*stack.* \(verifier's log: (.*)\)$/,
    );
    expect(message).toContain(`(verifier's log: ${log})`);
    expect(fix).toBe(`This kernel (Linux ${release()}) refuses it: please report this with that log.`);
    expect(exitCode).toBe(5);
    expect(written).toContain("(79) r0 = *(u64 *)(r10 -1024)");
  });

  test("where the file cannot be written, the error does not name it", () => {
    const mounts = ["/run", "/dev/shm"].map((path) => `mount -t tmpfs -o ro none ${path}`).join(" && ");
    const hidden = ["unshare", "-m", "sh", "-c", `${mounts} && exec "$@"`, "sh"];
    const { message, fix, exitCode } = failureElsewhere(
      hidden,
      `loadProgram("tc", "outside", Uint8Array.from([${OUTSIDE}]))`,
    );
    expect(message).toMatch(
      /^Cannot load the BPF program "outside": this kernel's verifier refuses it: [^(]*stack/,
    );
    expect(message).not.toContain("log");
    expect(fix).toBe(`This kernel (Linux ${release()}) refuses it: please report this.`);
    expect(exitCode).toBe(5);
  });

  test("without CAP_PERFMON is an error of privileges that names it", () => {
    // r0 = r10; exit: a pointer that gets out, which is allowed with CAP_PERFMON alone
    const leaking = [0xbf, 0xa0, 0, 0, 0, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0];
    const { message, fix, exitCode } = failureElsewhere(
      withOnly("bpf", "net_admin"),
      `loadProgram("tc", "leaking", Uint8Array.from([${leaking}]))`,
    );
    expect(message).toBe(
      'Cannot load the BPF program "leaking": this kernel\'s verifier refuses it without CAP_PERFMON: R0 leaks addr as return value',
    );
    expect(fix).toContain("CAP_PERFMON");
    expect(exitCode).toBe(4);
  });
});

test("a ring of a size that no kernel takes is not blamed on the kernel's age", () => {
  openLibbpf();
  expect(failing(() => createRing(5000)).message).toBe(
    "Cannot create a BPF ring buffer of 5000 bytes: invalid argument",
  );
});

test.if(isOlder(release(), [5, 11]))(
  "a map for which the limit of locked memory is too small says so",
  () => {
    const small = ["sh", "-c", 'ulimit -l 64 && exec "$@"', "sh"];
    const within = [...withOnly("bpf", "perfmon", "net_admin"), ...small];
    expect(failureElsewhere(within, "createRing(1 << 20)")).toEqual({
      message:
        "Cannot create a BPF ring buffer of 1048576 bytes: the limit of locked memory, 65536 bytes, is too small",
      fix: "Raise it: ulimit -l unlimited, or LimitMEMLOCK=infinity in its unit",
      exitCode: 4,
    });
  },
);
