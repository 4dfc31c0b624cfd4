/** `xcopy demo`, end to end. */
import { afterEach, expect, test } from "bun:test";
import { existsSync, readdirSync } from "node:fs";
import { XCOPY } from "../support/xcopy.ts";

function networksOf(pid: number): string[] {
  return existsSync("/run/netns")
    ? readdirSync("/run/netns").filter((name) => name.startsWith(`xc${pid}-`))
    : [];
}

let demo: Bun.Subprocess<"ignore", "pipe", "pipe">;
function startDemo(env: Record<string, string> = {}): void {
  demo = Bun.spawn([XCOPY, "demo"], {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    env: { ...process.env, ...env },
  });
}
afterEach(async () => {
  demo.kill();
  await demo.exited;
});

test("the demo copies every request exactly once, ends by itself and leaves nothing", async () => {
  startDemo();
  const [output, errors, code] = await Promise.all([demo.stdout.text(), demo.stderr.text(), demo.exited]);
  expect(errors).toBe("");
  expect(output).toMatch(/client +.* sent +16,000 /);
  expect(output).toMatch(/online +.* served +16,000 /);
  expect(output).toMatch(/target +.* served +16,000 /);
  expect(output).toContain("Each of the 16,000 requests reached the target exactly once");
  expect(code).toBe(0);
  expect(networksOf(demo.pid)).toEqual([]);
});

test("the demo leaves nothing when it is interrupted", async () => {
  startDemo();
  for await (const chunk of demo.stdout) if (new TextDecoder().decode(chunk).includes("target served")) break;
  expect(networksOf(demo.pid).length).toBe(3);
  const children = Bun.spawnSync(["pgrep", "-P", `${demo.pid}`])
    .stdout.toString()
    .trim()
    .split("\n");
  expect(children.length).toBe(4);
  demo.kill("SIGINT");
  expect(await demo.exited).toBe(130);
  expect(await demo.stderr.text()).toBe("");
  for (const pid of children) expect(existsSync(`/proc/${pid}`)).toBe(false);
  for (const pid of children) expect(existsSync(`/run/xcopy/ports-${pid}.json`)).toBe(false);
  expect(networksOf(demo.pid)).toEqual([]);
});

test("without an ip command the demo ends with an error that says so", async () => {
  startDemo({ PATH: "/nowhere" });
  const errors = await demo.stderr.text();
  expect(errors).toMatch(/^Cannot make network namespaces: no command "ip" in PATH\n.*iproute2/);
  expect(await demo.exited).toBe(3);
});
