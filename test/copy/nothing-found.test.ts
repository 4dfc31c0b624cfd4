/** What is said where nothing was found to copy: of recordings, and of this host. */
import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { KernelService } from "../../src/capture/services.ts";
import type { TraceOptions } from "../../src/capture/trace/options.ts";
import { parseTransfers, resolveTransfers } from "../../src/config/transfer.ts";
import { nothingFound } from "../../src/copy/notes/nothing-found.ts";
import { addSockets, type HostPorts, renderSilence } from "../../src/copy/notes/silence.ts";
import { ESTABLISHED, LISTEN, type OpenSocket } from "../../src/native/sockets.ts";
import { ACK, build, bytesOf, type Frame, PSH, SYN } from "../bpf/build.ts";
import { type Laid, type PcapForm, pcap } from "../capture/trace/lay.ts";
import { readAll } from "../capture/trace/read.ts";

const scratch = mkdtempSync(join(tmpdir(), "xcopy-nothing-"));
afterAll(() => rmSync(scratch, { recursive: true }));

const NOW = 1_700_000_000_000_000;
const SERVICE = { source: "10.0.0.1", destination: "10.0.0.2", destinationPort: 80 };
const OTHER = { ...SERVICE, destinationPort: 8080 };
const DATA = ACK | PSH;
const UDP = 17;
const packet = (fields: Frame): Laid => ({ time: NOW, data: build(fields).bytes });
const several = (count: number, fields: Frame): Laid[] => Array.from({ length: count }, () => packet(fields));

/** The two lines of the Failure that a replay with `-x transfer` of these packets ends with. */
async function explain(
  packets: Laid[],
  {
    transfer = "80-10.0.0.9",
    form = {},
    services,
    ...options
  }: Partial<TraceOptions> & {
    transfer?: string;
    form?: PcapForm;
  } = {},
) {
  const path = join(scratch, "a.pcap");
  writeFileSync(path, pcap(packets, form));
  const lookup = () => Promise.reject(new Error("no names"));
  const found = await resolveTransfers(
    parseTransfers([transfer]),
    lookup,
    async ({ addresses }) => addresses[0]!,
  );
  const read = found.map(
    ({ address, port, transport }, index): KernelService => ({
      address: address?.bytes ?? null,
      family: (address ?? found[index]!.routes[0]!.targets[0]!.address).family,
      port,
      transport: transport ?? "tcp",
      index,
    }),
  );
  const { unmatched, counters } = await readAll([path], { services: services ?? read, ...options });
  return unmatched && nothingFound(unmatched, counters, found, [path]);
}

describe("a recording without a packet to the service", () => {
  test.each<[string, Laid[], Parameters<typeof explain>[1], string[]]>([
    ["nothing at all", [], {}, ["It has no packets at all"]],
    [
      "only responses",
      several(3, { ...SERVICE, sourcePort: 80, destinationPort: 40000, flags: DATA, payload: 9 }),
      {},
      ["3 packets from there, none to it: only responses", "capture both directions"],
    ],
    [
      "another port",
      [
        ...several(5, { ...OTHER, flags: SYN }),
        ...several(2, { ...SERVICE, destinationPort: 443, flags: SYN }),
      ],
      {},
      ["7 connections to other ports: 8080 (5), 443 (2)", "name the port that clients use"],
    ],
    [
      "another port, of which only the responses were captured",
      several(2, { ...SERVICE, sourcePort: 8080, destinationPort: 40000, flags: SYN | ACK }),
      {},
      ["2 connections to other ports: 8080 (2)"],
    ],
    [
      "connections that began before, to another port",
      several(4, { ...OTHER, sourcePort: 40000, flags: DATA, payload: 5 }),
      {},
      ["4 packets of TCP connections that began before, of ports 8080 (4)"],
    ],
    [
      "another address",
      several(2, { ...SERVICE, destination: "10.0.0.3", flags: DATA, payload: 5 }),
      { transfer: "10.0.0.2:80-10.0.0.9" },
      ["no packet goes to port 80 of 10.0.0.2", "2 packets to this port of other addresses, as 10.0.0.3"],
    ],
    [
      "another family",
      several(2, { source: "fd00::1", destination: "fd00::2", destinationPort: 80, flags: DATA, payload: 5 }),
      {},
      [
        "2 packets to this port of other addresses, as fd00::2",
        "name a target with an address of this family",
      ],
    ],
    [
      "UDP",
      several(6, { ...SERVICE, sourcePort: 40000, protocol: UDP }),
      {},
      ["6 UDP datagrams of ports 80 (6)", "-x udp:PORT"],
    ],
    [
      "TCP in place of UDP",
      several(2, { ...SERVICE, flags: SYN }),
      { transfer: "udp:80-10.0.0.9" },
      ["no packet goes to UDP port 80", "2 connections to other ports: 80 (2)"],
    ],
    ["IPsec", several(2, { ...SERVICE, protocol: 50 }), {}, ["2 packets that IPsec encrypts"]],
    [
      "IPsec in UDP",
      several(2, { ...SERVICE, protocol: UDP, destinationPort: 4500, ack: 77 }),
      {},
      ["2 packets that IPsec encrypts"],
    ],
    [
      "WireGuard",
      [
        packet({
          ...SERVICE,
          protocol: UDP,
          destinationPort: 51820,
          seq: (156 << 16) >>> 0,
          ack: 0x01000000,
        }),
        packet({
          ...SERVICE,
          protocol: UDP,
          destinationPort: 51820,
          seq: (136 << 16) >>> 0,
          ack: 0x04000000,
        }),
      ],
      {},
      ["2 packets that WireGuard encrypts", "WireGuard's own interface"],
    ],
    [
      "a link type that is not read",
      several(3, {}),
      { form: { linkType: 220 } },
      ["3 frames of link type 220 (USB_LINUX_MMAPPED), which xcopy does not read"],
    ],
    [
      "a link type without a name",
      several(3, {}),
      { form: { linkType: 9999 } },
      ["3 frames of link type 9999,"],
    ],
    ["no IP", [{ time: NOW, data: new Uint8Array(60) }], {}, ["1 frames without IP"]],
    [
      "other times",
      several(3, { ...SERVICE, flags: DATA, payload: 5 }),
      { start: { at: NOW + 5e6 } },
      ["3 packets outside of --start and --end"],
    ],
    [
      "only pieces of headers",
      [{ time: NOW, data: build(SERVICE).bytes.subarray(0, 40), length: 54 }],
      {},
      ["1 packets cut within their headers", "tcpdump -s 0"],
    ],
  ])("%s: what was there instead, as a mistake", async (_, packets, options, texts) => {
    const failure = (await explain(packets, options))!;
    expect(failure.exitCode).toBe(2);
    const text = `${failure.message}\n${failure.fix}`;
    for (const one of ["Cannot replay", ...texts]) expect(text).toContain(one);
  });

  test("one that has any says nothing, whatever else it has", async () => {
    const mixed = [...several(9, { ...OTHER, flags: SYN }), packet({ ...SERVICE, flags: SYN })];
    expect(await explain(mixed)).toBeNull();
    expect(await explain(mixed, { leftOut: 2 ** 32 })).toBeNull();
  });
});

describe("a host on which nothing comes to the service", () => {
  const socket = (port: number, state: number): OpenSocket => ({ address: bytesOf("10.0.0.1"), port, state });
  const hostWith = (...sockets: OpenSocket[]): HostPorts => {
    const host: HostPorts = { connections: new Map(), listening: new Set() };
    addSockets(host, sockets);
    return host;
  };
  const WEB = { address: null, port: 80 };
  const busy = [
    socket(8080, LISTEN),
    socket(22, LISTEN),
    socket(22, ESTABLISHED),
    socket(50000, ESTABLISHED),
  ];
  const many = Array.from({ length: 12 }, () => socket(8080, ESTABLISHED));

  test.each<[string, Parameters<typeof renderSilence>[0], HostPorts, number[], boolean, RegExp]>([
    [
      "that serves another port",
      WEB,
      hostWith(...busy, ...many),
      [],
      true,
      /Nothing listens on port 80 .*8080 \(12\), 22 \(1\)\./,
    ],
    [
      "behind a rule",
      { ...WEB, port: 8080 },
      hostWith(...busy, ...many),
      [80],
      true,
      /port 8080 here: 12\. Netfilter translates what clients send to port 80:/,
    ],
    [
      "whose packets come elsewhere",
      { ...WEB, port: 8080 },
      hostWith(...busy, ...many),
      [],
      true,
      /established connections of port 8080 here: 12\. .*REDIRECT/,
    ],
    [
      "without clients",
      WEB,
      hostWith(socket(80, LISTEN)),
      [],
      true,
      /A service listens on port 80, and has no connection\.$/,
    ],
    [
      "that only watches",
      { address: { bytes: bytesOf("10.0.0.9"), family: 4 }, port: 80 },
      hostWith(),
      [],
      false,
      /port 80 of 10\.0\.0\.9 .*\n10\.0\.0\.9 is no address of this host/,
    ],
  ])("%s", (_, service, host, translated, isLocal, text) => {
    const said = renderSilence(service, "captured by tcx on lo, eth0", host, translated, isLocal);
    expect(said).toStartWith("no request to port ");
    expect(said).toContain("captured by tcx on lo, eth0");
    expect(said).toMatch(text);
  });

  test("keeps the most connections that it had at a time", () => {
    const host = hostWith(...many);
    addSockets(host, [socket(8080, ESTABLISHED)]);
    expect(host.connections.get(8080)).toBe(12);
  });
});
