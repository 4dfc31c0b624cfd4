/** XDP on an assistant: native where the driver can, one program per interface. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { join } from "node:path";
import { endLingeringGuards, readGuards } from "../../src/host/guard.ts";
import { Failure } from "../../src/native/failure.ts";
import { build, type Frame } from "../bpf/build.ts";
import type { Captured } from "../bpf/capture.ts";
import { HOST_MAC, Link } from "../capture/link.ts";
import { start } from "../support/process.ts";
import { until } from "../support/until.ts";
import { loadForTest, type TestIntercept } from "./load.ts";

const ANSWER: Frame = {
  destinationMac: HOST_MAC,
  source: "10.0.0.9",
  destination: "203.0.113.7",
  sourcePort: 8080,
  destinationPort: 40000,
  payload: 900,
};

let link: Link;
let intercept: TestIntercept;

beforeEach(() => {
  link = new Link();
  // The driver refuses XDP where the other end sends larger packets than fit into a page.
  link.client.ip("link", "set", "xca", "mtu", "1500");
  intercept = loadForTest({ mode: "assistant", services: [], hook: "xdp" });
});

afterEach(() => {
  intercept.kernel.detach();
  link.host.enter(endLingeringGuards);
  link.remove();
});

function attach(...names: string[]) {
  return link.host.enter(() => intercept.kernel.attach(names.map((name) => link.host.ifindex(name))));
}

function xdpOf(name: string): string {
  return /prog\/xdp|xdpgeneric|xdp(?=\/| )/.exec(link.host.run("ip", "link", "show", name))?.[0] ?? "";
}

async function record(): Promise<Captured> {
  const records: Captured[] = [];
  intercept.beat();
  link.send(build(ANSWER).bytes);
  await until("the record", () => records.push(...intercept.take()) && records.length > 0);
  return records[0]!;
}

test("swallows what comes in, native where the driver can, else generic", async () => {
  expect(attach(link.interface, "lo")).toEqual(["native", "generic"]);
  expect(intercept.kernel.hook).toBe("xdp");
  expect(await record()).toMatchObject({ index: 0xffffffff, length: 900, tcp: 20 });
  intercept.kernel.detach();
  await until("the programs to be off", () => xdpOf(link.interface) === "" && xdpOf("lo") === "");
});

test("takes the generic way where the driver refuses", async () => {
  link.client.ip("link", "set", "xca", "mtu", "9000");
  expect(attach(link.interface)).toEqual(["generic"]);
  expect(await record()).toMatchObject({ index: 0xffffffff, length: 900 });
});

test("in the driver or not at all", async () => {
  intercept.kernel.detach();
  intercept = loadForTest({ mode: "assistant", services: [], hook: "xdp-native" });
  expect(() => attach(link.interface, "lo")).toThrow(Failure);
  intercept.kernel.detach();
  await until("nothing to be attached", () => xdpOf(link.interface) === "" && xdpOf("lo") === "");
  intercept = loadForTest({ mode: "assistant", services: [], hook: "xdp-native" });
  expect(attach(link.interface)).toEqual(["native"]);
  expect(await record()).toMatchObject({ length: 900 });
});

test("leaves the program of somebody else alone", () => {
  const other = loadForTest({ mode: "assistant", services: [], hook: "xdp" });
  link.host.enter(() => other.kernel.attach([link.ifindex]));
  let failure: unknown;
  try {
    attach(link.interface);
  } catch (error) {
    failure = error;
  }
  other.kernel.detach();
  expect(failure).toBeInstanceOf(Failure);
  expect(failure).toMatchObject({
    message: 'Cannot attach to interface "xcb" by XDP: another program is attached',
    exitCode: 3,
  });
});

test("replaces a guard that lingers", async () => {
  const command = [join(import.meta.dir, "child.ts"), "xdp", "assistant", "60", `${link.ifindex}`];
  const child = start(link.host.name, [process.execPath, ...command]);
  await child.line(/^attached/);
  await child.stop("SIGKILL");
  expect(link.host.enter(readGuards)).toHaveLength(1);
  expect(attach(link.interface)).toEqual(["native"]);
  expect(link.host.enter(readGuards)).toEqual([]);
  expect(await record()).toMatchObject({ length: 900 });
});

test("cannot be used on the target", () => {
  expect(() => loadForTest({ hook: "xdp" })).toThrow('Cannot use --hook "xdp" on the target');
});
