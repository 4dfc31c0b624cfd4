/** Which of the copies of a host is meant by `xcopy reload`. */
import { describe, expect, test } from "bun:test";
import { type Copy, choose } from "../../src/top/reload.ts";

const copy = (pid: number, name: string | null = null): Copy => ({
  pid,
  name,
  path: `/x/${pid}`,
  cause: null,
});
const SHOP = copy(12, "shop");
const OTHER = copy(34);

describe("the copy that is meant", () => {
  test.each<[string | null, Copy[], Copy]>([
    [null, [OTHER], OTHER],
    ["34", [SHOP, OTHER], OTHER],
    ["shop", [SHOP, OTHER], SHOP],
  ])("%p", (wanted, copies, chosen) => {
    expect(choose(copies, wanted)).toBe(chosen);
  });

  test.each<[string | null, Copy[], RegExp]>([
    [null, [], /^Cannot reload: no copy runs here$/],
    [null, [SHOP, OTHER], /^Cannot reload: 2 copies run here: 12 \(shop\), 34$/],
    ["99", [SHOP], /^Cannot reload: no copy "99" runs here \(there are 12 \(shop\)\)$/],
  ])("none: %p", (wanted, copies, message) => {
    expect(() => choose(copies, wanted)).toThrow(message);
  });
});
