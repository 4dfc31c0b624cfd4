/** Pools of addresses compared with a simple search. */
import { expect, test } from "bun:test";
import { parseAddress } from "../../src/config/address.ts";
import { Ranges } from "../../src/intercept/data-plane/ranges.ts";
import { fc } from "../config/seed.ts";
import { responseOf } from "./response.ts";

const text = (family: 4 | 6, number: number) =>
  family === 4 ? `10.0.0.${number}` : `fd00::${number.toString(16)}`;

test("finds every range that an address is in, once", () => {
  const range = fc.record({
    family: fc.constantFrom(4 as const, 6 as const),
    first: fc.nat(40),
    length: fc.nat(20),
    slot: fc.nat(3),
  });
  fc.assert(
    fc.property(
      fc.array(range, { maxLength: 12 }),
      fc.constantFrom(4 as const, 6 as const),
      fc.nat(60),
      (list, family, number) => {
        const ranges = new Ranges();
        for (const { family, first, length, slot } of list) {
          const [from, to] = [first, first + length].map((end) => parseAddress(text(family, end))!.bytes);
          ranges.add(slot, [{ family, first: from!, last: to! }]);
        }
        const client = text(family, number);
        const server = text(family, 200);
        const packet = responseOf({ client, clientPort: 1, server, serverPort: 80 });
        const found: number[] = [];
        for (let index = ranges.find(packet); index >= 0; index = ranges.find(packet, index))
          found.push(ranges.ownerAt(index));
        const expected = new Set(
          list
            .filter((one) => one.family === family && one.first <= number && number <= one.first + one.length)
            .map(({ first, length, slot }) => `${slot} ${first} ${length}`),
        );
        expect(found.sort()).toEqual([...expected].map((name) => Number(name.split(" ")[0])).sort());
      },
    ),
  );
});
