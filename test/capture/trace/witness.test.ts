/** Packets of the Linux kernel, written by tcpdump; and tshark's word for the tunnels that we lay by hand. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Services } from "../../../src/capture/services.ts";
import { Dissector } from "../../../src/capture/trace/dissector.ts";
import { Frame } from "../../../src/capture/trace/frame.ts";
import { startTraceReader } from "../../../src/capture/trace/start.ts";
import { TraceRing } from "../../../src/capture/trace/trace-ring.ts";
import { build } from "../../bpf/build.ts";
import { concat, pcap } from "./lay.ts";
import { optionsFor, WEB } from "./read.ts";

const scratch = mkdtempSync(join(tmpdir(), "xcopy-witness-"));
afterAll(() => rmSync(scratch, { recursive: true }));

/** What each client (address and port) has sent, each byte once, in order of the sequence numbers. */
async function streamsOf(
  path: string,
): Promise<{ streams: string[]; duplicates: number; fragments: number }> {
  const reader = startTraceReader(optionsFor([path]), () => {});
  await reader.ready;
  const ring = new TraceRing(reader.memory);
  const parts = new Map<string, Map<number, string>>();
  while (!ring.isEnd) {
    const count = ring.drain((packet) => {
      expect(packet.end - packet.payload).toBe(packet.length);
      const client = `${packet.view.getUint32(packet.ip + 12)}:${packet.sourcePort}`;
      const stream = parts.get(client) ?? new Map<number, string>();
      parts.set(client, stream);
      if (packet.length === 0) return;
      stream.set(packet.seq, new TextDecoder().decode(packet.bytes.slice(packet.payload, packet.end)));
    }, 100);
    if (count === 0) await Bun.sleep(1);
  }
  expect(await reader.ended).toEqual([]);
  const { duplicates, fragments } = reader.counters();
  const streams = [...parts.values()].map((stream) =>
    [...stream]
      .sort(([one], [other]) => one - other)
      .map(([, text]) => text)
      .join(""),
  );
  return { streams, duplicates, fragments };
}

/**
 * Two connections to port 80, over a veth and over a VXLAN on it, whose packets of 1,550 bytes the kernel has cut in
 * fragments: captured on the veth, and on all interfaces in both forms of Linux's cooked header.
 */
describe("a connection, and one in VXLAN", () => {
  const REQUESTS = ["10.1.0.2", "10.2.1.2"].map(
    (address) => `${`GET /${address} `.padEnd(1990, "x")}0123456789`,
  );

  test.each(["vxlan.pcap", "any-v1.pcap", "any-v2.pcap"])("%s", async (name) => {
    const { streams, duplicates, fragments } = await streamsOf(join(import.meta.dir, "corpus", name));
    expect(streams).toEqual(REQUESTS);
    expect(fragments).toBeGreaterThan(0);
    // The interface of the tunnel shows again what is in it.
    expect(duplicates > 0).toBe(name.startsWith("any"));
  });
});

describe("tshark sees the same packet in a tunnel", () => {
  const hex = (text: string) => Uint8Array.from(Buffer.from(text.replaceAll(" ", ""), "hex"));
  const inner = build({ source: "10.7.0.1", destination: "10.7.0.2", seq: 4711, payload: 100 });
  const outer = (protocol: number, content: Uint8Array) => {
    const { bytes } = build({
      protocol,
      source: "10.1.0.1",
      destination: "10.1.0.2",
      totalLength: 20 + content.length,
    });
    return concat(bytes.subarray(0, 34), content);
  };

  const TUNNELS: [string, number, Uint8Array][] = [
    ["GRE", 47, concat(hex("0000 0800"), inner.ip)],
    ["GRE with key and sequence", 47, concat(hex("3000 0800 00000007 00000001"), inner.ip)],
    ["GRE with Ethernet", 47, concat(hex("0000 6558"), inner.bytes)],
    ["ERSPAN type I", 47, concat(hex("0000 88be"), inner.bytes)],
    ["ERSPAN type II", 47, concat(hex("1000 88be 00000001 1001000b 00000005"), inner.bytes)],
    ["ERSPAN type III", 47, concat(hex("1000 22eb 00000001 2001000b 00000000 00000000"), inner.bytes)],
    [
      "ERSPAN type III with a subheader",
      47,
      concat(hex("1000 22eb 00000001 2001000b 00000000 00000001 0c000000 00000000"), inner.bytes),
    ],
    ["VXLAN", 17, concat(hex("d000 12b5 00be 0000 08000000 00002a00"), inner.bytes)],
  ];

  /** What tshark says of each, a line a packet. */
  let lines: string[];
  beforeAll(() => {
    const path = join(scratch, "tunnels.pcap");
    writeFileSync(path, pcap(TUNNELS.map(([, protocol, content]) => ({ data: outer(protocol, content) }))));
    const fields = ["-T", "fields", "-e", "ip.dst", "-e", "tcp.seq_raw"];
    lines = Bun.spawnSync(["tshark", "-n", "-r", path, ...fields])
      .stdout.toString()
      .trimEnd()
      .split("\n");
  });

  test.each(TUNNELS)("%s", (name, protocol, content) => {
    expect(lines[TUNNELS.findIndex(([one]) => one === name)]).toBe("10.1.0.2,10.7.0.2\t4711");

    const data = outer(protocol, content);
    const frame = new Frame();
    frame.bytes = data;
    frame.view = new DataView(data.buffer, data.byteOffset, data.length);
    frame.end = data.length;
    frame.length = data.length;
    frame.linkType = 1;
    const dissector = new Dissector(new Services([WEB]), 6);
    expect(dissector.read(frame)).toBe(WEB.index);
    expect(data.slice(dissector.header.ip, dissector.header.end)).toEqual(inner.ip.slice());
  });
});
