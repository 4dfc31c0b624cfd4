/** Packets of every size: GRO on and off, other MTUs, paths narrower than the interface. Bodies arrive unharmed. */
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { join } from "node:path";
import type { Account } from "../../src/copy/account/account.ts";
import { ip, ONLINE, TARGET } from "../../src/demo/network.ts";
import { createFar, FAR, FAR6 } from "../support/far.ts";
import { createLab, type Lab } from "../support/lab.ts";
import { startNginx } from "../support/nginx.ts";
import { limitSpeed, sendWirePackets, setMerging } from "../support/offload.ts";
import { digestsOf } from "../support/served.ts";
import { faultsOf, startCopy } from "../support/xcopy.ts";

const COUNT = 100;
/** Bodies at a time, the next when these are at the target: together they fit into a ring, however busy the machine. */
const PART = 20;
const BYTES = 200_000;

let lab: Lab;
beforeAll(() => {
  lab = createLab();
});
afterEach(() => lab.stopAll());
afterAll(() => lab.remove());

/** Posts bodies to online, expects them at the target, and returns the account. */
async function copyBodies(on: Lab, target = TARGET, host = on.target, args: string[] = []): Promise<Account> {
  limitSpeed(on.client, "net0", 25e6);
  const online = await startNginx(on, on.online, 80);
  const other = await startNginx(on, host, 8080);
  const copy = await startCopy(on, ["-x", `80-${target}:8080`, "--drain", "30", ...args]);
  const command = [process.execPath, join(import.meta.dir, "../support/post.ts")];
  const posted: string[] = [];
  while (posted.length < COUNT) {
    const client = on.start(on.client, [...command, `http://${ONLINE}`, `${BYTES}`, `${PART}`, "8"]);
    expect(await client.exited).toBe(0);
    posted.push(...client.output);
    await copy.report("the responses", ({ turns }) => turns.answered === posted.length, 30_000);
  }
  const { code, report } = await copy.stop();

  posted.sort();
  expect(posted.length).toBe(COUNT);
  expect(await digestsOf(online)).toEqual(posted);
  expect(await digestsOf(other)).toEqual(posted);
  expect(report.turns).toMatchObject({ dropped: 0, pending: 0 });
  expect(faultsOf(copy.reports())).toEqual([]);
  expect(code).toBe(0);
  return report;
}

/** Bytes of an average captured packet; those without data stay in the kernel. */
function packetSize({ capture }: Account): number {
  return capture.bytes / capture.packets;
}

for (const merging of [false, true]) {
  test(`capture with GRO ${merging ? "on" : "off"}`, async () => {
    const own = createLab({ manyClients: false });
    try {
      sendWirePackets(own.client, "net0");
      setMerging(own.online, "front", merging);
      const report = await copyBodies(own);
      if (merging) expect(packetSize(report)).toBeGreaterThan(2000);
      else expect(packetSize(report)).toBeLessThan(1500);
    } finally {
      await own.stopAll();
      own.remove();
    }
  });
}

for (const [front, back] of [
  [9000, 9000],
  [1280, 1280],
  [9000, 1280],
  [1280, 9000],
] as const) {
  test(`MTU ${front} towards the client and ${back} towards the target`, async () => {
    const own = createLab({ manyClients: false });
    try {
      for (const [namespace, device, mtu] of [
        [own.client, "net0", front],
        [own.online, "front", front],
        [own.online, "back", back],
        [own.target, "net0", back],
      ] as const) {
        ip("-n", namespace, "link", "set", device, "mtu", `${mtu}`);
        sendWirePackets(namespace, device);
      }
      const report = await copyBodies(own);
      const full = packetSize(report) / front;
      expect(full).toBeGreaterThan(0.5);
      expect(full).toBeLessThanOrEqual(1);
    } finally {
      await own.stopAll();
      own.remove();
    }
  });
}

for (const { name, target, silent } of [
  { name: "that says so", target: FAR, silent: false },
  { name: "that says so (IPv6)", target: `[${FAR6}]`, silent: false },
  { name: "that drops silently", target: FAR, silent: true },
  { name: "that drops silently (IPv6)", target: `[${FAR6}]`, silent: true },
]) {
  test(`a path narrower than the interface, by a router ${name}`, async () => {
    const own = createLab({ manyClients: false });
    try {
      const far = createFar(own, 1300, silent);
      const report = await copyBodies(own, target, far.namespace);
      expect(far.refused()).toBeGreaterThan(0);
      expect(report.sent.retransmitted).toBeGreaterThan(0);
    } finally {
      await own.stopAll();
      own.remove();
    }
  });
}

test("an MTU that shrinks while bodies are sent", async () => {
  const own = createLab({ manyClients: false });
  try {
    const setMtu = (mtu: number) => {
      ip("-n", own.target, "link", "set", "net0", "mtu", `${mtu}`);
      ip("-n", own.online, "link", "set", "back", "mtu", `${mtu}`);
    };
    setMtu(9000);
    limitSpeed(own.client, "net0", 50e6);
    sendWirePackets(own.online, "back");
    const online = await startNginx(own, own.online, 80);
    const target = await startNginx(own, own.target, 8080);
    const copy = await startCopy(own, ["-x", `80-${TARGET}:8080`, "--drain", "30"]);
    const command = [process.execPath, join(import.meta.dir, "../support/post.ts")];
    const client = own.start(own.client, [...command, `http://${ONLINE}`, `${BYTES}`, "500", "8"]);
    await copy.report("100 answers", ({ turns }) => turns.answered >= 100);
    setMtu(1500);
    expect(await client.exited).toBe(0);
    const { code, report } = await copy.stop();

    const posted = client.output.toSorted();
    expect(posted.length).toBe(500);
    expect(await digestsOf(online)).toEqual(posted);
    expect(await digestsOf(target)).toEqual(posted);
    expect(report.turns).toMatchObject({ dropped: 0, pending: 0 });
    expect(report.sent.retransmitted).toBeGreaterThan(0);
    expect(code).toBe(0);
  } finally {
    await own.stopAll();
    own.remove();
  }
});
