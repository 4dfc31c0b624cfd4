/** ICMP messages about packets of ours reach user space, and pass. */
import { describe, expect, test } from "bun:test";
import { testRun } from "../../src/native/bpf/test-run.ts";
import { readTooBig } from "../../src/wire/icmp.ts";
import { Packet } from "../../src/wire/packet.ts";
import { ACK, type Frame } from "./build.ts";
import { quoting } from "./quoting.ts";
import { useResponsePrograms } from "./response-programs.ts";

const PASS = -1;
const PORT = 33000;
/** A packet of ours to the target. */
const OURS: Frame = {
  source: "10.0.0.2",
  destination: "10.0.0.9",
  sourcePort: PORT,
  destinationPort: 8080,
  flags: ACK,
  seq: 77,
};
const OURS6: Frame = { ...OURS, source: "fd00::2", destination: "fd00::9" };

const programs = useResponsePrograms(PORT);

const run = (frame: Uint8Array): number => testRun(programs.capture.kernel.responseProgram, frame).verdict;

describe('ICMP "packet too big" about a packet of ours is captured', () => {
  const cases: [string, Uint8Array, number][] = [
    ["IPv4", quoting(OURS, 3, 4, [0, 0, 1300 >> 8, 1300 & 255]), 0],
    ["IPv6", quoting(OURS6, 2, 0, [0, 0, 1300 >> 8, 1300 & 255]), 1],
  ];
  test.each(cases)("%s", (_, frame, index) => {
    expect(run(frame)).toBe(PASS);
    const [record, ...others] = programs.capture.takeResponses();
    expect(others).toEqual([]);
    expect(record!.index).toBe(index);
    expect(record!.tcp).toBe(0);
    const packet = new Packet(record!.bytes);
    packet.end = record!.bytes.length;
    const told = { mtu: 0, sourcePort: 0, seq: 0 };
    expect(readTooBig(packet, told)).toBe(true);
    expect(told).toEqual({ mtu: 1300, sourcePort: PORT, seq: 77 });
  });
});

describe("other messages are not captured", () => {
  const cases: [string, Uint8Array][] = [
    ["another flow of this host", quoting({ ...OURS, sourcePort: PORT + 1 }, 3, 4, [0, 0, 5, 0])],
    ["another target", quoting({ ...OURS, destination: "10.0.0.8" }, 3, 4, [0, 0, 5, 0])],
    ["port unreachable", quoting(OURS, 3, 3, [0, 0, 5, 0])],
    ["an echo request", quoting(OURS, 8, 0, [0, 0, 5, 0])],
    ["IPv6 time exceeded", quoting(OURS6, 3, 0, [0, 0, 5, 0])],
  ];
  test.each(cases)("%s", (_, frame) => {
    expect(run(frame)).toBe(PASS);
    expect(programs.capture.takeResponses()).toEqual([]);
  });
});
