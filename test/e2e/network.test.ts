/** Kinds of networks: IPv6, a bridge, tagged frames, one host for both, several services, addresses to send from, ways that change. */
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { join } from "node:path";
import { addAddress, ip, ONLINE, ONLINE6, TARGET, TARGET6 } from "../../src/demo/network.ts";
import { bridgeFront } from "../support/bridge.ts";
import { watchPackets } from "../support/capture.ts";
import { compareContents, EXACTLY_ONCE } from "../support/compare.ts";
import { createLab, type Lab } from "../support/lab.ts";
import { type Nginx, readRequests, startNginx } from "../support/nginx.ts";
import { run } from "../support/process.ts";
import { tagFrames } from "../support/tag.ts";
import { load, loadBothKinds } from "../support/wrk.ts";
import { faultsOf, startCopy } from "../support/xcopy.ts";

let lab: Lab;
beforeAll(() => {
  lab = createLab();
});
afterEach(() => lab.stopAll());
afterAll(() => lab.remove());

const PACED = join(import.meta.dir, "../support/paced.ts");

async function contents(server: Nginx): Promise<string[]> {
  return (await readRequests(server)).map(({ content }) => content);
}

interface Case {
  name: string;
  /** Arguments of `copy`. */
  args: string[];
  /** What the client asks. */
  url: string;
  /** Where the target and the client run: "online" for on the same host. */
  target?: "online";
  client?: "online";
  /** Requests at a time, the next when these are answered; all, if not given. */
  part?: number;
}

const CASES: Case[] = [
  { name: "IPv6", args: ["-x", `80-[${TARGET6}]:8080`], url: `http://[${ONLINE6}]` },
  { name: "IPv6 clients to an IPv4 target", args: ["-x", `80-${TARGET}:8080`], url: `http://[${ONLINE6}]` },
  { name: "IPv4 clients to an IPv6 target", args: ["-x", `80-[${TARGET6}]:8080`], url: `http://${ONLINE}` },
  {
    name: "a target on this host",
    args: ["-x", "80-127.0.0.1:8080"],
    url: `http://${ONLINE}`,
    target: "online",
  },
  {
    name: "a target on this host by IPv6",
    args: ["-x", "80-[::1]:8080"],
    url: `http://[${ONLINE6}]`,
    target: "online",
  },
  {
    name: "a client on this host",
    args: ["-x", `80-${TARGET}:8080`],
    url: "http://127.0.0.1",
    client: "online",
  },
  {
    name: "client and target on this host",
    args: ["-x", "80-127.0.0.1:8080"],
    url: `http://${ONLINE}`,
    target: "online",
    client: "online",
  },
  { name: "one interface", args: ["-x", `80-${TARGET}:8080`, "-i", "front"], url: `http://${ONLINE}` },
  { name: "one address", args: ["-x", `${ONLINE}:80-${TARGET}:8080`], url: `http://${ONLINE}` },
  { name: "a small MTU", args: ["-x", `80-${TARGET}:8080`, "-M", "600"], url: `http://${ONLINE}` },
  {
    name: "sent by raw sockets over a named interface",
    args: ["-x", `80-${TARGET}:8080`, "--inject", "raw", "-o", "back"],
    url: `http://${ONLINE}`,
  },
  {
    name: "capture by XDP, shared by two workers",
    args: ["-x", `80-${TARGET}:8080`, "--capture", "xdp", "--workers", "2"],
    url: `http://${ONLINE}`,
  },
  ...["clsact", "packet", "raw", "pcap", "xdp", "xdp-generic"].map((backEnd) => ({
    name: `capture by ${backEnd}`,
    args: ["-x", `80-${TARGET}:8080`, "--capture", backEnd],
    url: `http://${ONLINE}`,
    // libpcap's memory lasts a quarter of a second for a reader that gets no CPU, whatever is in it.
    ...(backEnd === "pcap" && { part: 100 }),
  })),
];

const COUNT = 1000;

for (const { name, args, url, target: targetHost = "target", client = "client", part = COUNT } of CASES) {
  test(`copies exactly once, keep-alive and short connections: ${name}`, async () => {
    const online = await startNginx(lab, lab.online, 80);
    const target = await startNginx(lab, lab[targetHost], 8080);
    const copy = await startCopy(lab, args);

    for (let done = part; done <= COUNT; done += part) {
      const result = await loadBothKinds(lab, { url, rate: 1500, count: part, namespace: lab[client] });
      expect(result).toEqual({ requests: part, errors: 0 });
      if (done < COUNT) await copy.report("the part's responses", ({ turns }) => turns.answered === done);
    }
    const { code, report } = await copy.stop();

    expect(compareContents(await contents(online), await contents(target))).toEqual(EXACTLY_ONCE);
    expect(report.turns).toMatchObject({ captured: COUNT, sent: COUNT, answered: COUNT, dropped: 0 });
    expect(faultsOf(copy.reports())).toEqual([]);
    expect(code).toBe(0);
  });
}

test("several services go to a target each", async () => {
  const ports = [80, 81, 82];
  const services = [];
  for (const port of ports) {
    services.push({
      port,
      online: await startNginx(lab, lab.online, port),
      target: await startNginx(lab, lab.target, port + 8000),
    });
  }
  const [first, ...others] = ports.map((port) => `${port}-${TARGET}:${port + 8000}`);
  const copy = await startCopy(lab, ["-x", first!, "-x", others.join(",")]);

  const url = (port: number) => `http://${ONLINE}:${port}`;
  await Promise.all(
    ports.map((port) =>
      load(lab, { url: url(port), rate: 500, count: 1000, close: port === 81, connections: 20 }),
    ),
  );
  const { code, report } = await copy.stop();

  for (const { online, target } of services) {
    expect((await contents(online)).length).toBe(1000);
    expect(compareContents(await contents(online), await contents(target))).toEqual(EXACTLY_ONCE);
  }
  expect(report.turns).toMatchObject({ captured: 3000, answered: 3000, dropped: 0 });
  expect(code).toBe(0);
});

test("-c: the target sees the addresses of the pool, which it answers to by way of this host", async () => {
  const pool = ["10.0.0.101", "10.0.0.102", "10.0.0.103"];
  for (const address of pool) addAddress(lab.online, "back", `${address}/24`);
  const online = await startNginx(lab, lab.online, 80);
  const target = await startNginx(lab, lab.target, 8080);
  const copy = await startCopy(lab, ["-x", `80-${TARGET}:8080`, "-c", `${pool[0]}-${pool[2]}`]);

  await load(lab, { url: `http://${ONLINE}`, rate: 1000, count: 2000, close: true });
  const { code } = await copy.stop();
  for (const address of pool) ip("-n", lab.online, "addr", "del", `${address}/24`, "dev", "back");

  expect(compareContents(await contents(online), await contents(target))).toEqual(EXACTLY_ONCE);
  const seen = new Set((await readRequests(target)).map(({ address }) => address));
  expect([...seen].toSorted()).toEqual(pool);
  expect(code).toBe(0);
});

test("-c: addresses that no host has, for which this host answers ARP requests", async () => {
  const pool = "10.0.0.201";
  // An entry of a proxy needs a route to the address over another interface, and forwarding, which the lab has on.
  ip("-n", lab.online, "route", "add", pool, "dev", "front");
  ip("-n", lab.online, "neigh", "add", "proxy", pool, "dev", "back");
  const online = await startNginx(lab, lab.online, 80);
  const target = await startNginx(lab, lab.target, 8080);
  const copy = await startCopy(lab, ["-x", `80-${TARGET}:8080`, "-c", pool]);

  await load(lab, { url: `http://${ONLINE}`, rate: 1000, count: 1000 });
  const { code } = await copy.stop();
  ip("-n", lab.online, "neigh", "del", "proxy", pool, "dev", "back");
  ip("-n", lab.online, "route", "del", pool);

  expect(compareContents(await contents(online), await contents(target))).toEqual(EXACTLY_ONCE);
  expect(new Set((await readRequests(target)).map(({ address }) => address))).toEqual(new Set([pool]));
  expect(code).toBe(0);
});

for (const { name, change } of [
  { name: "VLAN tags", change: tagFrames },
  { name: "a bridge, which every packet crosses with two interfaces", change: bridgeFront },
]) {
  test(`copies exactly once: ${name}`, async () => {
    const changed = createLab();
    try {
      change(changed);
      const watch = await watchPackets(changed, changed.online, "front", "vlan");
      const online = await startNginx(changed, changed.online, 80);
      const target = await startNginx(changed, changed.target, 8080);
      const copy = await startCopy(changed, ["-x", `80-${TARGET}:8080`]);

      const result = await load(changed, { url: `http://${ONLINE}`, rate: 1000, count: 1000 });
      const { code, report } = await copy.stop();

      expect(result).toMatchObject({ requests: 1000, errors: 0 });
      expect((await watch.stop()).packets > 0).toBe(change === tagFrames);
      expect(compareContents(await contents(online), await contents(target))).toEqual(EXACTLY_ONCE);
      expect(report.turns).toMatchObject({ captured: 1000, answered: 1000, dropped: 0 });
      expect(code).toBe(0);
    } finally {
      await changed.stopAll();
      changed.remove();
    }
  });
}

test("a target behind a tunnel without MAC headers, whatever this host's netfilter does with such packets", async () => {
  const [own, peer] = ["10.77.0.1", "10.77.0.2"];
  const words = [process.execPath, join(import.meta.dir, "../support/tun.ts")];
  const tunnel = lab.start(lab.target, [...words, lab.online, own, lab.target, peer]);
  await tunnel.line(/^up$/);
  // As kube-proxy and firewalls have them: they do not know the connections, and rewrite or drop what is sent in them.
  const chains = [
    "chain out { type filter hook output priority 0; oifname tun9 ct state invalid counter drop; }",
    "chain nat { type nat hook postrouting priority 100; oifname tun9 masquerade random; }",
  ];
  run(lab.online, "nft", `table ip firewall { ${chains.join("\n")}\n}`);
  const online = await startNginx(lab, lab.online, 80);
  const target = await startNginx(lab, lab.target, 8080);
  const copy = await startCopy(lab, ["-x", `80-${peer}:8080`]);
  await loadBothKinds(lab, { url: `http://${ONLINE}`, rate: 400, count: 200 });
  const { code, report } = await copy.finish();
  run(lab.online, "nft", "delete", "table", "ip", "firewall");

  expect(compareContents(await contents(online), await contents(target))).toEqual(EXACTLY_ONCE);
  expect(new Set((await readRequests(target)).map(({ address }) => address))).toEqual(new Set([own]));
  expect(report.turns).toMatchObject({ captured: 200, answered: 200, dropped: 0 });
  expect(report.sent.errors).toBe(0);
  expect(code).toBe(0);
});

test("the way to the target goes and comes: requests wait, connections go on or are opened anew", async () => {
  const own = createLab();
  try {
    const online = await startNginx(own, own.online, 80);
    const target = await startNginx(own, own.target, 8080);
    const copy = await startCopy(own, ["-x", `80-${TARGET}:8080`]);
    const onlineIp = (...args: string[]) => ip("-n", own.online, ...args);
    const client = () => own.start(own.client, [process.execPath, PACED, ONLINE, "80", "4", "20", "30"]);

    const first = client();
    await copy.report("the first answers", ({ turns }) => turns.answered > 20);
    onlineIp("link", "del", "back");
    await copy.running.line(/warning: the way to 10\.0\.0\.2 is gone: no route; holding/);
    await copy.report("requests that wait", ({ waiting }) => waiting > 4);
    // Another interface with the same name and address.
    onlineIp("link", "add", "back", "type", "veth", "peer", "name", "net0", "netns", own.target);
    addAddress(own.target, "net0", `${TARGET}/24`);
    ip("-n", own.target, "link", "set", "net0", "up");
    addAddress(own.online, "back", "10.0.0.1/24");
    onlineIp("link", "set", "back", "up");
    await copy.running.line(
      /10\.0\.0\.2 is reached by back \(10\.0\.0\.1\) again after .*; 4 connections go on/,
    );
    await first.line(/^sent 120$/);
    await copy.report("all responses", ({ turns }) => turns.answered === 120);

    onlineIp("addr", "del", "10.0.0.1/24", "dev", "back");
    const second = client();
    await copy.report("new requests that wait", ({ waiting }) => waiting > 4);
    addAddress(own.online, "back", "10.0.0.9/24");
    // The first client's four, and those of the second that began before the address was seen to be gone.
    await copy.running.line(
      /10\.0\.0\.2 is reached by back \(10\.0\.0\.9\) .*[4-8] connections from the address before are/,
    );
    await second.line(/^sent 120$/);
    const { code, report } = await copy.stop();

    expect(compareContents(await contents(online), await contents(target))).toEqual(EXACTLY_ONCE);
    expect(report.turns).toMatchObject({ captured: 240, answered: 240, dropped: 0 });
    expect(report.ways).toMatchObject({ moved: 2 });
    expect(new Set((await readRequests(target)).map(({ address }) => address))).toEqual(
      new Set(["10.0.0.1", "10.0.0.9"]),
    );
    expect(code).toBe(0);
  } finally {
    own.remove();
  }
}, 60_000);
