/** What the tries before the first request found. */
import { expect, test } from "bun:test";
import type { Engine } from "../../src/engine/engine.ts";
import type { DataPlaneConfig } from "../../src/worker/config.ts";
import type { Intercepts } from "../../src/worker/intercepts.ts";
import { Preflight } from "../../src/worker/preflight.ts";

type Result = "answered" | "refused" | "silent";

/** A run with one path, whose intercept holds it or not. */
function setUp() {
  const world = { isOpen: true, result: "silent" as Result, probes: 0 };
  const engine = {
    get probeResults() {
      return [world.result];
    },
    probe: () => ++world.probes,
  };
  const intercepts = { isOpen: () => world.isOpen, states: [], ask: () => {} };
  const path = { target: Uint8Array.of(10, 0, 0, 2), targetPort: 8080, local: null };
  const config = { probe: true, paths: [path], channel: { probeFrom: [Uint8Array.of(192, 0, 2, 1)] } };
  const preflight = new Preflight(
    config as unknown as DataPlaneConfig,
    engine as unknown as Engine,
    intercepts as unknown as Intercepts,
    0,
  );
  return { world, preflight, result: () => preflight.findings.probes[0]!.result };
}

test("a path that nobody catches is held, and not tried", () => {
  const { world, preflight, result } = setUp();
  world.isOpen = false;
  expect(preflight.run(0)).toBe(false);
  expect(preflight.run(3_000_000)).toBe(true);
  expect(world.probes).toBe(0);
  expect(result()).toBe("held");
});

for (const answer of ["answered", "refused"] as const) {
  test(`a path that was ${answer} is, also while a further connection to its intercept holds it`, () => {
    const { world, preflight, result } = setUp();
    expect(preflight.run(0)).toBe(false);
    expect(world.probes).toBe(1);
    world.isOpen = false;
    world.result = answer;
    expect(preflight.run(1000)).toBe(true);
    expect(result()).toBe(answer);
  });
}

test("a path that becomes held while it is tried, and stays silent, is held", () => {
  const { world, preflight, result } = setUp();
  preflight.run(0);
  world.isOpen = false;
  for (let now = 0; now < 10_000_000 && !preflight.run(now); now += 500_000);
  expect(result()).toBe("held");
});
