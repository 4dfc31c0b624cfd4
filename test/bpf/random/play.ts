/** Plays random packets, a few in a row, through programs of the kernel, and compares with what a reference expects. */
import { expect } from "bun:test";
import fc from "fast-check";
import { type TestContext, testRun } from "../../../src/native/bpf/test-run.ts";
import { seeded } from "../../support/seed.ts";
import { type Captured, MARK } from "../capture.ts";
import type { Namespace } from "../namespace.ts";
import { hexOf, ipOf, Unknown } from "./dissect.ts";
import { contextOf, frameOf, type Places, type Shape, shape } from "./packets.ts";
import type { Expected, Seen } from "./reference.ts";

/** Fewer on the emulated processors of bin/test-kernels. */
const RUNS = process.env.XCOPY_TEST_MACHINE ? 60 : 200;
/** ms after which a run is given up: the programs wait for a heartbeat for 2 s. */
const LONGEST_RUN = 1000;
/** The index of loopback, on which frames at XDP come in. */
const LOOPBACK = 1;

/** Where the programs run: loopback and two more interfaces. */
export interface Site {
  namespace: Namespace;
  ifindexes: number[];
}

export interface Player {
  /** The descriptor of the program for a packet. */
  program(shape: Shape): number;
  /** False: an XDP program. */
  isAtTc: boolean;
  expect(seen: Seen, shape: Shape): Expected;
  take(): Captured[];
  counted(): Record<string, number>;
}

let runs = 0;

/** Each run has clients of its own, so that no state of one before is met. */
export function nextPlaces(): Places {
  const number = ++runs;
  return {
    addresses: { 4: ["10.0.0.2", "10.0.0.7", "10.0.0.3"], 6: ["fd00::2", "fd00::7", "fd00::3"] },
    ports: [80, 8080, 53, 81],
    clientPorts: [40_000, 40_001],
    firstId: (number * 7) & 0xffff,
    client: (family, client) =>
      family === 4
        ? `10.${100 + client}.${number >> 8}.${number & 255}`
        : `fd01::${client}:${number.toString(16)}`,
  };
}

/** Runs of a few packets, of which some come again, by the same interface or another. `player`: makes one for each run. */
export function agrees(
  site: Site,
  player: () => Player,
  packets: fc.Arbitrary<Shape> = shape,
  places = nextPlaces,
): void {
  let unknown = 0;
  const { numRuns } = seeded(RUNS);
  const property = fc.property(
    fc.array(packets, { minLength: 1, maxLength: 6 }),
    fc.array(fc.nat(5), { maxLength: 3 }),
    (shapes, again) => {
      const repeated = again.map((index) => ({
        ...shapes[index % shapes.length]!,
        interface: (index + 1) % 3,
      }));
      try {
        play(site, [...shapes, ...repeated], places(), player());
      } catch (error) {
        if (!(error instanceof Unknown)) throw error;
        unknown++;
      }
    },
  );
  fc.assert(property, seeded(RUNS));
  expect(unknown).toBeLessThan(numRuns / 2);
}

function play({ namespace, ifindexes }: Site, shapes: Shape[], places: Places, player: Player): void {
  const begun = performance.now();
  player.take();
  player.counted();
  shapes.forEach((one, place) => {
    const frame = frameOf(one, places);
    // User space cuts what is longer into several.
    if ((ipOf(frame)?.said ?? 0) > 65_535) throw new Unknown();
    const context = player.isAtTc ? contextOf(one, ifindexes) : { ifindex: LOOPBACK };
    const now = performance.now();
    if (now - begun > LONGEST_RUN) throw new Unknown();
    const { verdict } = namespace.enter(() =>
      testRun(player.program(one), frame, player.isAtTc ? context : null),
    );
    const expected = player.expect({ frame, context, to: receiverOf(frame, context), now }, one);
    const told = { verdict, records: player.take(), counted: player.counted() };
    compare(told, expected, `packet ${place}, ${hexOf(frame)}`, context);
  });
}

/** To whom the kernel takes a frame to be: test runs without an interface are on loopback, whose address is zeros. */
function receiverOf(frame: Uint8Array, { ifindex = 0 }: TestContext): Seen["to"] {
  const mac = frame.subarray(0, 6);
  if (mac[0]! & 1) return "group";
  return ifindex === 0 && mac.every((byte) => byte === 0) ? "host" : "others";
}

interface Told {
  verdict: number;
  records: Captured[];
  counted: Record<string, number>;
}

function compare(
  { verdict, records, counted }: Told,
  expected: Expected,
  packet: string,
  { mark = 0 }: TestContext,
): void {
  // What has the mark and might be ours is counted; which of it might be, the prefilter decides.
  if (mark === MARK && expected.record === null) delete counted["ownMark"];
  const wanted = expected.record;
  const found = records.map(({ bytes, tcp, payload, length, index, think, isVerified, acksFar }) => ({
    bytes: hexOf(bytes),
    tcp,
    payload,
    length,
    index,
    ...(wanted?.think !== undefined && { think: typeof wanted.think === "boolean" ? think >= 0 : think }),
    ...(wanted?.isVerified !== undefined && { isVerified }),
    ...(wanted?.acksFar !== undefined && { acksFar }),
  }));
  const told = { verdict, found, counted };
  const should = { verdict: expected.verdict, found: wanted ? [wanted] : [], counted: expected.counted };
  if (!Bun.deepEquals(told, should))
    throw new Error(`${packet}: ${JSON.stringify(told)}, and should be ${JSON.stringify(should)}`);
}
