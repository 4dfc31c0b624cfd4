/** A virtual machine with one of Debian's kernels, in which files of tests run as on any host. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { eachLine } from "../../src/copies/lines.ts";
import { type CaseReport, parseCases } from "../runner/report.ts";
import type { Host } from "./hosts.ts";
import type { Kernel } from "./kernels.ts";

const TOP = join(import.meta.dir, "../..");
/** What of the checkout tests need: its programs are built, and there is no compiler. */
const TREE = ["src", "test", "dist/bpf", "dist/lib", "package.json", "bunfig.toml", "tsconfig.json"];
const MEGABYTES = 1536;
/** How many times slower than a free machine one is whose processor is emulated: for the patience of tests. */
const SLOWNESS = 8;
/** How often a test is tried again: an emulated processor may stand still for longer than xcopy takes for a stall. */
const RETRIES = 2;
/** ms without a line from the machine after which it is given up. */
const SILENCE = 300_000;

export interface MachineRun {
  kernel: Kernel;
  /** Files of tests below test/, without ".test.ts". */
  files: string[];
  /** Chooses tests by name. */
  pattern?: string;
  /** A host that is not as it should be. */
  host?: Host;
  /** How many values of settings are to be together in some variant of the programs, of which few are enough then: see test/bpf/variants.test.ts. */
  together?: 1 | 2;
  /** Says each line of the console. */
  log?: (line: string) => void;
}

export interface MachineOutcome {
  /** What `uname -r` says; null if it did not boot. */
  version: string | null;
  /** What tests remark, by the name that they give: see test/e2e/features.test.ts. */
  remarks: Map<string, string>;
  /** Empty if the tests did not come to an end. */
  tests: CaseReport[];
  /** All lines of the console. */
  console: string[];
  seconds: number;
}

/** The command of qemu. It emulates: many a machine in a cloud offers KVM, and then does not boot an old kernel with it. */
function qemu(kernel: Kernel, initrd: string, append: string): string[] {
  const image = join(TOP, "dist/kernels", kernel.name);
  const machine =
    kernel.architecture === "amd64"
      ? ["qemu-system-x86_64", "-cpu", "max"]
      : ["qemu-system-aarch64", "-M", "virt", "-cpu", "max,pauth-impdef=on"];
  const consoleName = kernel.architecture === "amd64" ? "ttyS0" : "ttyAMA0";
  return [
    ...machine,
    ...["-accel", "tcg,thread=multi"],
    ...["-m", `${MEGABYTES}`, "-smp", "2", "-nic", "none", "-nographic", "-no-reboot"],
    ...["-kernel", join(image, "vmlinuz"), "-initrd", initrd],
    ...["-append", `console=${consoleName} quiet panic=-1 ${append}`],
  ];
}

function shell(words: string[], cwd: string): void {
  const { exitCode, stderr } = Bun.spawnSync(words, { cwd });
  if (exitCode !== 0) throw new Error(`Cannot run "${words.join(" ")}": ${stderr}`);
}

/** Makes the initramfs of a run from that of the kernel, which `image.sh` has made, the executable and the tests. */
function makeInitrd(run: MachineRun, directory: string): string {
  const root = join(directory, "root");
  const [tree, bin] = [join(root, "xcopy/tree"), join(root, "xcopy/bin")];
  mkdirSync(tree, { recursive: true });
  mkdirSync(bin);
  const executable = run.kernel.architecture === "amd64" ? "xcopy-linux-x64" : "xcopy-linux-arm64";
  shell(["cp", "-a", "--parents", ...TREE, ...dependencies(), tree], TOP);
  shell(["cp", "-L", join(TOP, "dist", executable), join(bin, "xcopy-itself")], TOP);
  const script = (name: string, text: string) =>
    writeFileSync(join(bin, name), `#!/bin/sh\n${text}\n`, { mode: 0o755 });
  // The executable is also the Bun that runs the tests. What these start must not be.
  script("bun", 'BUN_BE_BUN=1 exec /xcopy/bin/xcopy-itself "$@"');
  // On an emulated processor production's load would starve it for longer than its programs wait for a heartbeat.
  script(
    "xcopy",
    `unset BUN_BE_BUN\nexec nice -n -15 ${run.host?.wrapper ?? ""} /xcopy/bin/xcopy-itself "$@"`,
  );
  const files = run.files.map((file) => `test/${file}.test.ts`);
  const words = [
    "--timeout=0",
    "--max-concurrency=1",
    `--retry=${RETRIES}`,
    "--preload",
    "./test/kernels/preload.ts",
  ];
  if (run.pattern !== undefined) words.push("-t", `'${run.pattern}'`);
  const { prepare = "true", inside = "" } = run.host ?? {};
  const write = (name: string, text: string) => writeFileSync(join(root, "xcopy", name), text);
  // As udev makes them.
  const links = "ln -sfn /proc/self/fd /dev/fd; ln -sf /proc/self/fd/0 /dev/stdin";
  write("run.sh", `${links}\n{ ${prepare}\n} || exit 1\n${inside} sh /xcopy/tests.sh\n`);
  write(
    "tests.sh",
    `cd /xcopy/tree
export XCOPY=/xcopy/bin/xcopy XCOPY_TEST_MACHINE=1 XCOPY_TEST_SLOWNESS=/tmp/slowness NO_COLOR=1 PATH=$PATH:/commands:/xcopy/bin
echo ${SLOWNESS} >/tmp/slowness
${run.host ? "export XCOPY_TEST_RESTRICTED=1" : ""}
${run.together ? `export XCOPY_TEST_TOGETHER=${run.together}` : ""}
bun test ${words.join(" ")} --reporter=junit --reporter-outfile=/tmp/report.xml ${files.join(" ")} 2>&1
[ -e /tmp/report.xml ] && echo "@report $(gzip -c /tmp/report.xml | base64 | tr -d '\\n')"
`,
  );
  const initrd = join(directory, "initrd");
  const base = join(TOP, "dist/kernels", run.kernel.name, "base.cpio");
  shell(["sh", "-c", `(cat "${base}"; find xcopy | cpio -o -H newc --quiet -R 0:0) >"${initrd}"`], root);
  rmSync(root, { recursive: true });
  return initrd;
}

/** The packages of npm that sources and tests import. */
function dependencies(): string[] {
  const large = [
    "@biomejs",
    "@oven",
    "@types",
    "@typescript",
    "bun",
    "bun-types",
    "typescript",
    "undici-types",
  ];
  return [...new Bun.Glob("*").scanSync({ cwd: join(TOP, "node_modules"), onlyFiles: false })]
    .filter((name) => !large.includes(name))
    .map((name) => `node_modules/${name}`);
}

/** Boots, runs the tests and resolves when the machine is off. Its image must have been made. */
export async function runInMachine(run: MachineRun): Promise<MachineOutcome> {
  const begun = performance.now();
  const directory = mkdtempSync(join(tmpdir(), "xcopy-machine-"));
  const remove = () => rmSync(directory, { recursive: true, force: true });
  process.on("exit", remove);
  try {
    const initrd = makeInitrd(run, directory);
    const command = qemu(run.kernel, initrd, run.host?.append ?? "");
    const child = Bun.spawn(["setpriv", "--pdeathsig", "KILL", ...command], {
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
    });
    const lines: string[] = [];
    let last = performance.now();
    const heard = (raw: string) => {
      last = performance.now();
      // The console ends lines with \r\n, and has sequences for terminals.
      const line = Bun.stripANSI(raw.replace(/\r$/, ""));
      lines.push(line);
      run.log?.(line);
    };
    const watch = setInterval(() => {
      if (performance.now() - last > SILENCE) child.kill("SIGKILL");
    }, 1000);
    await Promise.all([child.exited, eachLine(child.stdout, heard), eachLine(child.stderr, heard)]);
    clearInterval(watch);
    const marked = (word: string) => lines.find((line) => line.includes(`@${word} `))?.split(`@${word} `)[1];
    const report = marked("report");
    const remarks = lines.flatMap((line) => {
      const remark = /@remark (.+?): (.+)$/.exec(line);
      return remark ? [[remark[1]!, remark[2]!] as const] : [];
    });
    return {
      version: marked("booted") ?? null,
      remarks: new Map(remarks),
      tests: report
        ? parseCases(new TextDecoder().decode(Bun.gunzipSync(Buffer.from(report, "base64"))))
        : [],
      console: lines,
      seconds: (performance.now() - begun) / 1000,
    };
  } finally {
    remove();
    process.off("exit", remove);
  }
}
