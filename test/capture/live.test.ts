/** Both programs on interfaces: their order, what they drop, how they come and go. What they capture: conformance.test.ts. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { Hook } from "../../src/capture/attachments.ts";
import { ACK, build, bytesOf, type Frame, PSH, SYN } from "../bpf/build.ts";
import { type Captured, loadForTest, type TestCapture } from "../bpf/capture.ts";
import { command } from "../bpf/namespace.ts";
import { until } from "../support/until.ts";
import { HOST_MAC, Link, Tun } from "./link.ts";

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

  test("reports its name", () => {
    expect(capture.kernel.hook).toBe(hook);
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
  ] as const)("runs the response program first, attached %s", async (_, order) => {
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
