/**
 * Goodput of an upload over networks of all kinds, as a table in a snapshot, so that a regression shows as a diff (after
 * smoltcp's tests/netsim.rs). `bun test -u` writes the table anew.
 */
import { expect, test } from "bun:test";
import { client, Simulation } from "./simulation.ts";

const LOSSES = [0, 0.001, 0.01, 0.05, 0.1, 0.2, 0.3];
/** ms. */
const ROUND_TRIPS = [1, 20, 100];
/** The target's receive window, KiB. */
const WINDOWS = [8, 64, 512];
const SEEDS = [1, 2, 3, 4, 5];
const BYTES = 200_000;
/** us. */
const MOST = 600_000_000;

/** us from the first captured packet until the target's application has read the whole request, Infinity if never. */
function duration(seed: number, loss: number, roundTrip: number, window: number): number {
  const net = new Simulation({
    seed,
    loss,
    delay: roundTrip * 500,
    window: window * 1024,
    windowScale: window > 63 ? 7 : 0,
    config: { turnTimeout: MOST },
    sessionTimeout: MOST,
  });
  const begin = net.now;
  let end = Number.POSITIVE_INFINITY;
  net.answer = () => {
    end = net.now;
    return 100;
  };
  client(net, {
    port: 40_000,
    requests: [`${"x".repeat(BYTES - 1)}\n`],
    pace: 0,
    segment: 43_800,
    end: "none",
  });
  while (end === Number.POSITIVE_INFINITY && net.now - begin < MOST) net.run(1_000_000);
  return end - begin;
}

/** KB/s of the mean duration; "lost" if one of the uploads was given up. */
function goodput(loss: number, roundTrip: number, window: number): string {
  const total = SEEDS.reduce((sum, seed) => sum + duration(seed, loss, roundTrip, window), 0);
  const rate = (BYTES * SEEDS.length * 1000) / total;
  if (rate === 0) return "lost";
  return rate < 100 ? rate.toPrecision(3) : `${Math.round(rate)}`;
}

test("goodput of an upload, KB/s by loss each way, round trip and window", () => {
  const columns = ROUND_TRIPS.flatMap((roundTrip) => WINDOWS.map((window) => ({ roundTrip, window })));
  const line = (cells: string[]): string => cells.map((cell) => cell.padStart(9)).join("");
  const rows = LOSSES.map((loss) =>
    line([`${loss * 100} %`, ...columns.map(({ roundTrip, window }) => goodput(loss, roundTrip, window))]),
  );
  const heads = [
    line(["rtt", ...columns.map(({ roundTrip }) => `${roundTrip} ms`)]),
    line(["window", ...columns.map(({ window }) => `${window} KiB`)]),
  ];
  expect(`\n${[...heads, ...rows].join("\n")}\n`).toMatchSnapshot();
});
