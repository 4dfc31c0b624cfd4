/** One conformance test for all injectors: what they send must arrive, right to the last bit, at a real kernel. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createNetwork, ip, type Network, TARGET, TARGET6 } from "../../src/demo/network.ts";
import type { EgressConfig } from "../../src/inject/path.ts";
import { EMSGSIZE, ENOBUFS } from "../../src/native/libc.ts";
import { ACK, FIN, PSH, SYN } from "../../src/wire/tcp.ts";
import { run } from "../support/process.ts";
import { buildPacket, bytesOf, type Segment, tcpOf } from "./packets.ts";
import { createSettledNetwork } from "./settled-network.ts";
import { type Agent, startAgent } from "./start-agent.ts";

const MARK = 0x7863;
/** Addresses of clients that are nobody's: the sending host does not answer their SYN-ACK with a reset. */
const CLIENT = { 4: "10.0.0.77", 6: "fd00::77" };
const SERVER = { 4: TARGET, 6: TARGET6 };
const OWN = { 4: "10.0.0.1", 6: "fd00::1" };
const HEADERS = { 4: 40, 6: 60 };
/** Padded timestamps, as almost every segment has them. */
const OPTIONS = Uint8Array.from([1, 1, 8, 10, 0, 0, 0, 9, 0, 0, 0, 0]);

let network: Network;
let sender: Agent;
let receiver: Agent;
let nextPort = 30000;

function noise(length: number): Uint8Array {
  return crypto.getRandomValues(new Uint8Array(length));
}

/** A network whose sending side computes checksums and cuts segments in software, so that the receiver sees both. */
function withoutOffloads(): void {
  run(network.online, "ethtool", "-K", "back", "tx", "off", "tso", "off", "gso", "off");
}

function withOffloads(): void {
  run(network.online, "ethtool", "-K", "back", "tx", "on", "tso", "on", "gso", "on");
}

beforeAll(async () => {
  network = await createSettledNetwork();
  const back = JSON.parse(ip("-j", "-n", network.online, "link", "show", "back"))[0].address;
  for (const family of [4, 6] as const) {
    ip("-n", network.target, "neigh", "add", CLIENT[family], "lladdr", back, "dev", "net0");
  }
  for (const [namespace, name] of [
    [network.online, "back"],
    [network.target, "net0"],
  ] as const) {
    // When the link comes up again, IPv6 must have its addresses, and at once.
    run(namespace, "sysctl", "-qw", `net.ipv6.conf.${name}.keep_addr_on_down=1`);
    run(namespace, "sysctl", "-qw", `net.ipv6.conf.${name}.accept_dad=0`);
  }
  sender = startAgent(network.online);
  receiver = startAgent(network.target);
});

afterAll(async () => {
  await sender?.stop();
  await receiver?.stop();
  network?.remove();
});

describe.each([
  ["packet", 4],
  ["packet", 6],
  ["raw", 4],
  ["raw", 6],
] as const)("%s injector, IPv%d", (kind, family) => {
  let port: number;

  /** Opens the injector and the receiver's capture; every test has a port of its own. */
  async function open(change: Partial<EgressConfig> = {}): Promise<EgressConfig> {
    port = nextPort++;
    const { egress } = await sender.call("resolveEgress", bytesOf(SERVER[family]), family);
    await sender.call("create", { ...egress, kind, ...change }, MARK);
    await receiver.call("capture", "net0");
    return egress;
  }

  function packet(segment: Partial<Segment>): Uint8Array {
    return buildPacket({
      source: CLIENT[family],
      destination: SERVER[family],
      sourcePort: 5000,
      destinationPort: port,
      seq: 1000,
      ack: 1,
      options: OPTIONS,
      ...segment,
    });
  }

  async function arrived(count: number) {
    return (await receiver.call("frames", port, count)).map((frame) => tcpOf(frame)!);
  }

  test("a batch arrives in order, byte for byte, with correct checksums", async () => {
    withoutOffloads();
    const egress = await open();
    const payloads = [0, 1, 2, 3, 63, 64, 65, 999, 1400].map(noise);
    // A segment size that the payload does not exceed changes nothing.
    const rows = payloads.map((payload, i) => ({
      packet: packet({ payload, seq: 1000 + i, id: 7 + i }),
      segmentSize: i % 2 ? 1400 : 0,
    }));
    const counters = await sender.call("send", rows);
    const bytes = rows.reduce((sum, row) => sum + row.packet.length, 0);
    expect(counters).toEqual({ name: kind, packets: rows.length, bytes, errors: 0, lastError: 0 });

    const frames = await arrived(rows.length);
    expect(frames.map((frame) => frame.seq)).toEqual(rows.map((_, i) => 1000 + i));
    const macs = [egress.nextHopMac, egress.sourceMac].map((mac) => Buffer.from(mac).toString("hex"));
    for (const [i, frame] of frames.entries()) {
      expect(frame.payload).toEqual(payloads[i]!);
      expect(frame.options).toEqual(OPTIONS);
      expect([frame.ipChecksum, frame.tcpChecksum]).toEqual([true, true]);
      expect([frame.destinationMac, frame.sourceMac].map((mac) => mac.replaceAll(":", ""))).toEqual(macs);
      if (family === 4) expect(frame.id).toBe(7 + i);
    }
    withOffloads();
  });

  test("a large row is segmented correctly: lengths, sequence numbers, identification, flags, checksums", async () => {
    withoutOffloads();
    await open();
    const segmentSize = 1500 - HEADERS[family] - OPTIONS.length;
    const payload = noise(60_001);
    // The sequence number wraps around inside.
    const seq = 2 ** 32 - 30_000;
    const before = { packet: packet({ seq: 1, flags: ACK, payload: noise(10) }) };
    const large = { packet: packet({ seq, flags: ACK | PSH | FIN, payload, id: 65_530 }), segmentSize };
    const after = { packet: packet({ seq: 2, payload: noise(11) }) };
    const { errors } = await sender.call("send", [before, large, after]);
    expect(errors).toBe(0);

    const count = Math.ceil(payload.length / segmentSize);
    const frames = await arrived(count + 2);
    expect([frames[0]!.seq, frames.at(-1)!.seq]).toEqual([1, 2]);
    const segments = frames.slice(1, -1);
    expect(segments.length).toBe(count);
    expect(Buffer.concat(segments.map((segment) => segment.payload)).equals(payload)).toBe(true);
    for (const [i, segment] of segments.entries()) {
      const isLast = i === count - 1;
      expect(segment.payload.length).toBe(isLast ? payload.length - i * segmentSize : segmentSize);
      expect(segment.seq).toBe((seq + i * segmentSize) >>> 0);
      expect(segment.flags).toBe(isLast ? ACK | PSH | FIN : ACK);
      expect(segment.options).toEqual(OPTIONS);
      expect([segment.ipChecksum, segment.tcpChecksum]).toEqual([true, true]);
      if (family === 4) expect(segment.id).toBe((65_530 + i) & 0xffff);
    }
    withOffloads();
  });

  test("a Linux TCP server accepts the connection and gets every byte", async () => {
    await open();
    await receiver.call("listen", SERVER[family], port);
    await sender.call("capture", "back");
    const mss = Uint8Array.from([2, 4, 1440 >> 8, 1440 & 255]);
    await sender.call("send", [{ packet: packet({ seq: 999, ack: 0, flags: SYN, options: mss }) }]);
    const answers = await sender.call("frames", 5000, 1);
    const synAck = answers.map((frame) => tcpOf(frame)!).find((frame) => frame.sourcePort === port)!;
    expect([synAck.flags, synAck.ack]).toEqual([SYN | ACK, 1000]);

    const payload = noise(60_000);
    const ack = synAck.seq + 1;
    const options = new Uint8Array(0);
    await sender.call("send", [
      { packet: packet({ flags: ACK, ack, options }) },
      { packet: packet({ ack, options, payload: payload.subarray(0, 3) }) },
      { packet: packet({ seq: 1003, ack, options, payload: payload.subarray(3) }), segmentSize: 1440 },
    ]);
    const got = await receiver.call("received", payload.length);
    expect(Buffer.from(got).equals(payload)).toBe(true);
  });

  test("what it sends carries the mark", async () => {
    await open();
    const table = `table netdev mark${port} { chain out { type filter hook egress device back priority 0; meta mark ${MARK} tcp dport ${port} counter; }\n}`;
    run(network.online, "nft", table);
    await sender.call("send", [{ packet: packet({}) }, { packet: packet({ seq: 1001 }) }]);
    await arrived(2);
    expect(run(network.online, "nft", "list", "table", "netdev", `mark${port}`)).toContain("packets 2");
    run(network.online, "nft", "delete", "table", "netdev", `mark${port}`);
  });

  test("a refused row is counted and skipped, the others arrive", async () => {
    await open();
    const tooLong = { packet: packet({ payload: noise(5000) }) };
    const rows = [0, 1, 2, 3].map((i) => ({ packet: packet({ seq: i }) }));
    const counters = await sender.call("send", [
      tooLong,
      rows[0]!,
      rows[1]!,
      tooLong,
      tooLong,
      rows[2]!,
      rows[3]!,
    ]);
    expect(counters).toMatchObject({
      packets: 4,
      bytes: 4 * rows[0]!.packet.length,
      errors: 3,
      lastError: EMSGSIZE,
    });
    expect((await arrived(4)).map((frame) => frame.seq)).toEqual([0, 1, 2, 3]);
  });

  test("waits for a full device queue within bounds, and counts packets that find no room", async () => {
    await open();
    const queue = [
      "qdisc",
      "replace",
      "dev",
      "back",
      "root",
      "tbf",
      "rate",
      "8mbit",
      "burst",
      "2000",
      "limit",
      "6000",
    ];
    run(network.online, "tc", ...queue);
    try {
      const rows = Array.from({ length: 200 }, (_, seq) => ({
        packet: packet({ seq, payload: noise(1400) }),
      }));
      const counters = await sender.call("send", rows);
      // The queue alone holds four: more were taken because the injector waited, but it did not wait for all 0.3 s.
      expect(counters.packets).toBeGreaterThan(5);
      expect(counters.packets + counters.errors).toBe(200);
      expect(counters.lastError).toBe(ENOBUFS);
      const frames = await arrived(counters.packets);
      expect(frames.length).toBe(counters.packets);
    } finally {
      run(network.online, "tc", "qdisc", "del", "dev", "back", "root");
    }
  });

  test("an interface that goes down causes errors, and works again when it is up", async () => {
    await open();
    ip("-n", network.online, "link", "set", "back", "down");
    const down = await sender.call("send", [{ packet: packet({}) }, { packet: packet({}) }]);
    expect(down).toMatchObject({ packets: 0, errors: 2 });
    expect(down.lastError).toBeGreaterThan(0);
    await sender.call("refresh");
    ip("-n", network.online, "link", "set", "back", "up");
    await sender.call("resolveEgress", bytesOf(SERVER[family]), family);
    const up = await sender.call("send", [{ packet: packet({}) }]);
    expect(up).toMatchObject({ packets: 1, errors: 2 });
    await arrived(1);
  });
});

describe("packet injector", () => {
  function packet(destination: string, port: number): Uint8Array {
    return buildPacket({
      source: OWN[destination.includes(":") ? 6 : 4],
      destination,
      sourcePort: 5000,
      destinationPort: port,
      seq: 1,
    });
  }

  async function macOfNext(port: number, count: number): Promise<string> {
    return tcpOf((await receiver.call("frames", port, count)).at(-1)!)!.destinationMac;
  }

  test.each([4, 6] as const)(
    "refresh keeps the old MAC until the new one is known (IPv%d)",
    async (family) => {
      const port = nextPort++;
      const target = SERVER[family];
      const { egress } = await sender.call("resolveEgress", bytesOf(target), family);
      const old = Buffer.from(egress.nextHopMac).toString("hex", 0, 6).match(/../g)!.join(":");
      await sender.call("create", egress, MARK);
      await receiver.call("capture", "net0");

      const replacement = `02:00:00:00:00:0${family}`;
      ip("-n", network.target, "link", "set", "net0", "address", replacement);
      ip("-n", network.online, "neigh", "flush", "all");
      let sent = 0;
      const send = async () => {
        await sender.call("send", [{ packet: packet(target, port) }]);
        return macOfNext(port, ++sent);
      };
      expect(await send()).toBe(old);
      // The first refresh finds nothing and has the kernel ask; a later one finds the answer.
      let mac = old;
      for (let i = 0; i < 200 && mac === old; i++) {
        await sender.call("refresh");
        mac = await send();
      }
      expect(mac).toBe(replacement);
      expect((await sender.call("send", [])).errors).toBe(0);
    },
  );

  test("refresh follows a route to another gateway", async () => {
    const port = nextPort++;
    const gateways = { "10.0.0.2": "", "10.0.0.3": "02:00:00:00:00:a3" };
    ip("-n", network.online, "neigh", "add", "10.0.0.3", "lladdr", gateways["10.0.0.3"], "dev", "back");
    ip("-n", network.online, "route", "add", "10.9.0.0/24", "via", "10.0.0.2");
    const { egress } = await sender.call("resolveEgress", bytesOf("10.9.0.1"), 4);
    expect(egress.nextHop).toEqual(bytesOf("10.0.0.2"));
    await sender.call("create", egress, MARK);
    await receiver.call("capture", "net0");
    await sender.call("send", [{ packet: packet("10.9.0.1", port) }]);
    ip("-n", network.online, "route", "replace", "10.9.0.0/24", "via", "10.0.0.3");
    await sender.call("refresh");
    await sender.call("send", [{ packet: packet("10.9.0.1", port) }]);
    expect(await macOfNext(port, 2)).toBe(gateways["10.0.0.3"]);
  });

  test("a MAC address that the user gave stays", async () => {
    const port = nextPort++;
    const [nextHopMac, sourceMac] = [Uint8Array.of(2, 0, 0, 0, 0, 0x55), Uint8Array.of(2, 0, 0, 0, 0, 0x66)];
    const way = { nextHopMac, sourceMac };
    const { egress } = await sender.call("resolveEgress", bytesOf(TARGET), 4, 0, true, way);
    await sender.call("create", egress, MARK);
    await receiver.call("capture", "net0");
    for (let sent = 1; sent <= 2; sent++) {
      await sender.call("send", [{ packet: packet(TARGET, port) }]);
      expect(await macOfNext(port, sent)).toBe("02:00:00:00:00:55");
      await sender.call("refresh");
    }
    const [frame] = await receiver.call("frames", port, 2);
    expect(tcpOf(frame!)!.sourceMac).toBe("02:00:00:00:00:66");
  });

  test("with the NIC's offloads a large row leaves as one packet", async () => {
    withOffloads();
    const port = nextPort++;
    const { egress } = await sender.call("resolveEgress", bytesOf(TARGET), 4);
    await sender.call("create", egress, MARK);
    await receiver.call("capture", "net0");
    const segment = {
      source: CLIENT[4],
      destination: TARGET,
      sourcePort: 5000,
      destinationPort: port,
      seq: 1,
    };
    const row = { packet: buildPacket({ ...segment, payload: noise(60_000) }), segmentSize: 1460 };
    expect(await sender.call("send", [row])).toMatchObject({ packets: 1, bytes: row.packet.length });
    const [frame] = await receiver.call("frames", port, 1);
    expect(tcpOf(frame!)!.payload.length).toBe(60_000);
  });
});

test.each([
  ["127.0.0.1", 4],
  ["::1", 6],
] as const)("loopback %s: the raw injector reaches a server on this host", async (loopback, family) => {
  const port = nextPort++;
  const { egress, source } = await sender.call("resolveEgress", bytesOf(loopback), family);
  expect(egress).toMatchObject({ kind: "raw", interface: "lo", mtu: 65535 });
  await sender.call("create", egress, MARK);
  await sender.call("capture", "lo");
  // Responses to our port must not reach this host's TCP, which would reset the connection.
  const rule = `table inet own${port} { chain in { type filter hook input priority 0; tcp sport ${port} tcp dport 5000 drop; }\n}`;
  run(network.online, "nft", rule);
  await sender.call("listen", loopback, port);
  const base = { source: loopback, destination: loopback, sourcePort: 5000, destinationPort: port };
  expect(source).toEqual(bytesOf(loopback));

  const mss = Uint8Array.from([2, 4, 0xff, 0xc3]);
  await sender.call("send", [{ packet: buildPacket({ ...base, seq: 999, flags: SYN, options: mss }) }]);
  const synAck = tcpOf((await sender.call("frames", 5000, 1))[0]!)!;
  const ack = synAck.seq + 1;
  const payload = noise(60_000);
  const rows = [
    { packet: buildPacket({ ...base, seq: 1000, ack, flags: ACK }) },
    { packet: buildPacket({ ...base, seq: 1000, ack, payload }), segmentSize: 1460 },
  ];
  // Within the MTU of loopback nothing is cut.
  expect(await sender.call("send", rows)).toMatchObject({ packets: 3, errors: 0 });
  const got = await sender.call("received", payload.length);
  expect(Buffer.from(got).equals(payload)).toBe(true);
  run(network.online, "nft", "delete", "table", "inet", `own${port}`);
});

test.each(["packet", "raw"] as const)(
  "%s injector: sends over the interface that the user named",
  async (inject) => {
    const port = nextPort++;
    const links = await sender.call("links");
    const { ifindex } = links.find(({ name }) => name === "front")!;
    // The route to this one leads over "back".
    const target = "10.0.0.200";
    ip("-n", network.online, "neigh", "replace", target, "lladdr", "02:00:00:00:00:77", "dev", "front");
    const { egress } = await sender.call("resolveEgress", bytesOf(target), 4, 0, false, {
      inject,
      over: ifindex,
    });
    expect(egress).toMatchObject({ kind: inject, interface: "front" });
    await sender.call("create", egress, MARK);
    await sender.call("capture", "front");
    const segment = { source: OWN[4], destination: target, sourcePort: 5000, destinationPort: port, seq: 1 };
    await sender.call("send", [{ packet: buildPacket({ ...segment, payload: noise(100) }) }]);
    const [frame] = await sender.call("frames", port, 1);
    expect(tcpOf(frame!)!.destinationMac).toBe("02:00:00:00:00:77");
  },
);

// The last: it takes the network apart.
test.each(["packet", "raw"] as const)(
  "%s injector: an interface that is deleted while it sends causes only errors",
  async (kind) => {
    const own = createNetwork();
    const agent = startAgent(own.online);
    try {
      const { egress } = await agent.call("resolveEgress", bytesOf(TARGET), 4);
      await agent.call("create", { ...egress, kind }, MARK);
      const segment = { source: OWN[4], destination: TARGET, sourcePort: 5000, destinationPort: 9, seq: 1 };
      const rows = Array.from({ length: 64 }, () => ({
        packet: buildPacket({ ...segment, payload: noise(100) }),
      }));
      let deleted = false;
      const deletion = Bun.spawn(["ip", "-n", own.online, "link", "del", "back"]).exited.then(() => {
        deleted = true;
      });
      let calls = 0;
      while (!deleted) {
        await agent.call("send", rows);
        calls++;
      }
      await deletion;
      const counters = await agent.call("send", rows);
      await agent.call("refresh");
      calls++;
      expect(counters.packets + counters.errors).toBe(calls * rows.length);
      expect(counters.errors).toBeGreaterThanOrEqual(rows.length);
    } finally {
      await agent.stop();
      own.remove();
    }
  },
);
