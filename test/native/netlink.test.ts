/** What is read over netlink must be what iproute2 prints, and what it changes must be told. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { formatAddress } from "../../src/config/address.ts";
import { addAddress, createNetwork, ip, type Network, TARGET, TARGET6 } from "../../src/demo/network.ts";
import { EACCES, EHOSTUNREACH, EINVAL, ENETUNREACH } from "../../src/native/libc.ts";
import { NUD_VALID } from "../../src/native/netlink/netlink.ts";
import type { Notification } from "../../src/native/netlink/notifications.ts";
import { bytesOf } from "../inject/packets.ts";
import { createSettledNetwork } from "../inject/settled-network.ts";
import { type Agent, startAgent } from "../inject/start-agent.ts";
import { run } from "../support/process.ts";
import { until } from "../support/until.ts";

let network: Network;
let agent: Agent;

/** The JSON output of `ip` in the agent's namespace. */
function ipJson(...args: string[]) {
  return JSON.parse(ip("-j", "-d", "-n", network.online, ...args));
}

function macText(mac: Uint8Array): string {
  return [...mac].map((byte) => byte.toString(16).padStart(2, "0")).join(":");
}

beforeAll(async () => {
  network = await createSettledNetwork();
  ip("-n", network.online, "link", "set", "front", "mtu", "1400");
  addAddress(network.online, "back", "10.0.0.50/24");
  const routes = [
    "10.20.0.0/16 via 10.0.0.2",
    "10.21.0.0/16 via 10.0.0.2 src 10.0.0.50",
    "10.22.0.0/16 via 10.0.0.2 mtu 1300",
    "10.23.0.0/16 dev back",
    "10.24.0.0/16 via inet6 fd00::2 dev back",
    "blackhole 10.30.0.0/16",
    "unreachable 10.31.0.0/16",
    "prohibit 10.32.0.0/16",
    "10.20.0.0/16 via 10.1.0.2 table 7",
    "fd20::/16 via fd00::2",
    "fd21::/16 via fd00::2 mtu 1300",
    "blackhole fd30::/16",
    "unreachable fd31::/16",
  ];
  for (const route of routes) ip("-n", network.online, "route", "add", ...route.split(" "));
  ip("-n", network.online, "rule", "add", "fwmark", "7", "table", "7");
  ip("-n", network.online, "neigh", "add", "10.0.0.60", "lladdr", "02:00:00:00:00:60", "dev", "back");
  agent = startAgent(network.online);
});

afterAll(async () => {
  await agent?.stop();
  network?.remove();
});

test("links: index, name, MTU, flags, hardware type, MAC and kind", async () => {
  ip("-n", network.online, "link", "add", "down0", "mtu", "900", "type", "veth", "peer", "down1");
  ip("-n", network.online, "link", "set", "down0", "gro_max_size", "150000");
  const types: Record<string, number> = { loopback: 772, ether: 1 };
  const expected = ipJson("link").filter((link: { link_type: string }) => link.link_type in types);
  expect(expected.length).toBe(5);
  const found = await agent.call("links");
  for (const link of expected) {
    expect(found.find(({ ifindex }) => ifindex === link.ifindex)).toEqual({
      ifindex: link.ifindex,
      name: link.ifname,
      mtu: link.mtu,
      up: link.flags.includes("UP"),
      loopback: link.flags.includes("LOOPBACK"),
      pointToPoint: link.flags.includes("POINTOPOINT"),
      hardwareType: types[link.link_type]!,
      mac: Uint8Array.from(link.address.split(":"), (digits: string) => Number.parseInt(digits, 16)),
      kind: link.linkinfo?.info_kind ?? "",
      largest: link.ifname === "down0" ? 150_000 : 65_536,
    });
  }
});

test("links: a table that does not fit one message is read completely", async () => {
  const own = createNetwork();
  const other = startAgent(own.target);
  try {
    const commands = Array.from({ length: 100 }, (_, i) => `link add many${i} type veth peer name peer${i}`);
    const batch = Bun.spawnSync(["ip", "-n", own.target, "-batch", "-"], {
      stdin: Buffer.from(commands.join("\n") + "\n"),
    });
    expect(batch.exitCode).toBe(0);
    const names = (await other.call("links")).map((link) => link.name);
    const expected = JSON.parse(ip("-j", "-n", own.target, "link")) as { ifname: string }[];
    expect(expected.length).toBeGreaterThan(200);
    expect(names).toEqual(expected.map((link) => link.ifname));
  } finally {
    await other.stop();
    own.remove();
  }
});

test("localAddresses: interface, family, bytes and scope", async () => {
  const scopes: Record<string, number> = { global: 0, link: 253, host: 254 };
  const expected = ipJson("addr").flatMap((link: { ifindex: number; addr_info: Record<string, string>[] }) =>
    link.addr_info.map((one) => `${link.ifindex} ${one.local} ${scopes[one.scope!]}`),
  );
  expect(expected.length).toBeGreaterThan(8);
  const found = (await agent.call("localAddresses")).map((one) => {
    expect(one.bytes.length).toBe(one.family === 4 ? 4 : 16);
    return `${one.ifindex} ${formatAddress(one.bytes)} ${one.scope}`;
  });
  expect(found.sort()).toEqual(expected.sort());
});

describe("route", () => {
  test.each([
    ["on the link", TARGET],
    ["a device route", "10.23.0.1"],
    ["with a gateway", "10.20.0.1"],
    ["with a preferred source", "10.21.0.1"],
    ["with an MTU", "10.22.0.1"],
    ["of IPv4 via an IPv6 gateway", "10.24.0.1"],
    ["to an address of this host", "10.0.0.1"],
    ["to loopback", "127.0.0.1"],
    ["IPv6 on the link", TARGET6],
    ["IPv6 with a gateway", "fd20::1"],
    ["IPv6 with an MTU", "fd21::1"],
    ["IPv6 loopback", "::1"],
    ["to a broadcast address", "10.0.0.255"],
  ])("%s", async (_, destination) => {
    const [expected] = ipJson("route", "get", destination);
    const found = await agent.call("route", bytesOf(destination));
    expect({
      type: found.type as string,
      device: (await agent.call("links")).find((link) => link.ifindex === found.ifindex)?.name,
      gateway: found.gateway && formatAddress(found.gateway),
      source: found.source && formatAddress(found.source),
      mtu: found.mtu,
    }).toEqual({
      type: expected.type,
      device: expected.dev,
      gateway: expected.gateway ?? expected.via?.host ?? null,
      source: expected.prefsrc,
      mtu: expected.metrics?.[0]?.mtu ?? 0,
    });
  });

  test("by mark", async () => {
    expect((await agent.call("route", bytesOf("10.20.0.1"), 7)).gateway).toEqual(bytesOf("10.1.0.2"));
    expect((await agent.call("route", bytesOf("10.20.0.1"), 8)).gateway).toEqual(bytesOf("10.0.0.2"));
  });

  test.each([
    ["198.51.100.1", ENETUNREACH],
    ["10.30.0.1", EINVAL],
    ["10.31.0.1", EHOSTUNREACH],
    ["10.32.0.1", EACCES],
    ["2001:db8::1", ENETUNREACH],
    ["fd30::1", EINVAL],
    ["fd31::1", EHOSTUNREACH],
  ])("to %s is errno %d", async (destination, code) => {
    expect((await agent.error("route", bytesOf(destination))).code).toBe(code);
    // The socket is good for the next question.
    expect((await agent.call("route", bytesOf(TARGET))).gateway).toBeNull();
  });

  test("an address of neither 4 nor 16 bytes is refused", async () => {
    const { message } = await agent.error("route", new Uint8Array(5));
    expect(message).toBe("Cannot use an address of 5 bytes: 4 (IPv4) or 16 (IPv6) are needed");
  });
});

describe("neighbours", () => {
  async function back(): Promise<number> {
    return (await agent.call("links")).find((link) => link.name === "back")!.ifindex;
  }

  test("a permanent entry", async () => {
    const entry = await agent.call("neighbour", await back(), bytesOf("10.0.0.60"));
    expect(macText(entry!.mac)).toBe("02:00:00:00:00:60");
    expect(entry!.state & NUD_VALID).not.toBe(0);
  });

  test.each([TARGET, TARGET6])(
    "%s is unknown until it is used, then resolved by the kernel",
    async (target) => {
      const ifindex = await back();
      expect(await agent.call("neighbour", ifindex, bytesOf(target))).toBeNull();
      await agent.call("useNeighbour", ifindex, bytesOf(target));
      const mac = await until(`${target} resolved`, async () => {
        const entry = await agent.call("neighbour", ifindex, bytesOf(target));
        return entry && entry.state & NUD_VALID ? macText(entry.mac) : null;
      });
      expect(mac).toBe(JSON.parse(ip("-j", "-n", network.target, "link", "show", "net0"))[0].address);
    },
  );

  test("a neighbour that does not answer has no MAC address", async () => {
    const ifindex = await back();
    const silent = bytesOf("10.0.0.99");
    run(network.online, "sysctl", "-qw", "net.ipv4.neigh.back.retrans_time_ms=20");
    await agent.call("useNeighbour", ifindex, silent);
    const entry = await agent.call("neighbour", ifindex, silent);
    expect(entry!.state & NUD_VALID).toBe(0);
    expect(entry!.mac.length).toBe(0);
    const failed = await until("the kernel gives up", async () => {
      const now = await agent.call("neighbour", ifindex, silent);
      return now === null || now.state === 0x20;
    });
    expect(failed).toBe(true);
  });

  test("an interface that does not exist is an error", async () => {
    expect((await agent.error("useNeighbour", 4242, bytesOf(TARGET))).message).toStartWith(
      "Cannot use a neighbour over netlink: ",
    );
  });
});

describe("notifications", () => {
  /** Those of the event loop, once there is one that `isLast`, and those that a loop of its own reads. */
  async function told(isLast: (one: Notification) => boolean): Promise<Notification[][]> {
    const followed: Notification[] = [];
    await until("the kernel tells", async () => {
      followed.push(...(await agent.call("followed")));
      return followed.some(isLast);
    });
    return [followed, await agent.call("polled")];
  }

  const onlineIp = (...args: string[]) => ip("-n", network.online, ...args);

  test("of links that come, change and go, not of ports of a bridge", async () => {
    await agent.call("follow", ["links"]);
    onlineIp("link", "add", "told0", "mtu", "1200", "type", "veth", "peer", "told1");
    onlineIp("link", "add", "told2", "type", "bridge");
    onlineIp("link", "set", "told0", "master", "told2");
    onlineIp("link", "set", "told0", "nomaster");
    const [, before] = await told((one) => one.kind === "link" && one.link.name === "told0");
    expect(before!.filter((one) => one.kind === "link" && one.isGone)).toEqual([]);
    onlineIp("link", "set", "told0", "up", "mtu", "1100");
    onlineIp("link", "del", "told0");
    const isGone = (one: Notification) => one.kind === "link" && one.isGone && one.link.name === "told0";
    for (const all of await told(isGone)) {
      const own = all.filter((one) => one.kind === "link" && one.link.name === "told0");
      expect(own).toContainEqual(
        expect.objectContaining({ isGone: false, link: expect.objectContaining({ up: true, mtu: 1100 }) }),
      );
      expect(own.filter(isGone).length).toBe(1);
    }
    onlineIp("link", "del", "told2");
  });

  test.each(["10.9.9.9/24", "fd99::9/64"])("of the address %s that comes and goes", async (address) => {
    await agent.call("follow", ["addresses"]);
    onlineIp("addr", "add", address, "dev", "back");
    onlineIp("addr", "del", address, "dev", "back");
    const text = address.replace(/\/.*/, "");
    const isIt = (one: Notification) => one.kind === "address" && formatAddress(one.address.bytes) === text;
    for (const all of await told((one) => isIt(one) && one.kind === "address" && one.isGone)) {
      const gone = all.filter(isIt).map((one) => one.kind === "address" && one.isGone);
      expect(gone.slice(0, 1)).toEqual([false]);
      expect(gone.at(-1)).toBe(true);
    }
  });

  test.each([
    ["a route", ["route", "add", "10.40.0.0/16", "via", "10.0.0.2"]],
    ["an IPv6 route", ["route", "add", "fd40::/16", "via", "fd00::2"]],
    ["a rule", ["rule", "add", "fwmark", "40", "table", "7"]],
    ["an IPv6 rule", ["-6", "rule", "add", "fwmark", "40", "table", "7"]],
    ["a next hop", ["nexthop", "add", "id", "40", "via", "10.0.0.2", "dev", "back"]],
  ])("of %s", async (_, change) => {
    await agent.call("follow", ["routes"]);
    onlineIp(...change);
    for (const all of await told(({ kind }) => kind === "route")) expect(all).toEqual([{ kind: "route" }]);
  });

  test("of a neighbour that gets another MAC address", async () => {
    await agent.call("follow", ["neighbours"]);
    const set = (mac: string) =>
      onlineIp("neigh", "replace", "10.0.0.61", "lladdr", mac, "dev", "back", "nud", "reachable");
    set("02:00:00:00:00:61");
    set("02:00:00:00:00:62");
    const macs = (all: Notification[]) =>
      all.flatMap((one) =>
        one.kind === "neighbour" && formatAddress(one.neighbour.bytes) === "10.0.0.61"
          ? [macText(one.neighbour.mac)]
          : [],
      );
    for (const all of await told((one) => macs([one])[0] === "02:00:00:00:00:62"))
      expect(macs(all)).toEqual(["02:00:00:00:00:61", "02:00:00:00:00:62"]);
  });

  test("that some were lost, and goes on", async () => {
    await agent.call("follow", ["addresses"], 2048);
    const blocked = agent.call("block", 500);
    const batch = Array.from({ length: 200 }, (_, i) => `addr add 10.50.0.${i + 1}/32 dev back`).join("\n");
    Bun.spawnSync(["ip", "-n", network.online, "-batch", "-"], { stdin: Buffer.from(batch) });
    await blocked;
    for (const all of await told(({ kind }) => kind === "lost"))
      expect(all.filter(({ kind }) => kind === "lost").length).toBe(1);
    onlineIp("addr", "add", "10.51.0.1/32", "dev", "back");
    const isIt = (one: Notification) =>
      one.kind === "address" && formatAddress(one.address.bytes) === "10.51.0.1";
    for (const all of await told(isIt)) expect(all.some(isIt)).toBe(true);
  });
});

describe("what is for this host", () => {
  const onlineIp = (...args: string[]) => ip("-n", network.online, ...args);
  const local = async () =>
    (await agent.call("local")).map(({ bytes, bits }) => `${formatAddress(bytes)}/${bits}`);
  beforeAll(() => agent.call("followLocal"));

  test("all addresses, their broadcast addresses, and no other", async () => {
    const found = await local();
    for (const address of ["10.0.0.50/32", "10.0.0.255/32", "127.0.0.0/8", "::1/128", "255.255.255.255/32"])
      expect(found).toContain(address);
    expect(found.filter((one) => /^10\.0\.0\.(0|2)\/|^10\.(20|30)\.|^fd00::2\//.test(one))).toEqual([]);
  });

  test.each([
    ["10.71.1.9/32", "addr VERB 10.71.1.9/24 dev back"],
    ["fd71::9/128", "addr VERB fd71::9/64 dev back"],
    ["10.72.0.0/16", "route VERB local 10.72.0.0/16 dev lo"],
    ["10.73.0.7/32", "route VERB local 10.73.0.7 dev lo"],
    ["fd72::/32", "-6 route VERB local fd72::/32 dev lo"],
    ["fd73::7/128", "-6 route VERB anycast fd73::7 dev lo"],
  ])("%s comes and goes: ip %s", async (wanted, change) => {
    onlineIp(...change.replace("VERB", "add").split(" "));
    await until(`${wanted} is there`, async () => (await local()).includes(wanted));
    onlineIp(...change.replace("VERB", "del").split(" "));
    await until(`${wanted} is gone`, async () => !(await local()).includes(wanted));
  });

  test("a table that a rule leads to counts, but not where packets need a mark", async () => {
    const rules = [
      ["fwmark", "71", "table", "71"],
      ["from", "all", "table", "72"],
    ];
    onlineIp("route", "add", "local", "0.0.0.0/0", "dev", "lo", "table", "71");
    onlineIp("route", "add", "local", "10.74.0.0/16", "dev", "lo", "table", "72");
    for (const rule of rules) onlineIp("rule", "add", ...rule);
    await until("the table counts", async () => (await local()).includes("10.74.0.0/16"));
    expect(await local()).not.toContain("0.0.0.0/0");
    for (const rule of rules) onlineIp("rule", "del", ...rule);
    await until("the table counts no more", async () => !(await local()).includes("10.74.0.0/16"));
  });

  test("an address is gone with its interface", async () => {
    onlineIp("link", "add", "vip0", "type", "bridge");
    onlineIp("addr", "add", "10.75.0.1/32", "dev", "vip0");
    onlineIp("link", "set", "vip0", "up");
    await until("the address", async () => (await local()).includes("10.75.0.1/32"));
    onlineIp("link", "del", "vip0");
    await until("no address", async () => !(await local()).includes("10.75.0.1/32"));
  });
});
