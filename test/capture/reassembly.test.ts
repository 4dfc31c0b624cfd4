/** Fragments of requests put together, and the service that the whole packet goes to. */
import { describe, expect, test } from "bun:test";
import { Reassembly } from "../../src/capture/reassembly.ts";
import { type KernelService, Services } from "../../src/capture/services.ts";
import { IPPROTO_TCP } from "../../src/wire/ip.ts";
import { Packet } from "../../src/wire/packet.ts";
import { workerOfClient } from "../../src/wire/shard.ts";
import { IPPROTO_UDP } from "../../src/wire/udp.ts";
import { build, bytesOf, FRAGMENT, type Frame } from "../bpf/build.ts";
import { fc } from "../config/seed.ts";

const V6 = { source: "fd00::1", destination: "fd00::2" };
const SERVICES: KernelService[] = [
  { address: bytesOf("10.0.0.2"), family: 4, port: 80, index: 1 },
  { address: null, family: 6, port: 80, index: 2 },
];

function tcp(worker?: { index: number; count: number }): Reassembly {
  return new Reassembly(new Services(SERVICES), IPPROTO_TCP, worker);
}

/** The fragments of a packet of ours, cut at these bytes of its segment (multiples of 8), as a source hands them over. */
function fragmentsOf(fields: Frame, cuts: number[], time = 0): Packet[] {
  const isIp6 = fields.destination?.includes(":") ?? false;
  const { ip } = build(fields);
  const segment = ip.subarray(isIp6 ? 40 : 20);
  const ends = [...cuts, segment.length];
  return ends.map((end, index) => {
    const from = index === 0 ? 0 : ends[index - 1]!;
    const data = segment.slice(from, end);
    // The builder writes a TCP header of 20 bytes, which the data replaces.
    const whole = build({
      ...fields,
      ipOptions: 0,
      tcpOptions: 0,
      extensions: isIp6 ? [FRAGMENT] : [],
      fragmentOffset: from / 8,
      moreFragments: end < segment.length,
      payload: Math.max(0, data.length - 20),
      totalLength: isIp6 ? 8 + data.length : 20 + data.length,
    }).ip;
    const headers = isIp6 ? 48 : 20;
    const bytes = new Uint8Array(new ArrayBuffer(headers + data.length));
    bytes.set(whole.subarray(0, headers));
    bytes.set(data, headers);
    const packet = new Packet(bytes);
    packet.tcp = headers;
    packet.payload = headers;
    packet.end = bytes.length;
    packet.length = data.length;
    packet.time = time;
    packet.ifindex = 5;
    return packet;
  });
}

function takeAll(reassembly: Reassembly, packets: Packet[]): Packet[] {
  return packets.flatMap((packet) => {
    const whole = reassembly.take(packet);
    if (whole === null) return [];
    const copy = new Packet(whole.bytes.slice());
    return [Object.assign(copy, { ...whole, bytes: copy.bytes, view: copy.view })];
  });
}

const payloadOf = ({ bytes, payload, end }: Packet) => bytes.slice(payload, end);

describe.each([
  ["IPv4", {}, 1],
  ["IPv6", V6, 2],
] as [string, Frame, number][])("segments over %s", (_, family, service) => {
  const fields: Frame = { ...family, payload: 3000, tcpOptions: 12, seq: 77, id: 4 };
  const expected = build(fields).ip.slice(-3000);

  test("are whole, in whatever order their fragments came and how often", () => {
    fc.assert(
      fc.property(
        fc.uniqueArray(fc.integer({ min: 4, max: 370 }), { maxLength: 6 }),
        fc.infiniteStream(fc.nat()),
        (units, random) => {
          const cuts = units.toSorted((a, b) => a - b).map((unit) => unit * 8);
          if (cuts.length === 0) return;
          const parts = fragmentsOf(fields, cuts);
          // The last one to come completes it; before that some come again.
          const keyed = parts.map((part) => [random.next().value as number, part] as const);
          const shuffled = keyed.toSorted((a, b) => a[0] - b[0]).map(([, part]) => part);
          const reassembly = tcp();
          const [whole, ...others] = takeAll(reassembly, [
            ...shuffled.slice(0, -1),
            shuffled[0]!,
            ...shuffled.slice(-1),
          ]);
          expect(others).toEqual([]);
          expect(payloadOf(whole!)).toEqual(expected);
          expect(whole).toMatchObject({ index: service, length: 3000, seq: 77, ifindex: 5, think: -1 });
          expect([reassembly.captured, reassembly.overlapping]).toEqual([parts.length + 1, 0]);
        },
      ),
      { numRuns: 50 },
    );
  });

  test("without one of their fragments count as incomplete after 30 s", () => {
    const reassembly = tcp();
    expect(takeAll(reassembly, fragmentsOf(fields, [800, 1600]).slice(1))).toEqual([]);
    expect(reassembly.incomplete).toBe(0);
    takeAll(reassembly, fragmentsOf({ ...fields, ...family, id: 5, sourcePort: 9 }, [800], 31e6).slice(0, 1));
    expect(reassembly.incomplete).toBe(1);
    reassembly.clear();
    expect(reassembly.incomplete).toBe(2);
  });

  test("whose fragments contradict each other are given up", () => {
    const [first, second] = fragmentsOf(fields, [800]);
    const other = fragmentsOf({ ...fields, payload: new Uint8Array(3000) }, [808])[0]!;
    const reassembly = tcp();
    expect(takeAll(reassembly, [first!, other, second!])).toEqual([]);
    expect(reassembly.overlapping).toBe(1);
  });

  test("to no service are none of ours", () => {
    expect(takeAll(tcp(), fragmentsOf({ ...fields, destinationPort: 81 }, [800]))).toEqual([]);
  });

  test("with a header that is cut or malformed are none", () => {
    const parts = fragmentsOf({ ...fields, payload: 0, tcpOptions: 0 }, [16]);
    for (const size of [0x40, 0xf0]) {
      const [first, second] = [parts[0]!, parts[1]!];
      first.bytes[first.tcp + 12] = size;
      expect(takeAll(tcp(), [first, second])).toEqual([]);
    }
  });

  test("of another worker's flow are counted, not taken", () => {
    const client = new Int32Array([0, 0, 0xffff, 0x0a000001]);
    if (service === 2) client.set([0xfd000000 | 0, 0, 0, 1]);
    const count = 3;
    for (let index = 0; index < count; index++) {
      const reassembly = tcp({ index, count });
      const isOurs = workerOfClient(client, 0, 50000, count) === index;
      expect(takeAll(reassembly, fragmentsOf(fields, [800]))).toHaveLength(isOurs ? 1 : 0);
      expect(reassembly.incomplete).toBe(isOurs ? 0 : 1);
    }
  });
});

test("datagrams are put together by their own protocol", () => {
  const services = new Services([{ address: null, family: 4, port: 53, index: 3, transport: "udp" }]);
  // The first bytes of the TCP header that is built are taken for that of UDP.
  const fields = { protocol: 17, destinationPort: 53, payload: 1000 };
  const parts = fragmentsOf(fields, [400, 800]);
  expect(takeAll(tcp(), parts)).toEqual([]);
  const [whole] = takeAll(new Reassembly(services, IPPROTO_UDP), parts);
  expect(whole).toMatchObject({ index: 3, length: 1012 });
});
