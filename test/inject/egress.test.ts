/** The way to a target: route, interface, next hop. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { ip, type Network, TARGET, TARGET6 } from "../../src/demo/network.ts";
import { sameEgress } from "../../src/inject/egress.ts";
import type { EgressConfig } from "../../src/inject/path.ts";
import { bytesOf } from "./packets.ts";
import { createSettledNetwork } from "./settled-network.ts";
import { type Agent, startAgent } from "./start-agent.ts";

/** The sending host's addresses on the target's network. */
const OWN = "10.0.0.1";
const OWN6 = "fd00::1";

let network: Network;
let agent: Agent;

function macOf(namespace: string, name: string): Uint8Array {
  const text: string = JSON.parse(ip("-j", "-n", namespace, "link", "show", name))[0].address;
  return Uint8Array.from(text.split(":"), (digits) => Number.parseInt(digits, 16));
}

beforeAll(async () => {
  network = await createSettledNetwork();
  const routes = [
    "10.20.0.0/16 via 10.0.0.2",
    "10.22.0.0/16 via 10.0.0.2 mtu 1300",
    "10.24.0.0/16 via 10.0.0.98",
    "10.25.0.0/16 via inet6 fd00::2 dev back",
    "blackhole 10.30.0.0/16",
    "unreachable 10.31.0.0/16",
    "prohibit 10.32.0.0/16",
    "fd24::/16 via fd00::98",
  ];
  for (const route of routes) ip("-n", network.online, "route", "add", ...route.split(" "));
  ip("-n", network.online, "tuntap", "add", "tun0", "mode", "tun");
  ip("-n", network.online, "addr", "add", "10.40.0.1/24", "dev", "tun0");
  ip("-n", network.online, "addr", "add", "fd40::1/64", "dev", "tun0", "nodad");
  ip("-n", network.online, "link", "set", "tun0", "mtu", "1280", "up");
  agent = startAgent(network.online);
});

afterAll(async () => {
  await agent?.stop();
  network?.remove();
});

describe("resolveEgress", () => {
  test("over the interface that the user named, regardless of the route", async () => {
    const found = (await agent.call("links")).filter((link) => ["front", "back"].includes(link.name));
    const [front, back] = ["front", "back"].map((name) => found.find((link) => link.name === name)!);
    const over = (ifindex: number) =>
      agent.call("resolveEgress", bytesOf(TARGET), 4, 0, false, { over: ifindex });
    expect((await over(back!.ifindex)).egress).toMatchObject({
      interface: "back",
      isBound: true,
      nextHop: bytesOf(TARGET),
    });
    const other = await over(front!.ifindex);
    expect(other.egress).toMatchObject({ interface: "front", isBound: true, sourceMac: front!.mac });
    expect(other.source).not.toEqual(bytesOf(OWN));
  });

  test("with MAC addresses that the user gave, without resolving", async () => {
    const nextHopMac = Uint8Array.of(2, 0, 0, 0, 0, 0x55);
    const sourceMac = Uint8Array.of(2, 0, 0, 0, 0, 0x66);
    // Nobody has this address: without the MAC address it takes 1.5 s to fail.
    const found = await agent.call("resolveEgress", bytesOf("10.0.0.99"), 4, 0, true, {
      nextHopMac,
      sourceMac,
    });
    expect(found.egress).toMatchObject({ kind: "packet", nextHopMac, sourceMac, hasFixedMac: true });
    const raw = await agent.error("resolveEgress", bytesOf("10.40.0.9"), 4, 0, true, { nextHopMac });
    expect(raw).toMatchObject({
      message: 'Cannot send to target "10.40.0.9" with a MAC address: "tun0" has no Ethernet header',
      exitCode: 2,
    });
  });

  test("by packet or raw socket, as the user chose", async () => {
    const inject = (target: string, how: "packet" | "raw") =>
      agent.call("resolveEgress", bytesOf(target), 4, 0, false, { inject: how });
    expect((await inject(TARGET, "packet")).egress).toMatchObject({ kind: "packet" });
    const { egress } = await inject(TARGET, "raw");
    expect(egress).toMatchObject({ kind: "raw", interface: "back", nextHopMac: new Uint8Array(0) });
    expect((await inject("10.40.0.9", "packet")).egress).toMatchObject({ kind: "cooked", interface: "tun0" });
    expect((await inject("10.40.0.9", "raw")).egress).toMatchObject({ kind: "raw", interface: "tun0" });
    const error = await agent.error("resolveEgress", bytesOf("127.0.0.1"), 4, 0, false, { inject: "packet" });
    expect(error).toMatchObject({
      message: 'Cannot send to target "127.0.0.1" by --inject packet: "lo" has no Ethernet header',
      exitCode: 5,
    });
  });

  test.each([
    [4, TARGET, TARGET, OWN, 1500],
    [6, TARGET6, TARGET6, OWN6, 1500],
    [4, "10.20.0.1", TARGET, OWN, 1500],
    [4, "10.22.0.1", TARGET, OWN, 1300],
    [4, "10.25.0.1", TARGET6, OWN, 1500],
  ] as const)("IPv%d, Ethernet: %s via %s", async (family, target, nextHop, source, mtu) => {
    const found = await agent.call("resolveEgress", bytesOf(target), family);
    const { ifindex } = (await agent.call("links")).find((link) => link.name === "back")!;
    const egress: EgressConfig = {
      kind: "packet",
      interface: "back",
      ifindex,
      family,
      nextHop: bytesOf(nextHop),
      sourceMac: macOf(network.online, "back"),
      nextHopMac: macOf(network.target, "net0"),
      mtu,
    };
    expect(found).toEqual({ egress, source: bytesOf(source) });
  });

  test.each([
    [4, "127.0.0.1", "lo", "127.0.0.1", 65535],
    [4, OWN, "lo", OWN, 65535],
    [6, "::1", "lo", "::1", 65535],
    [6, OWN6, "lo", OWN6, 65535],
    [4, "10.40.0.9", "tun0", "10.40.0.1", 1280],
    [6, "fd40::9", "tun0", "fd40::1", 1280],
  ] as const)("IPv%d, no Ethernet: %s through %s", async (family, target, name, source, mtu) => {
    const found = await agent.call("resolveEgress", bytesOf(target), family);
    const kind = name === "tun0" ? "cooked" : "raw";
    expect(found.egress).toMatchObject({ kind, interface: name, family, mtu });
    expect([found.egress.sourceMac.length, found.egress.nextHopMac.length]).toEqual([0, 0]);
    expect(found.source).toEqual(bytesOf(source));
  });

  test.each([
    ["198.51.100.9", "no route", "ip route get 198.51.100.9"],
    ["2001:db8::9", "no route", "ip route get 2001:db8::9"],
    ["10.30.0.1", "its route is of type blackhole", "ip route get"],
    ["10.31.0.1", "its route is of type unreachable", "ip route get"],
    ["10.32.0.1", "its route is of type prohibit", "ip route get"],
    ["10.0.0.255", "it is a broadcast address", "one host"],
    ["224.0.0.5", "no route", "ip route get"],
    ["10.0.0.99", "10.0.0.99 on back does not answer ARP", "the target is up"],
    ["fd00::99", "fd00::99 on back does not answer neighbour discovery", "the target is up"],
    ["10.24.0.1", "10.0.0.98 on back does not answer ARP", "the gateway is up"],
    ["fd24::1", "fd00::98 on back does not answer neighbour discovery", "the gateway is up"],
  ])("%s: %s", async (target, cause, fix) => {
    const bytes = bytesOf(target);
    const error = await agent.error("resolveEgress", bytes, bytes.length === 4 ? 4 : 6);
    expect(error.message).toBe(`Cannot reach target "${target}": ${cause}`);
    expect(error.fix).toContain(fix);
    expect(error.exitCode).toBe(3);
  });

  test("without waiting it returns the way and does not change the neighbour table", async () => {
    const silent = bytesOf("10.0.0.96");
    const { egress } = await agent.call("resolveEgress", silent, 4, 0, false);
    expect(egress).toMatchObject({ kind: "packet", interface: "back", nextHop: silent });
    expect(egress.nextHopMac.length).toBe(0);
    expect(await agent.call("neighbour", egress.ifindex, silent)).toBeNull();
    await agent.call("resolveEgress", bytesOf(TARGET), 4);
    const known = await agent.call("resolveEgress", bytesOf(TARGET), 4, 0, false);
    expect(known.egress.nextHopMac).toEqual(macOf(network.target, "net0"));
  });

  test("does not block the event loop while a next hop does not answer", async () => {
    const silent = agent.error("resolveEgress", bytesOf("10.0.0.97"), 4);
    const order: string[] = [];
    await Promise.all([
      silent.then(() => order.push("silent")),
      agent.call("resolveEgress", bytesOf(TARGET), 4).then(() => order.push("other")),
    ]);
    expect(order).toEqual(["other", "silent"]);
  });
});

test("sameEgress: one injector for the same interface and next hop", async () => {
  const egressTo = async (target: string, family: 4 | 6) =>
    (await agent.call("resolveEgress", bytesOf(target), family)).egress;
  const direct = await egressTo(TARGET, 4);
  expect(sameEgress(direct, await egressTo("10.20.0.1", 4))).toBe(true);
  expect(sameEgress(direct, await egressTo("10.22.0.1", 4))).toBe(false);
  expect(sameEgress(direct, await egressTo("10.25.0.1", 4))).toBe(false);
  expect(sameEgress(direct, await egressTo(TARGET6, 6))).toBe(false);
  const loopback = await egressTo("127.0.0.1", 4);
  expect(sameEgress(direct, loopback)).toBe(false);
  expect(sameEgress(loopback, await egressTo(OWN, 4))).toBe(true);
});

test("createInjector without privileges: exit code 4 and how to get them", () => {
  const code = `
    import { createInjector } from "${import.meta.dir}/../../src/inject/create.ts";
    import { PacketBatch } from "${import.meta.dir}/../../src/wire/batch.ts";
    const mac = new Uint8Array(6);
    for (const kind of ["packet", "raw"]) {
      try {
        createInjector({ kind, interface: "lo", ifindex: 1, family: 4, nextHop: new Uint8Array(4),
                         sourceMac: mac, nextHopMac: mac, mtu: 1500 }, new PacketBatch(), 1);
      } catch (error) {
        console.log([error.exitCode, error.message, error.fix].join(" | "));
      }
    }`;
  const command = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", process.execPath, "-e", code];
  const done = Bun.spawnSync(command);
  const fix = "Run as root, or with the capabilities CAP_NET_RAW and CAP_NET_ADMIN.";
  expect(done.stdout.toString().trim().split("\n")).toEqual([
    `4 | Cannot send packets on "lo": operation not permitted | ${fix}`,
    `4 | Cannot send IPv4 packets: operation not permitted | ${fix}`,
  ]);
});
