/** Duplicates, pure ACKs and think times of recorded traffic. */
import { expect, test } from "bun:test";
import {
  CAPTURED,
  DUPLICATE,
  flowHash,
  flowHashOf,
  History,
  PURE_ACK,
} from "../../../src/capture/history.ts";
import { Packet } from "../../../src/wire/packet.ts";
import { ACK, FIN, PSH, RST, SYN } from "../../../src/wire/tcp.ts";
import { type Fields, packet } from "../../engine/packets.ts";

const CLIENT = { sourcePort: 40_000, destinationPort: 80 };

/** What becomes of each: its fate, and the think time if it was captured. */
function look(
  ...steps: (Omit<Fields, "sourcePort" | "destinationPort"> & { sourcePort?: number; on?: number })[]
) {
  const history = new History();
  return steps.map(({ on = 0, ...fields }) => {
    const seen = packet({ ...CLIENT, ...fields });
    const fate = history.look(seen, flowHash(seen), on);
    return fate === CAPTURED
      ? seen.think
      : fate === PURE_ACK
        ? "pure ACK"
        : fate === DUPLICATE
          ? "duplicate"
          : fate;
  });
}

const data = Uint8Array.of(1, 2, 3);

test("the ACK that ends a handshake is captured, others are not", () => {
  expect(
    look(
      { seq: 99, flags: SYN, time: 1 },
      { seq: 100, ack: 7, flags: ACK, time: 2 },
      { seq: 100, ack: 7, flags: ACK, time: 3 },
      { seq: 100, ack: 50, flags: ACK, time: 4 },
    ),
  ).toEqual([-1, 0, "pure ACK", "pure ACK"]);
});

test("a pure ACK of each connection is captured once a minute, as a sign of life", () => {
  const ack = { seq: 100, ack: 7, flags: ACK };
  const minute = 60_000_000;
  expect(
    look(
      { seq: 99, flags: SYN, time: 1 },
      { ...ack, time: 2 },
      { ...ack, time: minute - 1 },
      { ...ack, seq: 99, time: minute + 1 },
      { ...ack, time: 2 * minute },
      { ...ack, time: 2 * minute + 1 },
      { ...ack, time: 500 * minute },
      // A recording whose time steps back.
      { ...ack, time: minute },
    ),
  ).toEqual([-1, 0, "pure ACK", 0, "pure ACK", 0, 0, 0]);
});

test("of a connection whose beginning was not seen the first pure ACK is not captured", () => {
  const ack = { seq: 100, ack: 7, flags: ACK };
  expect(look({ ...ack, time: 1 }, { ...ack, time: 2 }, { ...ack, time: 60_000_001 })).toEqual([
    "pure ACK",
    "pure ACK",
    0,
  ]);
});

test("connections that share a slot each give signs of life, while SYNs of others share it too", () => {
  const history = new History();
  const FLOWS = 12;
  const captured = Array<number>(FLOWS).fill(0);
  const seen = packet({ ...CLIENT, seq: 100, ack: 7, flags: ACK });
  const syn = packet({ ...CLIENT, seq: 100, flags: SYN });
  for (let second = 0; second < 7500; second++) {
    syn.time = second * 1_000_000;
    if (second % 10 === 0) history.look(syn, 7 + (FLOWS + second) * 65_536, 0);
    for (let flow = 0; flow < FLOWS; flow++) {
      // The first two are busy, the others send keep-alives.
      if (flow > 1 && second % 75 !== 5 * flow) continue;
      seen.time = second * 1_000_000 + flow;
      if (history.look(seen, 7 + flow * 65_536, 0) === CAPTURED) captured[flow]!++;
    }
  }
  // 100 keep-alives each; the busy ones have one a minute, and more where they were driven out.
  for (const count of captured.slice(2)) expect(count).toBeGreaterThan(50);
  for (const count of captured.slice(0, 2)) expect(count).toBeLessThan(7500 / 4);
});

test("after a SYN with data (TCP Fast Open) that ACK has the sequence number after the data", () => {
  expect(
    look({ seq: 99, flags: SYN, payload: data, time: 1 }, { seq: 103, ack: 7, flags: ACK, time: 2 }),
  ).toEqual([-1, 0]);
});

test("think time is the time since the last pure ACK with the same numbers", () => {
  expect(
    look(
      { seq: 100, ack: 7, flags: ACK, time: 1000 },
      { seq: 100, ack: 7, flags: ACK | PSH, payload: data, time: 6000 },
      { seq: 103, ack: 7, flags: ACK | PSH, payload: data, time: 7000 },
      { seq: 106, ack: 90, flags: ACK, time: 8000 },
      { seq: 106, ack: 91, flags: ACK | PSH, payload: data, time: 9000 },
      { seq: 200, ack: 95, flags: ACK, time: 10_000 },
      { seq: 200, ack: 95, flags: ACK | FIN, time: 10_500 },
    ),
  ).toEqual(["pure ACK", 5000, -1, "pure ACK", -1, "pure ACK", 500]);
});

test("a pure ACK of another client gives no think time", () => {
  expect(
    look(
      { seq: 100, ack: 7, flags: ACK, time: 1000 },
      { sourcePort: 40_001, seq: 100, ack: 7, flags: ACK | PSH, payload: data, time: 2000 },
    ),
  ).toEqual(["pure ACK", -1]);
});

test("what is far from the last pure ACK is told, if there was one", () => {
  const history = new History();
  const far = (fields: Partial<Fields>) => {
    const one = packet({ ...CLIENT, seq: 100, flags: ACK | PSH, payload: data, ...fields });
    history.look(one, flowHash(one), 0);
    return one.acksFar;
  };
  const most = 16 << 20;
  expect(far({ ack: 1 })).toBe(false);
  expect(far({ flags: SYN, payload: new Uint8Array(0) })).toBe(false);
  expect(far({ ack: 2 ** 31 })).toBe(false);
  far({ ack: 2 ** 32 - 10, payload: new Uint8Array(0), flags: ACK });
  expect(far({ ack: most - 10 })).toBe(false);
  expect(far({ ack: most - 9 })).toBe(true);
  expect(far({ ack: 2 ** 32 - 10 - most })).toBe(false);
  expect(far({ ack: 2 ** 32 - 11 - most })).toBe(true);
  expect(far({ flags: RST, ack: 0 })).toBe(false);
  expect(far({ sourcePort: 40_001, ack: 2 ** 31 })).toBe(false);
});

test("the same packet on another interface is a duplicate, for a second", () => {
  const one = { seq: 100, ack: 7, flags: ACK | PSH, payload: data };
  expect(
    look(
      { ...one, time: 0, on: 1 },
      { ...one, time: 10, on: 2 },
      { ...one, time: 20, on: 1 },
      { ...one, time: 999_999, on: 2 },
      { ...one, time: 1_100_000, on: 2 },
      { seq: 1, flags: RST, time: 2_000_000, on: 1 },
      { seq: 1, flags: RST, time: 2_000_000, on: 2 },
    ),
  ).toEqual([-1, "duplicate", -1, "duplicate", -1, -1, "duplicate"]);
});

/** Each row: at which interface and ms the same datagram comes; which of them are requests. */
test.each([
  [
    "one that crosses a bond's leg and the bond",
    [
      [1, 0],
      [9, 0.01],
    ],
    [0],
  ],
  [
    "again by the other leg",
    [
      [1, 0],
      [2, 300],
    ],
    [0, 1],
  ],
  [
    "again by the other leg, with the bond after each",
    [
      [1, 0],
      [9, 0],
      [2, 300],
      [9, 300],
    ],
    [0, 2],
  ],
  [
    "at once again by the other leg: as many as crossed the bond",
    [
      [1, 0],
      [9, 0],
      [2, 0.1],
      [9, 0.1],
    ],
    [0, 3],
  ],
  [
    "twice by one leg before the bond shows them",
    [
      [1, 0],
      [1, 0.1],
      [9, 0.2],
      [9, 0.3],
    ],
    [0, 1],
  ],
  [
    "a repetition by the same leg",
    [
      [1, 0],
      [9, 0],
      [1, 0.2],
      [9, 0.2],
    ],
    [0, 2],
  ],
  [
    "a leg, a bond, a bridge and a VLAN",
    [
      [0, 0],
      [8, 0],
      [9, 0],
      [10, 0],
    ],
    [0],
  ],
  [
    "three times so",
    [
      [0, 0],
      [8, 0],
      [0, 1],
      [8, 1],
      [0, 2],
      [8, 2],
    ],
    [0, 2, 4],
  ],
] as [string, [on: number, ms: number][], number[]][])("identical datagrams: %s", (_, rows, requests) => {
  const history = new History();
  const fates = rows.map(([on, ms]) => {
    const seen = packet({ ...CLIENT, seq: 1, flags: ACK, payload: data, time: ms * 1000 });
    return history.isRepeatedDatagram(seen, flowHash(seen), on);
  });
  expect(fates.flatMap((isRepeated, index) => (isRepeated ? [] : [index]))).toEqual(requests);
});

test("the hash is the same within a flow, and different between flows", () => {
  const hashes = new Set<number>();
  for (let port = 1; port <= 1000; port++) {
    const one = flowHash(packet({ ...CLIENT, sourcePort: port, seq: 1, flags: SYN }));
    expect(flowHash(packet({ ...CLIENT, sourcePort: port, seq: 500, flags: ACK, payload: data }))).toBe(one);
    hashes.add(one);
  }
  expect(hashes.size).toBe(1000);
  expect([...hashes].filter((hash) => hash < 2 ** 31).length).toBeWithin(400, 600);
});

test("the hash of addresses and ports is that of their packets", () => {
  for (const [client, service] of [
    [Uint8Array.of(10, 1, 2, 3), Uint8Array.of(10, 1, 0, 200)],
    [Uint8Array.from({ length: 16 }, (_, i) => 17 * i), Uint8Array.from({ length: 16 }, (_, i) => 255 - i)],
  ] as const) {
    const isV4 = client.length === 4;
    const bytes = new Uint8Array(60);
    bytes[0] = isV4 ? 0x45 : 0x60;
    bytes.set(client, isV4 ? 12 : 8);
    bytes.set(service, isV4 ? 16 : 24);
    const seen = new Packet(bytes);
    seen.ip = 0;
    seen.tcp = isV4 ? 20 : 40;
    seen.view.setUint16(seen.tcp, 40_123);
    seen.view.setUint16(seen.tcp + 2, 80);
    expect(flowHashOf(client, service, 40_123, 80)).toBe(flowHash(seen));
  }
});
