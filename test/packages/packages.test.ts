/** What is in the packages, what is said about it, and that the same release gives the same bytes; with a stand-in for the executable. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { writeLayout } from "../../packaging/oci/layout.ts";
import { COMMANDS } from "../../src/command-line/commands.ts";
import { XCOPY } from "../support/xcopy.ts";

const ROOT = join(import.meta.dir, "../..");
const ARCHITECTURE = process.arch === "arm64" ? "arm64" : "x64";
const DEBIAN = { x64: "amd64", arm64: "arm64" }[ARCHITECTURE];
const RPM = { x64: "x86_64", arm64: "aarch64" }[ARCHITECTURE];
/** 2026-01-02 03:04:05 UTC */
const TIME = 1767323045;

let scratch: string;
let executable: string;

function shell(...words: string[]): string {
  return shellWith({ TZ: "UTC", LC_ALL: "C.UTF-8" }, words);
}

function shellWith(environment: Record<string, string>, words: string[]): string {
  const env = { ...process.env, SOURCE_DATE_EPOCH: `${TIME}`, ...environment };
  const { exitCode, stdout, stderr } = Bun.spawnSync(words, { cwd: ROOT, env });
  if (exitCode !== 0) throw new Error(`Cannot run "${words.join(" ")}": ${stdout}${stderr}`);
  return stdout.toString();
}

/** Makes a package by one of packaging's scripts in a directory of its own; its path. */
function make(kind: "deb" | "rpm", name: string): string {
  const directory = join(scratch, `${kind}-${name}`);
  mkdirSync(directory);
  // The time of a build is not that of the release.
  utimesSync(executable, TIME + (name === "first" ? 1000 : -1000), TIME + (name === "first" ? 1000 : -1000));
  const words = [`packaging/${kind}/package.sh`, executable, ARCHITECTURE, "1.2.3", directory];
  // Nor are permissions, language and zone those of whoever makes it.
  if (name === "first") shell(...words);
  else
    shellWith({ TZ: "Asia/Tokyo", LC_ALL: "en_US.UTF-8" }, [
      "sh",
      "-c",
      'umask 077; exec "$@"',
      "sh",
      ...words,
    ]);
  return join(directory, readdirSync(directory)[0]!);
}

/** What both kinds of packages install: mode, path. Where completions of zsh are is the only difference. */
const FILES = [
  ...`
-rw-r--r-- /etc/logrotate.d/xcopy
drwxr-x--- /etc/xcopy
-rw-r--r-- /etc/xcopy/copy.toml.example
-rw-r--r-- /etc/xcopy/intercept.toml.example
-rwxr-xr-x /usr/bin/xcopy
-rw-r--r-- /usr/lib/systemd/system/xcopy-copy@.service
-rw-r--r-- /usr/lib/systemd/system/xcopy-intercept@.service
-rw-r--r-- /usr/lib/sysusers.d/xcopy.conf
drwxr-xr-x /usr/share/doc/xcopy
-rw-r--r-- /usr/share/doc/xcopy/README.md
-rw-r--r-- /usr/share/doc/xcopy/copyright
-rw-r--r-- /usr/share/doc/xcopy/grafana.json
-rw-r--r-- /usr/share/doc/xcopy/xcopy.spdx.json
-rw-r--r-- /usr/share/man/man5/xcopy.toml.5.gz
-rw-r--r-- /usr/share/bash-completion/completions/xcopy
-rw-r--r-- /usr/share/zsh/vendor-completions/_xcopy
-rw-r--r-- /usr/share/fish/vendor_completions.d/xcopy.fish`
    .trim()
    .split("\n"),
  ...["xcopy", ...Object.keys(COMMANDS).map((name) => `xcopy-${name}`)].map(
    (name) => `-rw-r--r-- /usr/share/man/man1/${name}.1.gz`,
  ),
];

/** Without directories of others, which are in packages too. */
const ownOf = (list: string[]) =>
  list.filter((line) => !line.startsWith("d") || line.includes("xcopy")).sort();

const linesOf = (text: string) => text.trim().split("\n").sort();

beforeAll(() => {
  scratch = mkdtempSync(join(tmpdir(), "xcopy-packages-"));
  executable = join(scratch, "stand-in");
  writeFileSync(executable, "#!/bin/sh\necho xcopy 1.2.3\n", { mode: 0o755 });
});
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

test("a .deb", () => {
  const deb = make("deb", "first");
  expect(deb).toEndWith(`/xcopy_1.2.3_${DEBIAN}.deb`);
  const list = linesOf(shell("dpkg-deb", "-c", deb)).map((line) => {
    const { mode, owner, time, path } =
      /^(?<mode>\S+) (?<owner>\S+) +\d+ (?<time>\S+ \S+) \.(?<path>\/.*)$/.exec(line)!.groups!;
    expect([owner, time]).toEqual(["root/root", "2026-01-02 03:04"]);
    return `${mode} ${path!.replace(/(?<=.)\/$/, "")}`;
  });
  const debians = ["doc/xcopy/changelog.gz", "lintian/overrides/xcopy"].map(
    (path) => `-rw-r--r-- /usr/share/${path}`,
  );
  expect(ownOf(list)).toEqual([...FILES, ...debians].sort());
  const field = (name: string) => shell("dpkg-deb", "-f", deb, name).trim();
  expect([field("Package"), field("Version"), field("Architecture")]).toEqual(["xcopy", "1.2.3", DEBIAN]);
  expect(field("Depends")).toContain("libc6 (>= 2.31)");
  const control = join(scratch, "control");
  shell("dpkg-deb", "-e", deb, control);
  expect(linesOf(readFileSync(join(control, "conffiles"), "utf8"))).toEqual(
    FILES.filter((line) => /^-.* \/etc/.test(line)).map((line) => line.split(" ")[1]!),
  );
  expect(readFileSync(make("deb", "second")).equals(readFileSync(deb))).toBe(true);
});

test("a .rpm", () => {
  const rpm = make("rpm", "first");
  expect(rpm).toEndWith(`/xcopy-1.2.3-1.${RPM}.rpm`);
  const query = (format: string) => linesOf(shell("rpm", "--dbpath", scratch, "-qp", "--qf", format, rpm));
  const files = FILES.map((line) => line.replace("/vendor-completions/", "/site-functions/"));
  expect(ownOf(query("[%{FILEMODES:perms} %{FILENAMES}\n]"))).toEqual(files.sort());
  expect(
    query("[%{FILEUSERNAME}:%{FILEGROUPNAME} %{FILENAMES}\n]").filter(
      (line) => !line.startsWith("root:root"),
    ),
  ).toEqual(["root:xcopy /etc/xcopy"]);
  expect(query("[%{FILEFLAGS:fflags} %{FILENAMES}\n]").filter((line) => line.startsWith("cn")).length).toBe(
    3,
  );
  expect(query("%{BUILDTIME} %{BUILDHOST}")).toEqual([`${TIME} reproducible`]);
  expect(query("[%{REQUIRES}\n]")).toContain("libc.so.6(GLIBC_2.31)(64bit)");
  expect(readFileSync(make("rpm", "second")).equals(readFileSync(rpm))).toBe(true);
});

describe("what an executable is made of", () => {
  interface Document {
    SPDXID: string;
    spdxVersion: string;
    creationInfo: { created: string };
    packages: { SPDXID: string; name: string; versionInfo: string; licenseDeclared: string }[];
    files: { SPDXID: string; fileName: string; checksums: { algorithm: string; checksumValue: string }[] }[];
    relationships: { spdxElementId: string; relationshipType: string; relatedSpdxElement: string }[];
  }
  let document: Document;
  beforeAll(() => {
    document = JSON.parse(
      shell(process.execPath, "packaging/sbom/main.ts", executable, ARCHITECTURE, "1.2.3"),
    );
  });

  test("all packages that it imports, the runtime and the libraries, each with its licence", () => {
    expect(document).toMatchObject({
      spdxVersion: "SPDX-2.3",
      creationInfo: { created: "2026-01-02T03:04:05Z" },
    });
    const { dependencies } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8"));
    const versions = Object.fromEntries(
      document.packages.map(({ name, versionInfo }) => [name, versionInfo]),
    );
    expect(versions).toMatchObject({ ...dependencies, xcopy: "1.2.3", bun: Bun.version });
    // What a dependency needs, but nothing that only tests need.
    expect(versions).toMatchObject({
      tdigest: expect.any(String),
      zlib: expect.stringContaining("1.2.11"),
      libbpf: "1.1",
    });
    expect(versions).not.toHaveProperty("playwright-core");
    expect(
      document.packages.filter(
        ({ licenseDeclared }) => !/^[\w.-]+( (OR|AND) [\w.-]+)*$/.test(licenseDeclared),
      ),
    ).toEqual([]);
  });

  test("the executable and what it carries, by their hashes", () => {
    const sums = Object.fromEntries(
      document.files.map(({ fileName, checksums }) => [
        fileName,
        checksums.find(({ algorithm }) => algorithm === "SHA256")!.checksumValue,
      ]),
    );
    const sha256 = (path: string) => new Bun.CryptoHasher("sha256").update(readFileSync(path)).digest("hex");
    expect(sums["./usr/bin/xcopy"]).toBe(sha256(executable));
    expect(sums["./carried/request.bpf.o"]).toBe(sha256(join(ROOT, "dist/bpf/request.bpf.o")));
    expect(sums[`./carried/${ARCHITECTURE}/libbpf.so.1`]).toBe(
      sha256(join(ROOT, "dist/lib", ARCHITECTURE, "libbpf.so.1")),
    );
  });

  test("every relationship is between what is there, and each part is contained once", () => {
    const parts = [...document.packages, ...document.files].map(({ SPDXID }) => SPDXID);
    expect(new Set(parts).size).toBe(parts.length);
    const known = new Set([document.SPDXID, ...parts]);
    expect(
      document.relationships
        .flatMap((one) => [one.spdxElementId, one.relatedSpdxElement])
        .filter((id) => !known.has(id)),
    ).toEqual([]);
    const contained = document.relationships.filter(
      ({ relationshipType }) => relationshipType === "CONTAINS",
    );
    expect(contained.map(({ relatedSpdxElement }) => relatedSpdxElement).sort()).toEqual(
      parts.filter((id) => id !== "SPDXRef-Package-xcopy").sort(),
    );
  });
});

test("what is in the image is enough to run the executable", () => {
  const [tar, root] = [join(scratch, "root.tar"), join(scratch, "root")];
  shell("packaging/oci/root.sh", XCOPY, ARCHITECTURE, tar);
  const listed = linesOf(shell("tar", "-tf", tar)).filter((path) => !path.endsWith("/"));
  expect(listed.filter((path) => !path.startsWith("./lib"))).toEqual([
    "./etc/group",
    "./etc/passwd",
    "./usr/bin/xcopy",
    "./usr/share/doc/libc6/copyright",
  ]);
  mkdirSync(root);
  shell("tar", "-xf", tar, "-C", root);
  // The runtime wants /proc, which every container has.
  const container = ["unshare", "--mount", "--pid", "--fork", `--mount-proc=${root}/proc`, "chroot", root];
  expect(shell(...container, "/usr/bin/xcopy", "--version")).toBe(shell(XCOPY, "--version"));
});

interface Descriptor {
  mediaType: string;
  digest: string;
  size: number;
  platform?: { architecture: string };
}

test("an OCI image layout: every descriptor fits its blob, and an architecture has one layer", () => {
  const image = {
    version: "1.2.3",
    time: TIME,
    platforms: (["amd64", "arm64"] as const).map((architecture) => ({
      architecture,
      layer: new Uint8Array(Buffer.from(`tar of ${architecture}`)),
    })),
  };
  const [first, second] = ["one", "two"].map((name) => join(scratch, `layout-${name}`)) as [string, string];
  writeLayout(first, image);
  writeLayout(second, image);
  expect(shell("diff", "-r", first, second)).toBe("");

  const seen: string[] = [];
  const blob = ({ digest, size }: Descriptor): Buffer => {
    const bytes = readFileSync(join(first, "blobs", digest.replace(":", "/")));
    expect([`sha256:${new Bun.CryptoHasher("sha256").update(bytes).digest("hex")}`, bytes.length]).toEqual([
      digest,
      size,
    ]);
    seen.push(digest.slice("sha256:".length));
    return bytes;
  };
  const parsed = (bytes: Buffer) => JSON.parse(bytes.toString());
  expect(parsed(readFileSync(join(first, "oci-layout")))).toEqual({ imageLayoutVersion: "1.0.0" });
  const [tagged, ...more] = parsed(readFileSync(join(first, "index.json"))).manifests as (Descriptor & {
    annotations: object;
  })[];
  expect([tagged!.annotations, more]).toEqual([{ "org.opencontainers.image.ref.name": "1.2.3" }, []]);
  const manifests: Descriptor[] = parsed(blob(tagged!)).manifests;
  expect(manifests.map(({ platform }) => platform!.architecture)).toEqual(["amd64", "arm64"]);
  for (const manifest of manifests) {
    const { config, layers } = parsed(blob(manifest)) as { config: Descriptor; layers: Descriptor[] };
    expect(layers.length).toBe(1);
    const layer = Buffer.from(Bun.gunzipSync(new Uint8Array(blob(layers[0]!))));
    expect(layer.toString()).toBe(`tar of ${manifest.platform!.architecture}`);
    const { architecture, rootfs } = parsed(blob(config));
    expect(architecture).toBe(manifest.platform!.architecture);
    expect(rootfs.diff_ids).toEqual([`sha256:${new Bun.CryptoHasher("sha256").update(layer).digest("hex")}`]);
  }
  expect(seen.sort()).toEqual(readdirSync(join(first, "blobs/sha256")).sort());
});
