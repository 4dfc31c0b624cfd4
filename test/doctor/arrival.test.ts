/** What arrives, packet by packet, and what is said of it. */
import { expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseAddress } from "../../src/config/address.ts";
import { type Arrived, judgeArrivals, type Watch } from "../../src/doctor/arrival/judge.ts";
import { readBeginning } from "../../src/doctor/arrival/recorded.ts";
import {
  otherAddresses,
  type Surroundings,
  surroundingsOf,
  virtualPorts,
} from "../../src/doctor/arrival/surroundings.ts";
import { Traffic, type TrafficSettings, type WatchedService } from "../../src/doctor/arrival/traffic.ts";
import { readIptables } from "../../src/netfilter/listed/iptables.ts";
import { IP_OK, IpHeader, parseIp } from "../../src/wire/ip-header.ts";
import { ACK, PSH, SYN } from "../../src/wire/tcp.ts";
import { pcap } from "../capture/trace/lay.ts";
import { makeSegment } from "../support/segment.ts";

const at = (text: string) => parseAddress(text)!.bytes;
const text = (value: string) => new TextEncoder().encode(value);
const FRONT = 2;
const BACK = 3;
const HERE = "10.1.0.1";
const GET = "GET / HTTP/1.1\r\n\r\n";

const SERVICE: WatchedService = { address: null, port: 80, isUdp: false, families: [4, 6] };
const SETTINGS: TrafficSettings = {
  services: [SERVICE],
  isOutgoing: false,
  interfaces: null,
  isLocal: (address) => [HERE, "fd00:1::1"].some((one) => at(one).toString() === address.toString()),
  targets: [{ address: at("10.0.0.2"), port: 8080 }],
};

interface Sent {
  from?: string;
  to?: string;
  sourcePort?: number;
  port?: number;
  flags?: number;
  ack?: number;
  data?: string | Uint8Array;
  ifindex?: number;
  leaves?: boolean;
}

function see(traffic: Traffic, sent: Sent): void {
  const { from = "10.1.0.2", to = HERE, sourcePort = 40_000, port = 80, flags = ACK | PSH, data = "" } = sent;
  const payload = typeof data === "string" ? text(data) : data;
  const segment = { source: at(from), destination: at(to), sourcePort, destinationPort: port, seq: 1 };
  const bytes = makeSegment({ ...segment, ack: sent.ack ?? 1, flags, payload });
  const view = new DataView(bytes.buffer);
  const header = new IpHeader();
  expect(parseIp(view, 0, bytes.length, bytes.length, header)).toBe(IP_OK);
  traffic.see(bytes, view, header, { ifindex: sent.ifindex ?? FRONT, leaves: sent.leaves ?? false });
}

/** A connection with a SYN and requests. */
function visit(traffic: Traffic, sent: Sent = {}, requests = 1): void {
  see(traffic, { ...sent, flags: SYN, data: "" });
  for (let i = 0; i < requests; i++) see(traffic, { data: GET, ...sent, ack: 100 * (i + 1) });
}

const QUIET: Surroundings = {
  listens: true,
  otherAddresses: null,
  elsewhere: null,
  translated: [],
  sentOn: null,
  connections: new Map(),
};

function said(
  traffic: Traffic,
  {
    service = SERVICE,
    surroundings = QUIET as Surroundings | null,
    proxyProtocol = 0 as Arrived["proxyProtocol"],
    isOutgoing = false,
    hidden = [] as string[],
  } = {},
): string[] {
  const watch: Watch = {
    span: "in 3.0 s",
    least: "",
    isLive: true,
    isOutgoing,
    names: new Map([
      [FRONT, "front"],
      [BACK, "back"],
    ]),
    hidden,
    filtered: null,
    named: ["back"],
    opened: traffic.opened,
    datagrams: traffic.datagrams,
  };
  const arrived: Arrived = {
    service,
    target: "10.0.0.2:8080",
    arrivals: traffic.arrivals[0]!,
    surroundings,
    proxyProtocol,
  };
  return judgeArrivals(arrived, watch).map(
    ({ id, status, found, fix }) => `${status} ${id}: ${found}${fix ? ` -> ${fix}` : ""}`,
  );
}

test("packets, connections and requests are told apart, and a packet that is seen twice begins no turn", () => {
  const traffic = new Traffic(SETTINGS);
  visit(traffic, {}, 2);
  visit(traffic, { ifindex: BACK }, 2);
  see(traffic, { data: "more of it", ack: 200 });
  visit(traffic, { sourcePort: 40_001, from: "fd00:1::2", to: "fd00:1::1" });
  expect(traffic.arrivals[0]!.ways.taken).toMatchObject({ packets: 9, connections: 2, requests: 3 });
  expect(said(traffic)).toEqual([
    "ok arrival.packets: 9 packets, 2 new connections, 3 requests (packets by interface: front 6, back 3) in 3.0 s",
    "ok arrival.protocol: HTTP/1 (2 of 2 connections)",
  ]);
});

test("what goes to a target, or comes from there, is no request", () => {
  const traffic = new Traffic({ ...SETTINGS, services: [{ ...SERVICE, port: 8080 }] });
  visit(traffic, { to: "10.0.0.2", port: 8080, leaves: true });
  see(traffic, { from: "10.0.0.2", sourcePort: 8080, port: 41_000, flags: SYN | ACK });
  expect(Object.values(traffic.arrivals[0]!.ways).map(({ packets }) => packets)).toEqual([0, 0, 0, 0, 0, 0]);
});

test("what goes to a target that is the service itself is a request", () => {
  const service = { ...SERVICE, address: at("10.0.0.2"), port: 8080 };
  const traffic = new Traffic({ ...SETTINGS, services: [service] });
  visit(traffic, { to: "10.0.0.2", port: 8080 });
  expect(traffic.arrivals[0]!.ways.taken.requests).toBe(1);
});

test("connections that the host of a target opens are counted", () => {
  const traffic = new Traffic(SETTINGS);
  visit(traffic, { from: "10.0.0.2" });
  visit(traffic, { from: "10.0.0.3" });
  expect(traffic.fromTargets).toEqual([1]);
});

test.each<[string, Partial<TrafficSettings>, Sent, string]>([
  [
    "on another interface",
    { interfaces: new Set([BACK]) },
    {},
    "failed arrival.interface: they come in by front, which -i back does not name: 2 packets, 1 new connections, 1 requests (packets by interface: front 2) in 3.0 s -> -i front, or leave -i out.",
  ],
  [
    "only passed on",
    {},
    { to: "10.9.0.9" },
    "failed arrival.forwarded: this host only passes them on, or a mirror sends them: they are to 10.9.0.9, no address of this host: 2 packets, 1 new connections, 1 requests (packets by interface: front 2) in 3.0 s -> -x 10.9.0.9:80-10.0.0.2:8080",
  ],
  [
    "to another address",
    { services: [{ ...SERVICE, address: at("10.1.0.99") }] },
    {},
    "failed arrival.address: they are to another address, 10.1.0.1: 2 packets, 1 new connections, 1 requests (packets by interface: front 2) in 3.0 s -> -x 10.1.0.1:80-10.0.0.2:8080, or leave the address before the port out.",
  ],
  [
    "of the other family",
    { services: [{ ...SERVICE, families: [4] }] },
    { from: "fd00:1::2", to: "fd00:1::1" },
    "failed arrival.family: IPv6 requests are not copied: 2 packets, 1 new connections, 1 requests (packets by interface: front 2) in 3.0 s -> Name a target with an IPv6 address, give addresses to send from with -c, or leave -s out.",
  ],
  [
    "of the other family than the address",
    { services: [{ ...SERVICE, address: at(HERE) }] },
    { from: "fd00:1::2", to: "fd00:1::1" },
    "failed arrival.family: IPv6 requests are not copied: 2 packets, 1 new connections, 1 requests (packets by interface: front 2) in 3.0 s -> -x [fd00:1::1]:80-10.0.0.2:8080 besides, or leave the address before the port out.",
  ],
  [
    "of the other family than the address, where clients' addresses are kept",
    { services: [{ ...SERVICE, address: at(HERE), families: [4] }] },
    { from: "fd00:1::2", to: "fd00:1::1" },
    "failed arrival.family: IPv6 requests are not copied: 2 packets, 1 new connections, 1 requests (packets by interface: front 2) in 3.0 s -> Name a target with an IPv6 address, give addresses to send from with -c, or leave -s out.",
  ],
  [
    "that leave",
    {},
    { to: "10.9.0.9", leaves: true },
    "failed arrival.direction: they leave this host, whose processes are the clients: 2 packets, 1 new connections, 1 requests (packets by interface: front 2) in 3.0 s -> --direction out",
  ],
])("requests %s are not copied", (_, settings, sent, expected) => {
  const traffic = new Traffic({ ...SETTINGS, ...settings });
  visit(traffic, sent);
  const [service] = settings.services ?? [SERVICE];
  expect(said(traffic, { service: service!, surroundings: { ...QUIET, listens: false } })).toEqual([
    expected,
  ]);
});

test.each<[string, Sent]>([
  ["passes on", { to: "10.9.0.9" }],
  ["asks", { to: "10.9.0.9", leaves: true }],
])("where a service listens that nobody asks, what this host %s is not the reason", (_, sent) => {
  const traffic = new Traffic(SETTINGS);
  visit(traffic, sent);
  expect(said(traffic)[0]).toStartWith(
    "warning arrival.packets: nothing arrived in 3.0 s, though a service listens there",
  );
});

test("requests that come in where --direction out takes those that leave", () => {
  const traffic = new Traffic({ ...SETTINGS, isOutgoing: true });
  visit(traffic);
  expect(said(traffic, { isOutgoing: true })[0]).toStartWith(
    "failed arrival.direction: they come in, and --direction out takes those that leave:",
  );
});

test("of several services with one port each gets what is to its address", () => {
  const services = ["10.1.0.1", "10.1.0.3", null].map((address) => ({
    ...SERVICE,
    address: address ? at(address) : null,
  }));
  const traffic = new Traffic({ ...SETTINGS, services, isLocal: () => true });
  visit(traffic, { to: "10.1.0.3" });
  visit(traffic, { to: "10.1.0.4" });
  const taken = traffic.arrivals.map(({ ways }) => ways.taken.requests);
  expect(taken).toEqual([0, 1, 1]);
});

test("requests of the other family beside copied ones are a warning", () => {
  const traffic = new Traffic({ ...SETTINGS, services: [{ ...SERVICE, families: [4] }] });
  visit(traffic);
  visit(traffic, { from: "fd00:1::2", to: "fd00:1::1" });
  expect(said(traffic).map((line) => line.split(":")[0])).toEqual([
    "ok arrival.packets",
    "warning arrival.family",
    "ok arrival.protocol",
  ]);
});

test("where nothing but SSH comes, no port is proposed", () => {
  const traffic = new Traffic(SETTINGS);
  see(traffic, { port: 22, flags: SYN });
  expect(said(traffic)).toEqual([
    "warning arrival.packets: nothing arrived in 3.0 s, though a service listens there; connections come to port 22 (1) -> Look again when clients ask for something.",
  ]);
});

test.each<[string, Surroundings | null, string]>([
  [
    "nobody listens",
    { ...QUIET, listens: false },
    "failed arrival.packets: nothing arrived in 3.0 s, and nobody listens there; connections come to ports 8000 (2), 22 (1) -> -x 8000-10.0.0.2:8080",
  ],
  [
    "a service listens",
    QUIET,
    "warning arrival.packets: nothing arrived in 3.0 s, though a service listens there; connections come to ports 8000 (2), 22 (1) -> Look again when clients ask for something, or: -x 8000-10.0.0.2:8080",
  ],
  [
    "a container listens",
    { ...QUIET, listens: false, elsewhere: { pid: 77, command: "nginx" } },
    "failed arrival.packets: nothing arrived in 3.0 s, and nobody listens there in this network namespace, but nginx (pid 77) does in its own; connections come to ports 8000 (2), 22 (1) -> nsenter -t 77 -n xcopy copy ..., or name the port that clients use in -x.",
  ],
  [
    "another port is translated to it",
    {
      ...QUIET,
      translated: [{ ports: "8000, 8001", by: 'rule "r" (number 1) in chain PREROUTING of iptables -t nat' }],
    },
    'failed arrival.nat: nothing arrived in 3.0 s: clients use port 8000, 8001, which this host sends to port 80 (rule "r" (number 1) in chain PREROUTING of iptables -t nat) -> -x 8000-10.0.0.2:8080',
  ],
  [
    "it is a recording",
    null,
    "failed arrival.packets: nothing arrived in 3.0 s; connections come to ports 8000 (2), 22 (1) -> -x 8000-10.0.0.2:8080",
  ],
])("nothing arrives, and %s", (_, surroundings, expected) => {
  const traffic = new Traffic(SETTINGS);
  for (const port of [8000, 22, 8000]) see(traffic, { port, flags: SYN });
  expect(said(traffic, { surroundings })).toEqual([expected]);
});

test("what an XDP program takes is not seen, and that is said where nothing arrives", () => {
  expect(said(new Traffic(SETTINGS), { hidden: ["front"] })[0]).toStartWith(
    "warning arrival.packets: nothing arrived in 3.0 s (what an XDP program takes on front is not seen), though",
  );
});

test("responses without requests: only one direction is seen", () => {
  const traffic = new Traffic(SETTINGS);
  see(traffic, {
    from: HERE,
    sourcePort: 80,
    to: "10.1.0.2",
    port: 40_000,
    leaves: true,
    data: "HTTP/1.1 200 OK",
  });
  expect(said(traffic)[0]).toStartWith(
    "failed arrival.packets: nothing arrived in 3.0 s but responses from there",
  );
});

test("a rule that sends requests on does not keep them from being taken, and is named", () => {
  const traffic = new Traffic(SETTINGS);
  visit(traffic);
  expect(said(traffic, { surroundings: { ...QUIET, sentOn: 'rule "r"' } })[1]).toBe(
    'ok arrival.nat: this host sends them on (rule "r"); they are taken before, as clients send them',
  );
});

test("the rule that sends on is the one that the packet would meet", async () => {
  const rules =
    "*nat\n:PREROUTING ACCEPT\n-A PREROUTING -i front -p tcp --dport 80 -j REDIRECT --to-ports 8080\nCOMMIT";
  const chains = readIptables(rules, "iptables");
  const none = { tcp: [], udp: [], others: [] };
  const by = async (name: string | undefined) =>
    (await surroundingsOf(SERVICE, none, chains, { to: at(HERE), by: name })).sentOn;
  expect([await by("front"), await by("back"), await by(undefined)]).toEqual([
    expect.stringContaining("REDIRECT --to-ports 8080"),
    null,
    null,
  ]);
});

test("connections without a request are a warning", () => {
  const traffic = new Traffic(SETTINGS);
  see(traffic, { flags: SYN });
  expect(said(traffic)).toEqual([
    "warning arrival.packets: 1 packets, 1 new connections, 0 requests (packets by interface: front 1) in 3.0 s: no request among them -> Look again when clients ask for something.",
  ]);
});

test("a service that listens at another address than clients ask is named, unless a rule sends them there", () => {
  const traffic = new Traffic(SETTINGS);
  see(traffic, { flags: SYN });
  const surroundings = { ...QUIET, otherAddresses: ["127.0.0.1"] };
  expect(said(traffic, { surroundings })).toEqual([
    "failed arrival.packets: clients ask 10.1.0.1, and the service listens at 127.0.0.1 only: 1 packets, 1 new connections, 0 requests (packets by interface: front 1) in 3.0 s -> Let the service listen at that address too: ss -lnp 'sport = :80' shows where it does.",
  ]);
  expect(said(traffic, { surroundings: { ...surroundings, sentOn: "a rule" } })[0]).toStartWith(
    "warning arrival.packets",
  );
});

test.each<[string[], string, string[] | null]>([
  [["127.0.0.1"], "10.1.0.1", ["127.0.0.1"]],
  [["127.0.0.1", "::1"], "10.1.0.1", ["127.0.0.1", "::1"]],
  [["127.0.0.1", "10.1.0.1"], "10.1.0.1", null],
  [["0.0.0.0"], "10.1.0.1", null],
  [["::"], "10.1.0.1", null],
  [["::1"], "fd00:1::1", ["::1"]],
  [[], "10.1.0.1", null],
])("of a service at %p, clients who ask %s", (bound, to, expected) => {
  const sockets = bound.map((address) => ({ address: at(address), port: 80, state: 10 }));
  expect(otherAddresses(sockets, 80, at(to))).toEqual(expected);
  expect(otherAddresses(sockets, 81, at(to))).toBeNull();
});

const TLS = Uint8Array.from([22, 3, 1, 0, 60, 1, 0, 0, 56, 3, 3, ...Array(60).fill(7)]);

test("TLS at production cannot be copied", () => {
  const traffic = new Traffic(SETTINGS);
  visit(traffic, { data: TLS });
  expect(said(traffic)[1]).toStartWith(
    "failed arrival.protocol: TLS (1 of 1 connections): no target can read it",
  );
});

test.each([
  [1, 19, "ok arrival.protocol: HTTP/1 (19 of 20 connections), TLS (1 of 20 connections)"],
  [
    4,
    16,
    "warning arrival.protocol: HTTP/1 (16 of 20 connections), TLS (4 of 20 connections): no target can read it",
  ],
])("TLS of %p of clients, beside %p that speak HTTP", (secured, plain, expected) => {
  const traffic = new Traffic(SETTINGS);
  for (let index = 0; index < secured + plain; index++) {
    const from = { sourcePort: 40_000 + index };
    see(traffic, { ...from, flags: SYN });
    see(traffic, { ...from, data: index < secured ? TLS : GET });
  }
  expect(said(traffic)[1]).toStartWith(expected);
});

test("what the host of a target speaks to production is not what clients speak", () => {
  const traffic = new Traffic(SETTINGS);
  visit(traffic, { from: "10.0.0.2", data: TLS });
  visit(traffic, {});
  expect(said(traffic)[1]).toBe("ok arrival.protocol: HTTP/1 (1 of 1 connections)");
});

test("a service that speaks first is known by its greeting", () => {
  const traffic = new Traffic(SETTINGS);
  see(traffic, { flags: SYN });
  see(traffic, {
    from: HERE,
    sourcePort: 80,
    to: "10.1.0.2",
    port: 40_000,
    leaves: true,
    data: "SSH-2.0-x\r\n",
  });
  expect(said(traffic)[1]).toStartWith("failed arrival.protocol: SSH (1 of 1 connections)");
});

test.each([
  [0, "warning"],
  [-1, "ok"],
] as const)(
  "PROXY protocol in front with --proxy-protocol %p is %s, and what follows is recognized",
  (proxyProtocol, status) => {
    const traffic = new Traffic(SETTINGS);
    const line = "PROXY TCP4 10.9.0.1 10.1.0.1 5 80\r\n";
    visit(traffic, { data: line + GET });
    see(traffic, { sourcePort: 40_001, flags: SYN });
    see(traffic, { sourcePort: 40_001, data: line });
    see(traffic, { sourcePort: 40_001, data: GET });
    const [packets, protocol, proxy] = said(traffic, { proxyProtocol });
    expect(packets).toContain("2 new connections, 2 requests");
    expect(protocol).toBe("ok arrival.protocol: HTTP/1 (2 of 2 connections)");
    expect(proxy).toStartWith(
      `${status} arrival.proxy: 2 connections begin with a PROXY protocol header, version 1`,
    );
  },
);

test("the beginning of a recording is read as live packets are", async () => {
  const packet = (port: number, data: string) =>
    makeSegment({
      source: at("10.9.0.2"),
      destination: at("10.9.0.1"),
      ...{ sourcePort: 40_000, destinationPort: port, seq: 1, ack: 1, flags: ACK | PSH, payload: text(data) },
    });
  const directory = mkdtempSync(join(tmpdir(), "xcopy-doctor-"));
  const file = join(directory, "a.pcap");
  const packets = [packet(80, GET), packet(8000, GET), packet(80, GET)].map((data) => ({ data }));
  writeFileSync(file, pcap(packets, { linkType: 101 }));
  const traffic = new Traffic({ ...SETTINGS, isLocal: null });
  expect(await readBeginning([directory], traffic)).toEqual({ packets: 3, isPart: false, faults: [] });
  expect(traffic.arrivals[0]!.ways.taken).toMatchObject({ packets: 2, requests: 1 });
  writeFileSync(file, "this is no recording");
  const { packets: none, faults } = await readBeginning([file, "-"], new Traffic(SETTINGS));
  expect([none, faults.length]).toEqual([0, 2]);
  expect((await readBeginning(["/nowhere.pcap"], new Traffic(SETTINGS))).faults).toEqual([
    '"/nowhere.pcap": no such file',
  ]);
  expect(faults.join()).toContain("it is neither pcap nor pcapng");
  rmSync(directory, { recursive: true });
});

test("ports of virtual services of IPVS", () => {
  const table = [
    "IP Virtual Server version 1.2.1 (size=4096)",
    "Prot LocalAddress:Port Scheduler Flags",
    "  -> RemoteAddress:Port Forward Weight ActiveConn InActConn",
    "TCP  0A000009:0050 rr",
    "  -> 0A000002:1F90      Masq    1      0          0",
    "TCP  0A000009:1F90 rr",
    "  -> 0A000002:1F90      Masq    1      0          0",
  ].join("\n");
  expect(virtualPorts(table, 8080)).toEqual([80]);
  expect(virtualPorts(table, 80)).toEqual([]);
});
