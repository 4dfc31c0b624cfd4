/** The programs on real interfaces, with a real server that answers clients that are not there. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import type { Hook } from "../../src/capture/attachments.ts";
import { build, bytesOf, type Frame, SYN } from "../bpf/build.ts";
import type { Captured } from "../bpf/capture.ts";
import { enterNamespace, Namespace } from "../bpf/namespace.ts";
import { HOST_MAC, Link, Tun } from "../capture/link.ts";
import { watchPackets } from "../support/capture.ts";
import { createLab, type Lab } from "../support/lab.ts";
import { patient } from "../support/patience.ts";
import { run } from "../support/process.ts";
import { until } from "../support/until.ts";
import { ForgedClient, Forger, packetOf } from "./forged.ts";
import { answerTo, COOKIE, cookieOption, flowOf, loadForTest, SLOT, type TestIntercept } from "./load.ts";

const SERVER = `${import.meta.dir}/server.ts`;
const BYTES = 300_000;

let lab: Lab;
let forger: Forger;
let intercept: TestIntercept;

beforeEach(() => {
  lab = createLab({ manyClients: false });
  run(lab.online, "sysctl", "-qw", "net.ipv6.conf.all.forwarding=1");
  run(lab.client, "ip", "route", "add", "default", "via", "fd00:1::1");
});

afterEach(async () => {
  if (intercept) enterNamespace(lab.target, () => intercept.kernel.detach());
  forger?.close();
  await lab?.stopAll();
  lab?.remove();
});

function ifindexOf(namespace: string, name: string): number {
  return JSON.parse(run(namespace, "ip", "-j", "link", "show", name))[0].ifindex;
}

function attach(namespace: string, ...interfaces: string[]): void {
  const ifindexes = interfaces.map((name) => ifindexOf(namespace, name));
  enterNamespace(namespace, () => intercept.kernel.attach(ifindexes));
}

function take(): Captured[] {
  intercept.beat();
  return intercept.take();
}

async function serve(namespace: string, port = 8080): Promise<void> {
  await lab.start(namespace, [process.execPath, SERVER, `${port}`]).line(/^listening/);
}

function curl(namespace: string, url: string): string {
  return run(namespace, "curl", "-sg", "-m", `${patient(5000) / 1000}`, "--local-port", "41000-41999", url);
}

/** Lets a forged client fetch BYTES bytes. */
async function fetchForged(frame: Frame): Promise<ForgedClient> {
  const client = new ForgedClient(forger, frame, take);
  intercept.beat();
  await client.connect();
  client.request(`/${BYTES}`);
  await client.until("the response", () => client.finished);
  return client;
}

function retransmitted(namespace: string): number {
  const [names, values] = run(namespace, "cat", "/proc/net/snmp")
    .split("\n")
    .filter((line) => line.startsWith("Tcp:"))
    .map((line) => line.split(" "));
  return Number(values![names!.indexOf("RetransSegs")]);
}

describe.each(["tcx", "clsact"] as Hook[])("%s", (hook) => {
  const cases: [name: string, client: string, server: string][] = [
    ["IPv4", "10.1.0.2", "10.0.0.2"],
    ["IPv6", "fd00:1::2", "fd00::2"],
    ["a secondary address", "10.1.0.2", "10.0.0.77"],
  ];
  test.each(cases)(
    "%s: a forged client is served, the real one sees none of it, others are served",
    async (_, source, destination) => {
      intercept = loadForTest({ hook, ringBytes: 1 << 20 });
      run(lab.target, "ip", "addr", "add", "10.0.0.77/24", "dev", "net0");
      attach(lab.target, "net0", "lo");
      expect(intercept.kernel.hook).toBe(hook);
      forger = new Forger(lab.online);
      await serve(lab.target);
      const watched = await watchPackets(lab, lab.client, "net0", "tcp port 40000");

      const client = await fetchForged({ source, destination, sourcePort: 40000, destinationPort: 8080 });
      expect(client.received).toBeGreaterThan(BYTES);
      expect(client.records.every(({ index }) => index === SLOT)).toBe(true);
      // The server's TCP takes them for sent: nothing comes twice, and large ones come in one piece.
      expect(client.again).toBe(0);
      expect(retransmitted(lab.target)).toBe(0);
      expect(Math.max(...client.records.map(({ length }) => length))).toBeGreaterThan(1460);

      const url = destination.includes(":")
        ? `http://[${destination}]:8080/5`
        : `http://${destination}:8080/5`;
      expect(curl(lab.client, url)).toBe("xxxxx");
      expect(await watched.stop()).toEqual({ packets: 0, lines: [] });
      expect(intercept.learned.count()).toBe(1);
      expect(intercept.counted()).toMatchObject({ learned: 1, responsesCaptured: client.records.length });
    },
  );
});

test("a SYN without the cookie is answered to the client", async () => {
  intercept = loadForTest();
  attach(lab.target, "net0");
  forger = new Forger(lab.online);
  await serve(lab.target);
  const watched = await watchPackets(lab, lab.client, "net0", "tcp port 40000");
  const frame = { source: "10.1.0.2", destination: "10.0.0.2", sourcePort: 40000, destinationPort: 8080 };
  new ForgedClient(forger, frame, take).open(null);
  expect(curl(lab.client, "http://10.0.0.2:8080/5")).toBe("xxxxx");
  const { lines } = await watched.stop();
  expect(lines[0]).toContain("Flags [S.]");
  expect(take()).toEqual([]);
});

test("over lo", async () => {
  intercept = loadForTest({ ringBytes: 1 << 20 });
  attach(lab.target, "lo", "net0");
  forger = new Forger(lab.target);
  await serve(lab.target);
  const frame = { source: "127.0.0.9", destination: "127.0.0.1", sourcePort: 40000, destinationPort: 8080 };
  const client = await fetchForged(frame);
  expect(client.again).toBe(0);
  expect(client.received).toBeGreaterThan(BYTES);
  expect(curl(lab.target, "http://127.0.0.1:8080/5")).toBe("xxxxx");
});

test("a closed port's reset, and a firewall's ICMP error, do not reach the client", async () => {
  intercept = loadForTest({ services: [{ address: null, family: 4, ports: [[8080, 8081]] }] });
  attach(lab.target, "net0");
  forger = new Forger(lab.online);
  run(
    lab.target,
    "nft",
    "add table inet fw; add chain inet fw in { type filter hook input priority 0; };" +
      " add rule inet fw in tcp dport 8081 reject with icmp type host-unreachable",
  );
  await serve(lab.target, 8082);
  const watched = await watchPackets(lab, lab.client, "net0", "tcp port 40000 or icmp");
  const frame = { source: "10.1.0.2", destination: "10.0.0.2", sourcePort: 40000, destinationPort: 8080 };
  new ForgedClient(forger, frame, take).open();
  new ForgedClient(forger, { ...frame, destinationPort: 8081 }, take).open();
  await until("both were caught", () => {
    const { responsesCaptured, icmpErrors, inert } = intercept.kernel.stats();
    return responsesCaptured + inert === 1 && icmpErrors === 1;
  });
  expect(curl(lab.client, "http://10.0.0.2:8082/5")).toBe("xxxxx");
  expect(await watched.stop()).toEqual({ packets: 0, lines: [] });
});

describe("behind a bridge", () => {
  const net = { host: "", client: "", service: "" };
  let namespaces: Namespace[];

  beforeEach(() => {
    const [host, client, service] = [new Namespace(), new Namespace(), new Namespace()];
    namespaces = [host, client, service];
    Object.assign(net, { host: host.name, client: client.name, service: service.name });
    host.ip("link", "add", "br0", "type", "bridge");
    for (const [port, other, address] of [
      ["p1", client, "10.9.0.1/24"],
      ["p2", service, "10.9.0.2/24"],
    ] as const) {
      host.ip("link", "add", port, "type", "veth", "peer", "name", "net0", "netns", other.name);
      host.ip("link", "set", port, "master", "br0", "up");
      other.ip("addr", "add", address, "dev", "net0");
      other.ip("link", "set", "net0", "up");
    }
    host.ip("addr", "add", "10.9.0.3/24", "dev", "br0");
    host.ip("link", "set", "br0", "up");
  });

  afterEach(async () => {
    await lab.stopAll();
    for (const namespace of namespaces) namespace.remove();
  });

  const cases = [
    ["the service in a namespace", "10.9.0.2", "service"],
    ["the service on the bridge's own address", "10.9.0.3", "host"],
  ] as const;
  test.each(cases)("%s: each response is caught once", async (_, destination, where) => {
    intercept = loadForTest({ ringBytes: 1 << 20 });
    attach(net.host, "p1", "br0", "p2", "lo");
    // Somebody behind the client's port forges a third one's address.
    forger = new Forger(net.client);
    await serve(net[where]);
    const watched = await watchPackets(lab, net.client, "net0", "tcp port 40000 and src port 8080");
    const frame = { source: "10.9.0.1", destination, sourcePort: 40000, destinationPort: 8080 };
    const client = await fetchForged(frame);
    expect(client.again).toBe(0);
    expect(client.received).toBeGreaterThan(BYTES);
    expect(curl(net.client, `http://${destination}:8080/5`)).toBe("xxxxx");
    expect(await watched.stop()).toEqual({ packets: 0, lines: [] });
  });
});

test("an interface without MAC headers", async () => {
  intercept = loadForTest();
  await serve(lab.target);
  const tun = new Tun(
    {
      enter: (inside) => enterNamespace(lab.target, inside),
      ip: (...words) => void run(lab.target, "ip", ...words),
      ifindex: (name) => ifindexOf(lab.target, name),
    },
    "xct",
  );
  try {
    run(lab.target, "ip", "addr", "add", "10.7.0.1/24", "dev", "xct");
    attach(lab.target, "xct");
    const frame = { source: "10.7.0.9", destination: "10.7.0.1", sourcePort: 40000, destinationPort: 8080 };
    intercept.beat();
    tun.receive(packetOf({ ...frame, flags: SYN, options: cookieOption(COOKIE) }));
    const records: Captured[] = [];
    await until("the SYN-ACK", () => records.push(...take()) && records.length > 0);
    expect(records[0]).toMatchObject({ index: SLOT, tcp: 20, length: 0 });
    expect(records[0]!.bytes.subarray(12, 16)).toEqual(bytesOf("10.7.0.1"));
  } finally {
    tun.remove();
  }
});

describe("packets of unusual layout at egress", () => {
  const FLOW = { source: "10.0.0.2", destination: "10.0.0.1", sourcePort: 40000, destinationPort: 8080 };
  const FLOW6 = { ...FLOW, source: "fd00::2", destination: "fd00::1" };
  let link: Link;

  beforeEach(() => {
    link = new Link();
    intercept = loadForTest();
    for (const flow of [FLOW, FLOW6]) intercept.learned.add(flowOf(flow), SLOT);
    link.client.enter(() => intercept.kernel.attach([link.client.ifindex("xca")]));
  });

  afterEach(() => {
    link.remove();
  });

  async function caught(parts = 1): Promise<Captured[]> {
    const records: Captured[] = [];
    await until("the record", () => records.push(...take()) && records.length > 0);
    expect(records).toHaveLength(parts);
    return records;
  }

  const large: [name: string, flow: Frame, size: number][] = [
    ["IPv4", FLOW, 65000],
    ["IPv6", FLOW6, 65000],
    ["IPv6 beyond 64 KiB", FLOW6, 70000],
  ];
  test.each(large)("a large one, %s", async (_, flow, size) => {
    const { bytes } = build({ destinationMac: HOST_MAC, ...answerTo(flow), payload: size });
    // A jumbogram says 0.
    if (size > 65535) bytes.set([0, 0], 14 + 4);
    intercept.beat();
    link.sendLarge(bytes, 1428);
    // What is larger than an ordinary packet can be is cut into such.
    const parts = await caught(size > 65535 ? 2 : 1);
    expect(parts.reduce((sum, { length }) => sum + length, 0)).toBe(size);
    for (const { index } of parts) expect(index).toBe(SLOT);
  });

  test.each([14, 20, 40, 54])("headers outside of the linear part: %d bytes in it", async (linear) => {
    const { bytes, ip } = build({ destinationMac: HOST_MAC, ...answerTo(FLOW), payload: 3000 });
    intercept.beat();
    link.send(bytes, linear);
    const [record] = await caught();
    expect(record!.bytes).toEqual(ip.subarray(0, 40));
    expect(record!.length).toBe(3000);
  });
});

describe("assistant", () => {
  let link: Link;

  beforeEach(() => {
    link = new Link();
  });

  afterEach(() => {
    link.remove();
  });

  test.each(["tcx", "clsact"] as Hook[])(
    "%s: what comes in is swallowed, not answered and not passed on",
    async (hook) => {
      intercept = loadForTest({ mode: "assistant", services: [], hook });
      const { kernel } = intercept;
      link.host.enter(() => kernel.attach([link.ifindex]));
      const frame = {
        destinationMac: HOST_MAC,
        source: "10.0.0.9",
        destination: "203.0.113.7",
        sourcePort: 8080,
      };
      intercept.beat();
      link.send(build({ ...frame, payload: 10 }).bytes);
      const records: Captured[] = [];
      await until("the record", () => records.push(...take()) && records.length > 0);
      expect(records[0]).toMatchObject({ index: 0xffffffff, length: 10 });
      link.host.enter(() => kernel.detach());
      expect(link.host.run("tc", "filter", "show", "dev", link.interface, "ingress")).toBe("");
    },
  );
});

test("interfaces that come later are attached later, and those that are not there are named", async () => {
  intercept = loadForTest({ ringBytes: 1 << 20 });
  attach(lab.target, "lo");
  forger = new Forger(lab.online);
  await serve(lab.target);
  attach(lab.target, "net0");
  const client = await fetchForged({
    source: "10.1.0.2",
    destination: "10.0.0.2",
    sourcePort: 40000,
    destinationPort: 8080,
  });
  expect(client.received).toBeGreaterThan(BYTES);
  expect(() => enterNamespace(lab.target, () => intercept.kernel.attach([9999]))).toThrow(
    "Cannot attach to interface 9999: no such interface",
  );
});
