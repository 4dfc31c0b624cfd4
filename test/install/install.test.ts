/** install.sh as a user runs it, in dash, against a web server that shows a release. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { version } from "../../package.json";

const ROOT = join(import.meta.dir, "../..");
const DASH = Bun.which("dash")!;
const SCRIPT = join(ROOT, "install.sh");
const FILE = process.arch === "arm64" ? "xcopy-linux-arm64" : "xcopy-linux-x64";
/** What the script may call, besides what loads and what hashes. */
const TOOLS = "awk cat chmod cut gzip mkdir mktemp mv rm sed sh uname".split(" ");

let scratch: string;
let server: ReturnType<typeof Bun.serve>;
let base: string;
/** Paths that were asked for. */
let asked: string[];
/** Where xcopy is installed. */
let directory: string;

const sha256 = (bytes: Uint8Array<ArrayBuffer>) => new Bun.CryptoHasher("sha256").update(bytes).digest("hex");

/** An executable that says its version, and what `cleanup` is told to. */
function fakeExecutable(says: string, cleanup = "echo cleaned up"): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(
    `#!/bin/sh\ncase $1 in --version) echo "xcopy ${says}" ;; cleanup) ${cleanup} ;; *) exit 2 ;; esac\n`,
  );
}

/** Puts a release into a directory below the server's. */
function publish(where: string, executable: Uint8Array<ArrayBuffer>): void {
  const files = join(scratch, "www", where);
  const packed = Bun.gzipSync(executable);
  mkdirSync(files, { recursive: true });
  writeFileSync(join(files, `${FILE}.gz`), packed);
  writeFileSync(
    join(files, "SHA256SUMS"),
    `${sha256(executable)}  ${FILE}\n${sha256(packed)}  ${FILE}.gz\n${"0".repeat(64)}  ${FILE}.gz.old\n`,
  );
}

/** A directory with these tools of this machine, and scripts in place of others, to be the PATH. */
function toolbox(tools: string[], scripts: Record<string, string> = {}): string {
  const box = mkdtempSync(join(scratch, "bin-"));
  for (const tool of tools) {
    if (!(tool in scripts)) symlinkSync(Bun.which(tool)!, join(box, tool));
  }
  for (const [name, text] of Object.entries(scripts)) {
    writeFileSync(join(box, name), `#!/bin/sh\n${text}\n`);
    chmodSync(join(box, name), 0o755);
  }
  return box;
}

interface Outcome {
  code: number;
  stdout: string;
  stderr: string;
}

async function run(
  words: string[] = [],
  environment: Record<string, string> = {},
  script = SCRIPT,
): Promise<Outcome> {
  const child = Bun.spawn([DASH, script, ...words], {
    stdout: "pipe",
    stderr: "pipe",
    env: {
      PATH: process.env.PATH!,
      XCOPY_BASE_URL: base,
      XCOPY_INSTALL_DIR: directory,
      ...environment,
    },
  });
  const [stdout, stderr, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  return { code, stdout, stderr };
}

const installed = () => join(directory, "xcopy");
const remains = () => (existsSync(directory) ? readdirSync(directory) : []);

beforeAll(() => {
  scratch = mkdtempSync(join(tmpdir(), "xc-install-"));
  server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch(request) {
      const path = new URL(request.url).pathname;
      asked.push(path);
      const file = Bun.file(join(scratch, "www", path));
      return file.exists().then((there) => (there ? new Response(file) : new Response("", { status: 404 })));
    },
  });
  base = `http://127.0.0.1:${server.port}`;
  publish("latest/download", fakeExecutable("1.2.3"));
  publish("download/v1.0.0", fakeExecutable("1.0.0"));
});

afterAll(async () => {
  await server.stop(true);
  rmSync(scratch, { recursive: true });
});

beforeEach(() => {
  asked = [];
  directory = join(mkdtempSync(join(scratch, "to-")), "bin");
});

describe("installing", () => {
  test("loads the latest version, says so and what to do next", async () => {
    expect(await run()).toEqual({
      code: 0,
      stderr: "",
      stdout: `loading ${base}/latest/download/${FILE}.gz
installed xcopy 1.2.3: ${installed()}
Next, as root:
  ${installed()} demo                                     see it work, in network namespaces of its own
  ${installed()} copy -x 80-10.0.0.2:8080 --dry-run       see what it would do here
  ${installed()} copy -x 80-10.0.0.2:8080                 do it
`,
    });
    expect(statSync(installed()).mode & 0o777).toBe(0o755);
    expect(remains()).toEqual(["xcopy"]);
  });

  test("calls it by its name where the PATH has the directory", async () => {
    const { stdout } = await run([], { PATH: `${process.env.PATH}:${directory}` });
    expect(stdout).toContain("\n  xcopy demo ");
  });

  test("again does nothing, and says so", async () => {
    await run();
    const before = statSync(installed());
    asked = [];
    expect(await run()).toEqual({
      code: 0,
      stdout: `xcopy 1.2.3 is already installed: ${installed()}\n`,
      stderr: "",
    });
    expect(asked).toEqual(["/latest/download/SHA256SUMS"]);
    expect(statSync(installed()).ino).toBe(before.ino);
    expect(remains()).toEqual(["xcopy"]);
  });

  test.each(["1.0.0", "v1.0.0"])("XCOPY_VERSION=%s takes that one, over another", async (wanted) => {
    await run();
    const { code, stdout } = await run([], { XCOPY_VERSION: wanted });
    expect([code, stdout.split("\n")[1]]).toEqual([0, `installed xcopy 1.0.0: ${installed()}`]);
    expect(readFileSync(installed(), "utf8")).toContain("xcopy 1.0.0");
  });

  test("a slash at the end of XCOPY_BASE_URL is none too many", async () => {
    expect((await run([], { XCOPY_BASE_URL: `${base}/` })).code).toBe(0);
    expect(asked[0]).toBe("/latest/download/SHA256SUMS");
  });

  const asSha256sum = (print: string) => `hash=$(${Bun.which("sha256sum")} "$3" | cut -d ' ' -f 1); ${print}`;
  test.each([
    ["curl and sha256sum", ["curl", "sha256sum"], {}],
    ["wget", ["wget", "sha256sum"], {}],
    ["shasum", ["curl"], { shasum: asSha256sum('echo "$hash  $3"') }],
    ["openssl", ["curl"], { openssl: `set -- "$1" "$2" "$3"; ${asSha256sum('echo "SHA2-256($3)= $hash"')}` }],
  ])("with no more than %s", async (_, tools, scripts) => {
    const { code, stderr } = await run([], { PATH: toolbox([...TOOLS, ...tools], scripts) });
    expect([code, stderr]).toEqual([0, ""]);
    expect(remains()).toEqual(["xcopy"]);
  });
});

/** What says which C library there is: a script in place of each command. */
const GLIBC = (version: string) => ({ getconf: `echo glibc ${version}` });
const LDD = (text: string, code = 0) => ({
  getconf: 'echo "getconf: GNU_LIBC_VERSION: unknown variable" >&2; exit 1',
  ldd: `printf '%s\\n' ${text}; exit ${code}`,
});

test.each([
  ["glibc 2.31", GLIBC("2.31")],
  ["glibc 2.100", GLIBC("2.100")],
  ["glibc 3.0", GLIBC("3.0")],
  ["an ldd of glibc 2.36", LDD("'ldd (Debian GLIBC 2.36-9+deb12u10) 2.36' 'Copyright (C) 2.1'")],
  ["a getconf that prints nothing known", { getconf: "echo undefined" }],
  ["an ldd that prints nothing known", LDD("'ldd: unknown option'", 1)],
  ["neither", {}],
])("installs where the C library is, or may be, new enough: %s", async (_, scripts) => {
  const { code, stderr } = await run([], { PATH: toolbox([...TOOLS, "curl", "sha256sum"], scripts) });
  expect([code, stderr]).toEqual([0, ""]);
});

describe("refusing", () => {
  /** Nothing is there that was not there before; the message is the last line but one, before the fix. */
  async function refuses(message: string, environment: Record<string, string> = {}, script = SCRIPT) {
    const before = existsSync(installed()) ? readFileSync(installed(), "utf8") : null;
    const { code, stderr } = await run([], environment, script);
    expect(stderr.trimEnd().split("\n").at(-2)).toBe(message);
    expect(code).toBe(1);
    expect(existsSync(installed()) ? readFileSync(installed(), "utf8") : null).toBe(before);
    expect(remains()).toEqual(before === null ? [] : ["xcopy"]);
  }

  test("a version that is not there", async () => {
    await refuses(`Cannot load "${base}/download/v9.9.9/SHA256SUMS"`, { XCOPY_VERSION: "9.9.9" });
  });

  test.each(["1.0/../..", "1 2", "$(id)"])("XCOPY_VERSION=%s", async (wanted) => {
    await refuses(`Cannot use XCOPY_VERSION "${wanted}": it is not a version`, { XCOPY_VERSION: wanted });
    expect(asked).toEqual([]);
  });

  test.each(["ftp://host/xcopy", "/srv/xcopy", "file:///srv"])("XCOPY_BASE_URL=%s", async (url) => {
    await refuses(`Cannot use XCOPY_BASE_URL "${url}": it is not an http or https address`, {
      XCOPY_BASE_URL: url,
    });
  });

  test("no address at all", async () => {
    await refuses("Cannot install xcopy: nothing says where to load it from", { XCOPY_BASE_URL: "" });
  });

  test("a server that is not there", async () => {
    const nowhere = "http://127.0.0.1:1";
    await refuses(`Cannot load "${nowhere}/latest/download/SHA256SUMS"`, { XCOPY_BASE_URL: nowhere });
  });

  test.each([
    ["Darwin", "x86_64", 'Cannot install xcopy on "Darwin": it needs Linux'],
    ["Linux", "riscv64", 'Cannot install xcopy on "riscv64": there is no executable for it'],
    ["Linux", "armv7l", 'Cannot install xcopy on "armv7l": there is no executable for it'],
  ])("%s on %s", async (system, machine, message) => {
    const uname = `case $1 in -s) echo ${system} ;; -m) echo ${machine} ;; esac`;
    await refuses(message, { PATH: toolbox([...TOOLS, "curl", "sha256sum"], { uname }) });
    expect(asked).toEqual([]);
  });

  test.each([
    ["C library is musl", "'musl libc (x86_64)' 'Version 1.2.5' 'Dynamic Program Loader'", 1],
    ["glibc is 2.28", "'ldd (GNU libc) 2.28' 'Copyright (C) 2018'", 0],
  ])("where ldd says that the %s, before anything is loaded or written", async (what, text, status) => {
    const PATH = toolbox([...TOOLS, "curl", "sha256sum"], LDD(text, status));
    expect(await run([], { PATH })).toEqual({
      code: 1,
      stdout: "",
      stderr: `Cannot install xcopy on this host: its ${what}\nThe executable needs glibc 2.31 or newer, as in Debian 11, Ubuntu 20.04 or RHEL 9: use such a host.\n`,
    });
    expect(asked).toEqual([]);
    expect(existsSync(directory)).toBe(false);
  });

  test.each(["2.30", "2.17", "2.9", "2.30.9000"])("glibc %s", async (version) => {
    await refuses(`Cannot install xcopy on this host: its glibc is ${version}`, {
      PATH: toolbox([...TOOLS, "curl", "sha256sum"], GLIBC(version)),
    });
    expect(asked).toEqual([]);
  });

  test("an architecture that the release does not have", async () => {
    const other = FILE.endsWith("x64") ? ["aarch64", "arm64"] : ["x86_64", "x64"];
    const uname = `case $1 in -s) echo Linux ;; -m) echo ${other[0]} ;; esac`;
    await refuses(`Cannot verify xcopy: SHA256SUMS does not list "xcopy-linux-${other[1]}.gz"`, {
      PATH: toolbox([...TOOLS, "curl", "sha256sum"], { uname }),
    });
  });

  test("without anything that loads, or that hashes", async () => {
    await refuses("Cannot load xcopy: there is neither curl nor wget", {
      PATH: toolbox([...TOOLS, "sha256sum"]),
    });
    await refuses("Cannot verify xcopy: there is no sha256sum, shasum or openssl", {
      PATH: toolbox([...TOOLS, "curl"]),
    });
  });

  describe("a release that is not what its list says", () => {
    const good = fakeExecutable("6.6.6");
    const lists: [string, (files: string) => void, RegExp][] = [
      [
        "another packed file",
        (files) => writeFileSync(join(files, `${FILE}.gz`), Bun.gzipSync(fakeExecutable("evil"))),
        /^Cannot install "http.*\.gz": its SHA-256 is [0-9a-f]{64}, not [0-9a-f]{64}\n/m,
      ],
      [
        "a packed file cut short",
        (files) => {
          const packed = Bun.gzipSync(good);
          writeFileSync(join(files, `${FILE}.gz`), packed.subarray(0, packed.length / 2));
        },
        /^Cannot install "http.*\.gz": its SHA-256 is /m,
      ],
      [
        "another executable in the packed file",
        (files) => {
          const sums = readFileSync(join(files, "SHA256SUMS"), "utf8");
          writeFileSync(join(files, "SHA256SUMS"), sums.replace(sha256(good), "f".repeat(64)));
        },
        /^Cannot install "xcopy-linux-.*": its SHA-256 is /m,
      ],
      ["no list", (files) => rmSync(join(files, "SHA256SUMS")), /^Cannot load "http.*\/SHA256SUMS"$/m],
      [
        "some page as the list",
        (files) => writeFileSync(join(files, "SHA256SUMS"), `<html>log in, please</html> ${FILE}.gz\n`),
        /^Cannot verify xcopy: SHA256SUMS does not list "xcopy-linux-.*\.gz"\n/m,
      ],
      ["no packed file", (files) => rmSync(join(files, `${FILE}.gz`)), /^Cannot load "http.*\.gz"$/m],
    ];

    test.each(lists)("%s: nothing is installed, what was there stays", async (_, spoil, message) => {
      publish("download/v6.6.6", good);
      spoil(join(scratch, "www/download/v6.6.6"));
      for (const before of [[], ["xcopy"]]) {
        if (before.length > 0) await run();
        const { code, stderr } = await run([], { XCOPY_VERSION: "6.6.6" });
        expect(stderr).toMatch(message);
        expect(code).toBe(1);
        expect(remains()).toEqual(before);
        if (before.length > 0) expect(readFileSync(installed(), "utf8")).toContain("xcopy 1.2.3");
      }
    });
  });

  test("an executable that does not run here", async () => {
    publish("download/v5.0.0", new TextEncoder().encode("#!/nowhere/sh\n"));
    await run();
    const { code, stderr } = await run([], { XCOPY_VERSION: "5.0.0" });
    expect(stderr).toContain("Cannot run xcopy on this host: see above\n");
    expect(code).toBe(1);
    expect(readFileSync(installed(), "utf8")).toContain("xcopy 1.2.3");
    expect(remains()).toEqual(["xcopy"]);
  });

  test("a directory that cannot be made", async () => {
    writeFileSync(join(scratch, "file"), "");
    const { code, stderr } = await run([], { XCOPY_INSTALL_DIR: join(scratch, "file/bin") });
    expect([code, stderr.split("\n")[0]]).toEqual([1, `Cannot write to "${join(scratch, "file/bin")}"`]);
  });

  test("words it does not know", async () => {
    for (const words of [["--unistall"], ["--uninstall", "now"], [""]]) {
      const { code, stdout, stderr } = await run(words);
      expect([code, stdout]).toEqual([2, ""]);
      expect(stderr).toContain("usage: install.sh [--uninstall | --help]");
    }
    expect(remains()).toEqual([]);
  });
});

test("--help", async () => {
  const { code, stdout, stderr } = await run(["--help"]);
  expect([code, stderr]).toEqual([0, ""]);
  for (const word of ["--uninstall", "XCOPY_INSTALL_DIR", "XCOPY_VERSION", "XCOPY_BASE_URL"]) {
    expect(stdout).toContain(word);
  }
  expect(asked).toEqual([]);
});

describe("uninstalling", () => {
  test("cleans up, then removes the executable", async () => {
    await run();
    expect(await run(["--uninstall"])).toEqual({
      code: 0,
      stdout: `cleaned up\nremoved ${installed()}\n`,
      stderr: "",
    });
    expect(remains()).toEqual([]);
  });

  test("what is not installed is said", async () => {
    expect(await run(["--uninstall"])).toEqual({
      code: 0,
      stdout: `xcopy is not installed in ${directory}\n`,
      stderr: "",
    });
  });

  test("keeps the executable where it could not clean up", async () => {
    publish("download/v4.0.0", fakeExecutable("4.0.0", "echo no >&2; exit 4"));
    await run([], { XCOPY_VERSION: "4.0.0" });
    expect(await run(["--uninstall"])).toEqual({
      code: 1,
      stdout: "",
      stderr: `no\nCannot clean up after xcopy: see above; ${installed()} is still there\nRun it as root (sudo).\n`,
    });
    expect(remains()).toEqual(["xcopy"]);
  });
});

test("cut short anywhere, it does nothing", async () => {
  await run();
  asked = [];
  const text = readFileSync(SCRIPT);
  const lengths = Array.from({ length: text.length }, (_, index) => index).filter(
    // Without its last line end it is whole.
    (length) => (length % 23 === 0 || length > text.length - 60) && length < text.length - 1,
  );
  const cut = join(scratch, "cut.sh");
  // All that it could call ends in a file of its own; whatever is there at the end has been called.
  const called = join(scratch, "called");
  const tools = ["awk", "curl", "gzip", "mkdir", "mktemp", "mv", "rm", "sha256sum", "wget"];
  const path = toolbox(
    ["cat", "uname"],
    Object.fromEntries(tools.map((tool) => [tool, `echo ${tool} >>${called}`])),
  );
  for (const length of lengths) {
    writeFileSync(cut, text.subarray(0, length));
    for (const words of [[], ["--uninstall"]]) await run(words, { PATH: path + ":/nowhere" }, cut);
  }
  expect(existsSync(called)).toBe(false);
  await run([], { PATH: path });
  expect(existsSync(called)).toBe(true);
  expect(asked).toEqual([]);
  expect(remains()).toEqual(["xcopy"]);
});

test("it is clean POSIX sh", () => {
  const { exitCode, stdout } = Bun.spawnSync(["shellcheck", "-s", "sh", SCRIPT]);
  expect([exitCode, stdout.toString()]).toEqual([0, ""]);
});

test("the real release of this machine installs, runs, and is removed", async () => {
  const target = FILE.replace("xcopy-", "");
  const output = join(scratch, "www/real");
  const words = ["--base-url", `${base}/real`, "--target", target, "--executables", "--output", output];
  const made = Bun.spawnSync([join(ROOT, "bin/release"), ...words]);
  expect([made.exitCode, made.stderr.toString()]).toEqual([0, expect.any(String)]);
  const script = join(output, "install.sh");

  const first = await run([], { XCOPY_BASE_URL: "" }, script);
  expect([first.code, first.stderr]).toEqual([0, ""]);
  expect(first.stdout).toContain(`installed xcopy ${version}: ${installed()}`);
  const said = Bun.spawnSync([installed(), "copy", "--dry-run", "-x", "80-127.0.0.1:8080"]);
  expect(said.stdout.toString()).toContain("transfer  80-127.0.0.1:8080\n");
  expect((await run([], { XCOPY_BASE_URL: "" }, script)).stdout).toBe(
    `xcopy ${version} is already installed: ${installed()}\n`,
  );
  const removed = await run(["--uninstall"], {}, script);
  expect(removed.stdout).toEndWith(`removed ${installed()}\n`);
  expect(remains()).toEqual([]);
});
