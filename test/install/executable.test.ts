/** dist/xcopy, as bin/build makes it. */
import { beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const ROOT = join(import.meta.dir, "../..");
const XCOPY = join(ROOT, "dist/xcopy");
const build = (...words: string[]) => Bun.spawnSync([join(ROOT, "bin/build"), ...words]);

beforeAll(() => {
  expect(build().exitCode).toBe(0);
});

/** Runs a shell script in namespaces of its own, with `lo` up; `$1` is the executable. */
function alone(script: string): { code: number; stderr: string } {
  const words = ["unshare", "-n", "-m", "sh", "-c", `ip link set lo up; ${script}`, "sh", XCOPY];
  const { exitCode, stderr } = Bun.spawnSync(words);
  return { code: exitCode, stderr: stderr.toString() };
}

test("bin/build does nothing where nothing has changed", () => {
  const before = statSync(XCOPY);
  const { exitCode, stderr } = build();
  expect([exitCode, stderr.toString()]).toEqual([0, ""]);
  expect(statSync(XCOPY).ino).toBe(before.ino);
});

test.each(["--target", "--target linux-mips", "--fast", "--target linux-x64 again"])(
  "bin/build refuses %s",
  (words) => {
    expect(build(...words.split(" ")).exitCode).toBe(2);
  },
);

describe("without a libbpf on the host", () => {
  const hide = 'for f in /usr/lib/*/libbpf.so.1 /usr/lib/*/libelf.so.1; do mount --bind /dev/null "$f"; done';

  test("it loads the one it carries", () => {
    // Nothing listens: it must have come as far as the probe, behind the kernel programs.
    expect(alone(`${hide}; exec "$1" copy -x 80-127.0.0.1:81`)).toEqual({
      code: 3,
      stderr: expect.stringContaining('Cannot reach target "127.0.0.1:81": connection refused\n'),
    });
  });
});

test("it takes no instructions from the directory it is started in", () => {
  const directory = mkdtempSync(join(tmpdir(), "xc-here-"));
  try {
    writeFileSync(join(directory, ".env"), "XCOPY_DEMO_ROLE=nonsense\nBUN_OPTIONS=--nonsense\n");
    writeFileSync(join(directory, "evil.ts"), 'console.log("evil");\nprocess.exit(66);\n');
    writeFileSync(join(directory, "bunfig.toml"), 'preload = ["./evil.ts"]\n');
    writeFileSync(join(directory, "package.json"), '{ "imports": { "#x": "./evil.ts" } }\n');
    const { exitCode, stdout } = Bun.spawnSync([XCOPY, "--version"], { cwd: directory });
    expect([exitCode, stdout.toString()]).toEqual([0, expect.stringMatching(/^xcopy [0-9.]+\n$/)]);
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test("called tcpcopy it is xcopy copy", () => {
  const { exitCode, stderr } = Bun.spawnSync([XCOPY], { argv0: "/usr/local/bin/tcpcopy" });
  expect([exitCode, stderr.toString().split("\n")[0]]).toEqual([
    2,
    "Cannot copy anything: no -x names a service and its target",
  ]);
});
