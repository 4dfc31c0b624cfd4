/** Claims of ports where the directory cannot be written, or has what this user may not read. */
import { expect, test } from "bun:test";

/** What `claimPorts` warns of as nobody, in a directory that `prepare` makes; then the names in it. */
function claimAsNobody(prepare: string): string[] {
  const script = `
    import { readdirSync } from "node:fs";
    import { claimPorts } from "${import.meta.dir}/../../src/host/claims.ts";
    const path = { local: null, target: Uint8Array.of(10, 0, 0, 2), targetPort: 8080 };
    const release = claimPorts([path], [[1000, 2000]], (line) => console.log(line), "/run/claims");
    release();
    for (const name of readdirSync("/run/claims")) console.log(name);`;
  const hidden = ["unshare", "-m", "sh", "-c", `mount -t tmpfs none /run && ${prepare} && exec "$@"`, "sh"];
  const nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
  const { stdout, stderr } = Bun.spawnSync([...hidden, ...nobody, process.execPath, "-e", script]);
  expect(stderr.toString()).toBe("");
  return stdout.toString().trim().split("\n");
}

test("a claim that cannot be written is a warning", () => {
  expect(claimAsNobody("mkdir /run/claims && touch /run/claims/other")).toEqual([
    'Cannot claim the ports in "/run/claims": EACCES: permission denied; another xcopy that uses them will not be refused',
    "Give the service this directory (systemd: RuntimeDirectory=xcopy).",
    "other",
  ]);
});

test("the claim of another user stays", () => {
  const theirs = "install -m 600 /dev/null /run/claims/ports-1.json";
  expect(claimAsNobody(`mkdir /run/claims && ${theirs} && chown 65534 /run/claims`)).toEqual([
    "ports-1.json",
  ]);
});
