/** Loading and attaching the capture's programs: errors, and that nothing stays behind. */
import { beforeAll, describe, expect, test } from "bun:test";
import { readdirSync, readFileSync, readlinkSync, rmSync, statSync } from "node:fs";
import { release } from "node:os";
import { buildObjects, loadForTest } from "../bpf/capture.ts";
import { failing } from "../config/failing.ts";
import { refusedObject } from "../support/refused.ts";

// As root: the test without privilege could not.
beforeAll(buildObjects);

describe("loading", () => {
  test("without privilege ends with exit code 4 and says what is missing", () => {
    const script = `
      import { loadForTest } from "${import.meta.dir}/../bpf/capture.ts";
      try {
        loadForTest();
      } catch ({ name, message, fix, exitCode }) {
        console.log(JSON.stringify({ name, message, fix, exitCode }));
      }`;
    const nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
    const { stdout, stderr } = Bun.spawnSync([...nobody, process.execPath, "-e", script]);
    expect(stderr.toString()).toBe("");
    expect(JSON.parse(stdout.toString())).toEqual({
      name: "Failure",
      message: expect.stringMatching(
        /^Cannot create a BPF ring buffer of \d+ bytes: operation not permitted$/,
      ),
      fix: expect.stringContaining("CAP_PERFMON"),
      exitCode: 4,
    });
  });

  test("an error has the verifier's reason, and its log is in the file that the error names", () => {
    const failure = failing(() => loadForTest({ requestObject: refusedObject("request") }));
    const log = "/run/xcopy/verifier-request.log";
    const written = readFileSync(log, "utf8");
    const { mode } = statSync(log);
    rmSync(log);
    expect(failure.exitCode).toBe(5);
    expect(failure.message).toBe(
      `Cannot load the BPF object "request": this kernel's verifier refuses it: R9 !read_ok (verifier's log: ${log})`,
    );
    expect(failure.fix).toBe(
      `This kernel (Linux ${release()}) refuses it: please report this with that log.`,
    );
    expect(mode & 0o777).toBe(0o600);
    expect(written).toContain("0: (bf) r0 = r9");
    expect(written).toContain("R9 !read_ok");
  });

  test("refuses what is not an object", () => {
    const failure = failing(() => loadForTest({ requestObject: new TextEncoder().encode("not an object") }));
    expect(failure.exitCode).toBe(5);
    expect(failure.message).toStartWith('Cannot open the BPF object "request": ');
  });

  test("refuses ring sizes that the kernel does not take", () => {
    expect(failing(() => loadForTest({ requestRingBytes: 5000 })).message).toBe(
      "Cannot create a BPF ring buffer of 5000 bytes: invalid argument",
    );
  });

  test("leaves no descriptor behind, neither after a failure nor after detach", () => {
    const { kernel } = loadForTest();
    expect(bpfDescriptors()).not.toEqual([]);
    kernel.detach();
    expect(bpfDescriptors()).toEqual([]);
    failing(() => loadForTest({ responseRingBytes: 5000 }));
    expect(bpfDescriptors()).toEqual([]);
  });
});

test("services and paths may be absent", () => {
  const { kernel } = loadForTest({ services: [], paths: [] });
  expect(kernel.stats().requestsCaptured).toBe(0);
  kernel.detach();
});

/** What this process holds of maps, programs, links and type information. */
function bpfDescriptors(): string[] {
  return readdirSync("/proc/self/fd").flatMap((fd) => {
    try {
      const what = readlinkSync(`/proc/self/fd/${fd}`);
      return /anon_inode:\[?(bpf|btf)/.test(what) ? [what] : [];
    } catch {
      return []; // the descriptor of the listing itself
    }
  });
}
