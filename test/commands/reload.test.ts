/** Which of the copies of a host is meant by `xcopy reload`. */
import { describe, expect, test } from "bun:test";
import { type Copy, choose } from "../../src/top/reload.ts";

const copy = (pid: number, name: string | null = null, parent: number | null = null): Copy => ({
  pid,
  name,
  parent,
  isParent: false,
  path: `/x/${pid}`,
  cause: null,
});
const SHOP = copy(12, "shop");
const OTHER = copy(34);
const PARENT = { ...copy(50), isParent: true };
const SEVERAL = [PARENT, copy(51, "one", 50), copy(52, "two", 50)];

describe("the copy that is meant", () => {
  test.each<[string | null, Copy[], Copy]>([
    [null, [OTHER], OTHER],
    ["34", [SHOP, OTHER], OTHER],
    ["shop", [SHOP, OTHER], SHOP],
    [null, SEVERAL, PARENT],
    ["50", [...SEVERAL, SHOP], PARENT],
    ["two", SEVERAL, SEVERAL[2]!],
    // Their parent does not listen, or is another user's.
    [null, [copy(51, "one", 50)], copy(51, "one", 50)],
  ])("%p", (wanted, copies, chosen) => {
    expect(choose(copies, wanted)).toEqual(chosen);
  });

  test.each<[string | null, Copy[], RegExp]>([
    [null, [], /^Cannot reload: no copy runs here$/],
    [null, [SHOP, OTHER], /^Cannot reload: 2 copies run here: 12 \(shop\), 34$/],
    [
      null,
      [...SEVERAL, SHOP],
      /^Cannot reload: 2 copies run here: 50 \(several\), 51 \(one\), 52 \(two\), 12 \(shop\)$/,
    ],
    ["shop", [SHOP, copy(13, "shop")], /^Cannot reload: 2 copies "shop" run here: 12 \(shop\), 13 \(shop\)$/],
    ["99", [SHOP], /^Cannot reload: no copy "99" runs here \(there are 12 \(shop\)\)$/],
  ])("none: %p", (wanted, copies, message) => {
    expect(() => choose(copies, wanted)).toThrow(message);
  });
});
