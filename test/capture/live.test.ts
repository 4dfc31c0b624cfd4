/** What every live source has to do: the same packets in, the same records out, the same counts. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { Hook } from "../../src/capture/kernel.ts";
import { ACK, build, bytesOf, FIN, type Frame, PSH, SYN } from "../bpf/build.ts";
import { type Captured, loadForTest, type TestCapture } from "../bpf/capture.ts";
import { command } from "../bpf/namespace.ts";
import { until } from "../support/until.ts";
import { HOST_MAC, Link, Tun } from "./link.ts";

const V6 = { source: "fd00::1", destination: "fd00::2" };
const FLOW_PORT = 33000;
const RESPONSE = { source: "10.0.0.9", sourcePort: 8080, destinationPort: FLOW_PORT };

describe.each(["tcx", "clsact"] as Hook[])("%s", (hook) => {
  let link: Link;
  let tun: Tun;
  let capture: TestCapture;

  beforeAll(() => {
    link = new Link();
    tun = new Tun(link.host, "xct");
    capture = loadForTest({ hook });
    capture.flows.add(0, FLOW_PORT);
    const ifindexes = [link.ifindex, tun.ifindex];
    link.host.enter(() => {
      capture.kernel.attachResponses(ifindexes);
      capture.kernel.attachRequests(ifindexes);
    });
  });

  afterAll(() => {
    if (capture) link.host.enter(() => capture.kernel.detach());
    tun?.remove();
    link?.remove();
  });

  /** Sends a last packet behind all others, and waits until it has come. */
  async function settled(): Promise<Captured[]> {
    const { bytes } = build({ destinationMac: HOST_MAC, sourcePort: 1, seq: nextSeq++, payload: "last" });
    link.send(bytes);
    const records: Captured[] = [];
    await until("the last packet", () => {
      records.push(...capture.takeRequests());
      return records.at(-1)?.bytes.at(-1) === "t".charCodeAt(0);
    });
    records.pop();
    return records;
  }
  let nextSeq = 1;

  function frame(fields: Frame) {
    return build({ destinationMac: HOST_MAC, ...fields });
  }

  test("says its name", () => {
    expect(capture.kernel.hook).toBe(hook);
  });

  test("captures requests, whatever their form, and counts the rest", async () => {
    capture.beat();
    await settled();
    capture.counted();
    const requests: [frame: Frame, index: number][] = [
      [{ flags: SYN, seq: 999, tcpOptions: 20 }, 1],
      [{ payload: "GET / HTTP/1.1\r\n\r\n" }, 1],
      [{ ...V6, payload: "GET / HTTP/1.1\r\n\r\n" }, 3],
      [{ tags: [0x8100], sourcePort: 50001, payload: 100 }, 1],
      [{ tags: [0x88a8, 0x8100], sourcePort: 50002, payload: 100 }, 1],
      [{ destinationPort: 8080, payload: 1460 }, 2],
      [{ seq: 1018, flags: FIN | ACK }, 1],
    ];
    for (const [fields] of requests) link.send(frame(fields).bytes);
    const others: Frame[] = [
      { flags: ACK, seq: 1018 },
      { destinationPort: 81, payload: 5 },
      { fragmentOffset: 100, payload: 100 },
      { destinationMac: [2, 9, 9, 9, 9, 9], destinationPort: 8080, payload: 5 },
    ];
    for (const fields of others) link.send(frame(fields).bytes);
    const records = await settled();
    expect(records.map(({ bytes, index }) => ({ bytes, index }))).toEqual(
      requests.map(([fields, index]) => ({ bytes: frame(fields).ip, index })),
    );
    const bytes = requests.reduce((sum, [fields]) => sum + frame(fields).ip.length, 44);
    expect(capture.counted()).toEqual({
      requestsCaptured: requests.length + 1,
      requestBytes: bytes,
      pureAcks: 1,
      fragments: 1,
    });
  });

  const large: [fields: Frame, size: number][] = [
    [{}, 4096],
    [{}, 8192],
    [{}, 8193],
    [{}, 16385],
    [{}, 32769],
    [{}, 65400],
    [V6, 65535 - 60],
  ];
  test.each(large)("captures a packet in one piece: %j, %d bytes of payload", async (fields, size) => {
    capture.beat();
    const { bytes, ip } = frame({ ...fields, sourcePort: 51000, seq: size, payload: size });
    link.sendLarge(bytes, 1428);
    const records = await settled();
    expect(records.map(({ length }) => length)).toEqual([size]);
    expect(Bun.hash(records[0]!.bytes)).toBe(Bun.hash(ip));
  });

  test("counts packets that are larger than a record can be", async () => {
    capture.beat();
    await settled();
    capture.counted();
    link.sendLarge(frame({ ...V6, sourcePort: 51000, payload: 65536 - 60 }).bytes, 1428);
    expect(await settled()).toEqual([]);
    expect(capture.counted()).toMatchObject({ oversize: 1, requestsCaptured: 1 });
  });

  test("finds headers outside the linear part of a packet", async () => {
    capture.beat();
    const frames = [
      frame({ sourcePort: 52000, payload: 5000 }),
      frame({ ...V6, sourcePort: 52000, payload: 6000 }),
      frame({ tags: [0x88a8, 0x8100], sourcePort: 52001, payload: 5000 }),
    ];
    for (const { bytes } of frames) link.send(bytes, 14);
    const records = await settled();
    expect(records.map(({ bytes }) => Bun.hash(bytes))).toEqual(frames.map(({ ip }) => Bun.hash(ip)));
  });

  test("captures on interfaces without MAC headers", async () => {
    capture.beat();
    const packets = [
      build({ sourcePort: 53000, payload: 900 }),
      build({ ...V6, sourcePort: 53000, payload: 900 }),
      build({ sourcePort: 53001, destinationPort: 8080, payload: 900 }),
      // Read as an Ethernet frame, this is IPv4 (08 00 45), no fragment, and not TCP.
      build({ source: "8.0.69.1", sourcePort: 0xe000, payload: 900 }),
    ];
    for (const { ip } of packets) tun.receive(ip);
    const records = await settled();
    expect(records.map(({ bytes }) => bytes)).toEqual(packets.map(({ ip }) => ip));
    expect(records.map(({ index }) => index)).toEqual([1, 3, 2, 1]);
  });

  test("knows a packet again that came over another interface", async () => {
    capture.beat();
    await settled();
    capture.counted();
    const { bytes, ip } = frame({ sourcePort: 54000, payload: 900 });
    link.send(bytes);
    expect(await settled()).toHaveLength(1);
    tun.receive(ip);
    expect(await settled()).toEqual([]);
    expect(capture.counted()).toMatchObject({ duplicates: 1, requestsCaptured: 3 });
  });

  test("drops responses of ours before this host's TCP sees them, and no others", async () => {
    capture.beat();
    const seen = () => Number(link.host.run("nstat", "-asz", "TcpInSegs").match(/TcpInSegs\s+(\d+)/)![1]);
    await settled();
    capture.counted();
    capture.takeResponses();
    const before = seen();
    const ours = [
      frame({ ...RESPONSE, flags: SYN | ACK }),
      frame({ ...RESPONSE, flags: ACK | PSH, payload: 1000 }),
    ];
    for (const { bytes } of ours) link.send(bytes);
    link.send(frame({ ...RESPONSE, destinationPort: FLOW_PORT + 1, flags: ACK }).bytes);
    link.send(frame({ ...RESPONSE, source: "10.0.0.8", flags: ACK }).bytes);
    await settled();
    expect(capture.takeResponses().map(({ bytes, length }) => [bytes, length])).toEqual(
      ours.map(({ ip }) => [ip.subarray(0, 40), ip.length - 40]),
    );
    expect(capture.counted()).toMatchObject({ responsesCaptured: 2, responseBytes: 40 + 1040 });
    // Two strangers and the last packet of `settled`.
    expect(seen() - before).toBe(3);
  });

  test.each([
    ["responses first", ["attachResponses", "attachRequests"]],
    ["requests first", ["attachRequests", "attachResponses"]],
  ] as const)("asks whether a packet is a response before anything else, attached %s", async (_, order) => {
    const both = { address: bytesOf("10.0.0.2"), family: 4 as const, port: FLOW_PORT, index: 9 };
    const other = loadForTest({ hook, services: [both] });
    try {
      other.beat();
      other.flows.add(0, FLOW_PORT);
      link.host.enter(() => {
        for (const attach of order) other.kernel[attach]([link.ifindex]);
      });
      // The capture of the other tests is on this interface too, and inert.
      capture.control.heartbeat(0);
      link.send(frame({ ...RESPONSE, payload: 10 }).bytes);
      await until("the response", () => other.kernel.stats().responsesCaptured > 0);
      expect(other.takeResponses()).toHaveLength(1);
      expect(other.kernel.stats().requestsCaptured).toBe(0);
      expect(other.takeRequests()).toEqual([]);
    } finally {
      link.host.enter(() => other.kernel.detach());
    }
  });

  test("is gone after detach", () => {
    const other = loadForTest({ hook });
    const id = programId(other.kernel.requestProgram);
    link.host.enter(() => {
      other.kernel.attachResponses([link.ifindex]);
      other.kernel.attachRequests([link.ifindex]);
      expect(command("bpftool", "prog", "show", "id", id)).toContain("xcopy_request");
      other.kernel.detach();
    });
    return until(
      "the kernel to free the program",
      () => Bun.spawnSync(["bpftool", "prog", "show", "id", id]).exitCode !== 0,
    );
  });

  test("refuses an interface that is not there", () => {
    expect(() => link.host.enter(() => capture.kernel.attachRequests([9999]))).toThrow(
      "Cannot attach to interface 9999: no such interface",
    );
  });
});

function programId(fd: number): string {
  return /prog_id:\s*(\d+)/.exec(command("cat", `/proc/${process.pid}/fdinfo/${fd}`))![1]!;
}
