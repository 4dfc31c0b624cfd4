/** For every packet the program in the kernel decides as libpcap's own interpreter does. */
import { afterAll, expect, test } from "bun:test";
import type { ProgramKind } from "../../src/filter/access.ts";
import { compileFilter, type Filter, type LinkLayer } from "../../src/filter/compile.ts";
import { Failure } from "../../src/native/failure.ts";
import { interpret } from "../../src/native/libpcap.ts";
import { fc } from "../config/seed.ts";
import { seeded } from "../support/seed.ts";
import { expression, inBuffer, packet } from "./expressions.ts";
import { behindTag, inFrontOfDrop, matches } from "./kernel.ts";

const KINDS: ProgramKind[] = ["tc", "xdp", "xdp-linear"];
const packets = fc.array(packet, { maxLength: 40, size: "max" });

/** What was compared, so that the properties are known to say something. */
const seen = { compiled: 0, refused: 0, matched: 0, passed: 0, mixed: 0 };

function compiled(text: string, linkLayer: LinkLayer): Filter | null {
  try {
    const filter = compileFilter(text, linkLayer);
    seen.compiled++;
    return filter;
  } catch (error) {
    if (!(error instanceof Failure) || error.exitCode !== 2) throw error;
    seen.refused++;
    return null;
  }
}

/** The kernel gives no such packet to a classifier in a test run; those without link layer are cut off anywhere. */
function isWithoutIpHeader(frame: Uint8Array): boolean {
  const type = (frame[12]! << 8) | frame[13]!;
  return (type === 0x0800 && frame.length < 34) || (type === 0x86dd && frame.length < 54);
}

/** `expected` is what the interpreter gets for each of `frames`, where that is something else. */
function compare(
  filter: Filter,
  kind: ProgramKind,
  program: { fd: number },
  frames: Uint8Array[],
  expected = frames,
) {
  let matched = 0;
  for (const [index, frame] of frames.entries()) {
    if (kind === "tc" && isWithoutIpHeader(frame)) continue;
    const wanted = interpret(filter.instructions, expected[index]!) !== 0;
    const got = matches(kind, program, frame);
    if (got !== wanted) {
      throw new Error(
        `${kind} ${got}, libpcap ${wanted}: "${filter.expression}" of ${Buffer.from(frame).toString("hex")}`,
      );
    }
    if (got) matched++;
  }
  seen.matched += matched;
  seen.passed += frames.length - matched;
  if (matched > 0 && matched < frames.length) seen.mixed++;
}

function onBoth(filter: Filter, frames: Uint8Array[]): void {
  for (const kind of KINDS) {
    const program = inFrontOfDrop(kind, filter);
    try {
      compare(filter, kind, program, frames);
    } finally {
      program.close();
    }
  }
}

afterAll(() => {
  console.log("filters against bpf_filter():", JSON.stringify(seen));
});

test("on Ethernet", () => {
  fc.assert(
    fc.property(expression, packets, (text, frames) => {
      const filter = compiled(text, "ethernet");
      if (filter) onBoth(filter, frames);
    }),
    seeded(1000),
  );
  expect(seen.mixed).toBeGreaterThan(100);
});

test("on interfaces without link layer", () => {
  const long = fc.array(
    packet.filter(({ length }) => length >= 28),
    { maxLength: 40, size: "max" },
  );
  fc.assert(
    fc.property(expression, long, (text, frames) => {
      const filter = compiled(text, "raw");
      const ip = frames.map((bytes) => inBuffer(bytes.subarray(14)));
      if (filter) onBoth(filter, ip);
    }),
    seeded(400),
  );
});

/** 802.1Q VLAN 5; 802.1ad VLAN 7 with a priority. */
const TAGS = [
  { type: 0x8100, tci: 5 },
  { type: 0x88a8, tci: 0xe007 },
];

function withTag(bytes: Uint8Array, type: number, tci: number): Uint8Array {
  const tag = [type >> 8, type & 0xff, tci >> 8, tci & 0xff];
  return inBuffer(Uint8Array.from([...bytes.subarray(0, 12), ...tag, ...bytes.subarray(12)]));
}

test("with a VLAN tag that is not in the packet any more: seen by filters with `vlan`, and by no other", () => {
  const vlan = fc.oneof(
    fc
      .tuple(fc.constantFrom("vlan", "vlan 5", "vlan 7", "vlan 5 and vlan 7", "not vlan"), expression)
      .map(([first, then]) => `${first} and (${then})`),
    fc.tuple(expression, expression).map(([first, then]) => `(${first}) or (vlan and (${then}))`),
    expression,
  );
  fc.assert(
    fc.property(vlan, packets, fc.constantFrom(...TAGS), (text, frames, { type, tci }) => {
      const filter = compiled(text, "ethernet");
      if (!filter) return;
      const program = inFrontOfDrop("tc", filter);
      const tagged = behindTag(program.fd, type, tci);
      try {
        const expected = filter.wantsTag ? frames.map((bytes) => withTag(bytes, type, tci)) : frames;
        compare(filter, "tc", tagged, frames, expected);
      } finally {
        tagged.close();
        program.close();
      }
    }),
    seeded(400),
  );
});

test("loads at every offset around a VLAN tag that is not in the packet any more", () => {
  const { type, tci } = TAGS[1]!;
  const frame = inBuffer(Uint8Array.from({ length: 64 }, (_, index) => index * 37 + 1));
  const view = new DataView(withTag(frame, type, tci).buffer);
  const value = {
    1: (at: number) => view.getUint8(at),
    2: (at: number) => view.getUint16(at),
    4: (at: number) => view.getUint32(at),
  };
  for (let at = 0; at <= 20; at++) {
    for (const size of [1, 2, 4] as const) {
      for (const place of [`${at}`, `ether[20] - ${view.getUint8(20)} + ${at}`]) {
        const right = `ether[${place}:${size}] = ${value[size](at)}`;
        for (const [text, wanted] of [
          [right, true],
          [`not ${right}`, false],
        ] as const) {
          const program = inFrontOfDrop("tc", compileFilter(`${text} and not vlan 99`, "ethernet"));
          const tagged = behindTag(program.fd, type, tci);
          expect({ text, matches: matches("tc", tagged, frame) }).toEqual({ text, matches: wanted });
          tagged.close();
          program.close();
        }
      }
    }
  }
});
