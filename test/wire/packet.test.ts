/** The fields of a captured packet. */
import { expect, test } from "bun:test";
import { Packet } from "../../src/wire/packet.ts";

test("fields are read in network order, unsigned, at the offsets that were set", () => {
  const bytes = new Uint8Array(100);
  const memory = bytes.subarray(10);
  const packet = new Packet(memory);
  packet.ip = 6;
  packet.tcp = 46;
  memory[6] = 0x60;
  memory.set([0xff, 0xfe, 0x1f, 0x90, 0xff, 0xff, 0xff, 0xfe, 0x80, 0, 0, 1, 0xa7, 0x12, 0xff, 0xfd], 46);
  expect({
    family: packet.family,
    sourcePort: packet.sourcePort,
    destinationPort: packet.destinationPort,
    seq: packet.seq,
    ack: packet.ack,
    headerLength: packet.headerLength,
    flags: packet.flags,
    window: packet.window,
  }).toEqual({
    family: 6,
    sourcePort: 0xfffe,
    destinationPort: 8080,
    seq: 0xfffffffe,
    ack: 0x80000001,
    headerLength: 40,
    flags: 0x12,
    window: 0xfffd,
  });
  memory[6] = 0x45;
  expect(packet.family).toBe(4);
});
