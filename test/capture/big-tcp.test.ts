/** Packets above 64 KiB, as GRO joins them where an interface has BIG TCP, by every back end. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { monotonicMicroseconds } from "../../src/native/libc.ts";
import { ACK, build, type Frame, HOP_BY_HOP, PSH } from "../bpf/build.ts";
import type { Captured } from "../bpf/capture.ts";
import { until } from "../support/until.ts";
import { BACK_ENDS } from "./back-ends.ts";
import { HOST_MAC, Link, setLargest } from "./link.ts";

const V6 = { source: "fd00::1", destination: "fd00::2" };
const JUMBO_HEADER = 8;
/** GSO_MAX_SIZE, the largest that Linux has. */
const LARGEST = 524_280;

let link: Link;
beforeAll(() => {
  link = new Link();
  setLargest(link.client, link.client.ifindex("xca"), LARGEST);
  setLargest(link.host, link.ifindex, LARGEST);
});
afterAll(() => link?.remove());

interface Large {
  name: string;
  bytes: Uint8Array;
  payload: Uint8Array;
  extensions: number;
}

/** A frame of `size` bytes of payload whose IP header says no length: IPv4, IPv6, and IPv6 with a jumbo payload option. */
function large(kind: "IPv4" | "IPv6" | "jumbo", size: number, seq: number): Large {
  const payload = new Uint8Array(size).map((_, at) => at * 7 + (at >> 8));
  const extensions = kind === "jumbo" ? JUMBO_HEADER : 0;
  const fields: Frame = {
    destinationMac: HOST_MAC,
    ...(kind === "IPv4" ? {} : V6),
    ...(extensions > 0 ? { extensions: [HOP_BY_HOP] } : {}),
    totalLength: 0,
    seq,
    payload,
  };
  const { bytes } = build(fields);
  if (extensions > 0) {
    const view = new DataView(bytes.buffer);
    view.setUint16(14 + 42, 0xc204);
    view.setUint32(14 + 44, bytes.length - 14 - 40);
  }
  return { name: kind, bytes, payload, extensions };
}

describe.each(Object.entries(BACK_ENDS))("%s", (name, { open, traits }) => {
  // This host's IPv6 accepts none of those that a packet socket sends; native XDP runs before GRO.
  const kinds = name === "raw" ? (["IPv4"] as const) : (["IPv4", "IPv6", "jumbo"] as const);
  const sizes = [65_496, 196_000, 524_000];

  test.if(traits.seesJoined)("takes packets of up to 512 KiB, in segments that IP packets hold", async () => {
    const one = open(link.host, [link.ifindex], {});
    try {
      let seq = 1;
      for (const kind of kinds) {
        for (const size of sizes) {
          const { bytes, payload, extensions } = large(kind, size, seq);
          one.control.heartbeat(monotonicMicroseconds() / 1000);
          link.sendLarge(bytes, 1428, extensions);
          const records: Captured[] = [];
          const counted: Record<string, number> = {};
          await until(`${kind} of ${size} bytes`, () => {
            records.push(...one.take());
            for (const [counter, by] of Object.entries(one.counted()))
              counted[counter] = (counted[counter] ?? 0) + by;
            return (counted.requestsCaptured ?? counted.oversize) !== undefined;
          });
          records.push(...one.take());
          // Generic XDP reads 64 KiB; on an interface with BIG TCP tcx stands in for it.
          if (bytes.length > traits.largest && !name.startsWith("xdp-generic")) {
            expect({ records: records.length, counted }).toEqual({ records: 0, counted: { oversize: 1 } });
          } else {
            expect(counted).toMatchObject({ requestsCaptured: 1 });
            expectSegments(records, payload, seq);
          }
          seq += size;
        }
      }
    } finally {
      one.close();
    }
  });
});

function expectSegments(records: Captured[], payload: Uint8Array, first: number): void {
  let seq = first;
  for (const [index, { bytes, tcp, payload: at, length }] of records.entries()) {
    const view = new DataView(bytes.buffer, bytes.byteOffset);
    const isIp4 = bytes[0]! >> 4 === 4;
    expect(bytes.length).toBe(at + length);
    expect(bytes.length).toBeLessThan(65_536);
    expect(isIp4 ? view.getUint16(2) : view.getUint16(4) + 40).toBe(bytes.length);
    expect(tcp).toBe(isIp4 ? 20 : 40);
    expect(view.getUint32(tcp + 4)).toBe(seq);
    expect(bytes[tcp + 13]).toBe(index === records.length - 1 ? ACK | PSH : ACK);
    seq += length;
  }
  const found = Buffer.concat(records.map(({ bytes, payload: at }) => bytes.subarray(at)));
  expect([found.length, Bun.hash(found)]).toEqual([payload.length, Bun.hash(payload)]);
}
