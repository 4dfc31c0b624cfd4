/** A wrong command line is an error that names value and fix, with its exit code, and nothing is touched. */
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { TARGET } from "../../src/demo/network.ts";
import { createLab, type Lab } from "../support/lab.ts";
import { startNginx } from "../support/nginx.ts";
import { hostState, runXcopy, startCopy } from "../support/xcopy.ts";

let lab: Lab;
beforeAll(() => {
  lab = createLab({ manyClients: false });
});
afterEach(() => lab.stopAll());
afterAll(() => lab.remove());

const GOOD = ["copy", "-x", `80-${TARGET}:8080`];

for (const { name, args, code, says } of [
  { name: "no such command", args: ["cpoy"], code: 2, says: ['"cpoy"', '"copy"'] },
  { name: "an unknown option", args: [...GOOD, "--jsno"], code: 2, says: ['"--jsno"', '"--json"'] },
  { name: "no -x", args: ["copy"], code: 2, says: ["-x", "80-10.0.0.2:8080"] },
  { name: "a bad address", args: ["copy", "-x", "80-10.0.0.256"], code: 2, says: ['"10.0.0.256"'] },
  { name: "a bad port", args: ["copy", "-x", "80-10.0.0.2:99999"], code: 2, says: ['"99999"'] },
  { name: "a bad number", args: [...GOOD, "-m", "lots"], code: 2, says: ['"lots"', "-m"] },
  { name: "an unknown interface", args: [...GOOD, "-i", "eth9"], code: 2, says: ['"eth9"', "front"] },
  {
    name: "a name that does not resolve",
    args: ["copy", "-x", "80-nobody.invalid"],
    code: 2,
    says: ["nobody.invalid"],
  },
  {
    name: "the online service as target",
    args: ["copy", "-x", "80-10.1.0.1:80"],
    code: 2,
    says: ["10.1.0.1:80"],
  },
  {
    name: "the online service as target, by lo",
    args: ["copy", "-x", "80-127.0.0.1"],
    code: 2,
    says: ["127.0.0.1:80"],
  },
  {
    name: "a target without a route",
    args: ["copy", "-x", "80-192.0.2.1"],
    code: 3,
    says: ["192.0.2.1", "route"],
  },
]) {
  test(`${name}: exit ${code}, value and fix named, nothing touched`, async () => {
    const before = hostState(lab.online);
    const result = await runXcopy(lab, args);
    expect(result.errors).toMatch(/^(error: )?Cannot .+\n.+/);
    expect(result.errors).not.toContain("This is a bug");
    for (const text of says) expect(result.errors).toContain(text);
    expect(result.output).toBe("");
    expect(result.code).toBe(code);
    expect(hostState(lab.online)).toBe(before);
  });
}

test("no privileges: exit 4, the missing capabilities named", async () => {
  const before = hostState(lab.online);
  const nobody = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"];
  const result = await runXcopy(lab, GOOD, nobody);
  expect(result.errors).toContain("CAP_NET_ADMIN");
  expect(result.errors).toContain("sudo");
  expect(result.code).toBe(4);
  expect(hostState(lab.online)).toBe(before);
});

test("a second xcopy with the same ports to the same target: exit 3, the first goes on", async () => {
  await startNginx(lab, lab.target, 8080);
  const first = await startCopy(lab, GOOD.slice(1));
  const second = await runXcopy(lab, GOOD);
  expect(second.errors).toContain(`${first.running.pid}`);
  expect(second.code).toBe(3);
  expect((await first.stop()).code).toBe(0);
});

test("--dry-run says what would be done and touches nothing", async () => {
  const before = hostState(lab.online);
  const result = await runXcopy(lab, [...GOOD, "--dry-run"]);
  expect(result.output).toContain(`${TARGET}:8080`);
  expect(result.output).toContain("front");
  expect(result.code).toBe(0);
  expect(hostState(lab.online)).toBe(before);
});
