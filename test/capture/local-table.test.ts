/** The memory by which sockets tell this host's addresses, against a plain list. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { LocalTable } from "../../src/capture/socket/local-table.ts";
import type { LocalPrefix } from "../../src/native/netlink/local-prefixes.ts";
import { IpHeader } from "../../src/wire/ip-header.ts";
import { bytesOf } from "../bpf/build.ts";

/** A packet of which only the destination matters. */
function to(address: Uint8Array): [DataView, IpHeader] {
  const header = new IpHeader();
  header.family = address.length === 4 ? 4 : 6;
  header.ip = 3;
  const bytes = new Uint8Array(64);
  bytes.set(address, header.ip + (header.family === 4 ? 16 : 24));
  return [new DataView(bytes.buffer), header];
}

function bitsOf(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(2).padStart(8, "0")).join("");
}

function isIn(address: Uint8Array, local: readonly LocalPrefix[]): boolean {
  if (address.length === 4 ? address[0] === 127 || address[0]! >> 4 === 14 : address[0] === 255) return true;
  return local.some(
    ({ bytes, bits }) =>
      bytes.length === address.length && bitsOf(bytes).slice(0, bits) === bitsOf(address).slice(0, bits),
  );
}

/** Few values, so that addresses are near each other. */
const octet = fc.constantFrom(0, 1, 10, 127, 128, 224, 255);
const address = fc.oneof(
  fc.array(octet, { minLength: 4, maxLength: 4 }),
  fc.array(octet, { minLength: 16, maxLength: 16 }),
);
const prefix = fc.tuple(address, fc.nat(128), fc.boolean()).map(([octets, bits, isWhole]): LocalPrefix => {
  const bytes = Uint8Array.from(octets);
  const most = bytes.length * 8;
  return { family: most === 32 ? 4 : 6, bytes, bits: isWhole ? most : Math.min(bits, most) };
});

test("has what a list of prefixes has, each time that it is set anew", () => {
  const table = new LocalTable(LocalTable.memory());
  fc.assert(
    fc.property(
      fc.array(prefix, { maxLength: 20 }),
      fc.array(address, { maxLength: 10 }),
      (local, others) => {
        expect(table.set(local)).toBe(0);
        for (const bytes of [
          ...others.map((one) => Uint8Array.from(one)),
          ...local.map(({ bytes }) => bytes),
        ]) {
          expect([bytes, table.has(...to(bytes))]).toEqual([bytes, isIn(bytes, local)]);
        }
      },
    ),
  );
});

test("holds thousands of addresses, and says how many there is no room for", () => {
  const table = new LocalTable(LocalTable.memory());
  const many = Array.from({ length: 32_800 }, (_, index): LocalPrefix => {
    return { family: 4, bytes: Uint8Array.of(10, 1, index >> 8, index), bits: 32 };
  });
  expect(table.set([...many, ...many.slice(0, 5)])).toBe(32);
  expect(many.filter(({ bytes }) => table.has(...to(bytes)))).toHaveLength(32_768);
  expect(table.set(many.slice(0, 1))).toBe(0);
  expect(many.filter(({ bytes }) => table.has(...to(bytes)))).toHaveLength(1);
});

test.each(["10.7.7.7", "fd00::77"])("tells what passed through: %s", (text) => {
  const table = new LocalTable(LocalTable.memory());
  expect(table.forwarded()).toBeNull();
  table.noteForwarded(...to(bytesOf(text)), 8080);
  expect(table.forwarded()).toEqual({ address: bytesOf(text), port: 8080 });
});
