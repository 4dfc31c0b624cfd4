/** An assistant: what the filter chooses is dropped, while the intercept runs and for the time to linger after it. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { join } from "node:path";
import { endLingeringGuards } from "../../src/host/guard.ts";
import { removeLeftovers } from "../../src/host/leftovers.ts";
import { build, type Frame } from "../bpf/build.ts";
import { HOST_MAC, Link } from "../capture/link.ts";
import { type Running, start } from "../support/process.ts";
import { until } from "../support/until.ts";
import { packetOf } from "./forged.ts";

/** This host has no such connection: its TCP answers with a reset, unless the packet is swallowed. */
const ANSWER: Frame = {
  destinationMac: HOST_MAC,
  source: "10.0.0.1",
  sourcePort: 8080,
  destinationPort: 40000,
};
const OTHER: Frame = { ...ANSWER, sourcePort: 8081 };

let link: Link;
let child: Running;

beforeEach(() => {
  link = new Link();
  link.client.ip("link", "set", "xca", "mtu", "1500");
});

afterEach(async () => {
  await child?.stop("SIGKILL");
  link.host.enter(() => [endLingeringGuards(), removeLeftovers()]);
  link.remove();
});

async function startChild(hook: string, linger: number): Promise<void> {
  const command = [join(import.meta.dir, "child.ts"), hook, "assistant", `${linger}`, `${link.ifindex}`];
  child = start(link.host.name, [process.execPath, ...command]);
  await child.line(/^attached/);
}

/** A number that this host's network stack counts. */
function counted(protocol: "Tcp" | "Udp", name: string): number {
  const [names, values] = link.host
    .run("cat", "/proc/net/snmp")
    .split("\n")
    .filter((line) => line.startsWith(`${protocol}:`))
    .map((line) => line.split(" "));
  return Number(values![names!.indexOf(name)]);
}

/** A UDP datagram of 20 bytes to a closed port. */
const LAST: Frame = { ...OTHER, protocol: 17, seq: 20 << 16 };

/** How many of these packets this host's TCP saw. */
async function seen(...frames: Frame[]): Promise<number> {
  const [resets, datagrams] = [counted("Tcp", "OutRsts"), counted("Udp", "NoPorts")];
  for (const frame of frames) {
    const { bytes } = build(frame);
    bytes.set(packetOf(frame), 14);
    link.send(bytes);
  }
  link.send(build(LAST).bytes);
  // Packets come in order.
  await until("the last packet", () => counted("Udp", "NoPorts") > datagrams);
  return counted("Tcp", "OutRsts") - resets;
}

test.each(["tcx", "clsact", "xdp"])("%s: the filter decides, also after kill -9", async (hook) => {
  await startChild(hook, 60);
  expect(await seen(ANSWER, OTHER, ANSWER)).toBe(1);
  await child.stop("SIGKILL");
  expect(await seen(ANSWER, OTHER, ANSWER)).toBe(1);
  link.host.enter(() => [endLingeringGuards(), removeLeftovers()]);
  await until("the programs to be off", async () => (await seen(ANSWER)) === 1);
});

test("an orderly end lingers if anything was caught", async () => {
  await startChild("tcx", 60);
  expect(await seen(ANSWER)).toBe(0);
  await child.stop("SIGTERM");
  expect(child.output.at(-1)).toBe("lingers");
  expect(await seen(ANSWER)).toBe(0);
});

test("an orderly end leaves nothing if nothing was caught", async () => {
  await startChild("tcx", 60);
  expect(await seen(OTHER)).toBe(1);
  await child.stop("SIGTERM");
  expect(child.output.at(-1)).toBe("gone");
  await until("the programs to be off", async () => (await seen(ANSWER)) === 1);
});
