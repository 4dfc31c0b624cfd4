/** What the data plane is told for each option. */
import { expect, test } from "bun:test";
import type { KernelCapture } from "../../src/capture/kernel/capture.ts";
import type { SourceConfig } from "../../src/capture/source.ts";
import { COPY } from "../../src/command-line/copy.ts";
import { parseArguments } from "../../src/command-line/reading/arguments.ts";
import { dataPlaneConfig } from "../../src/copy/load.ts";
import { parseCopy } from "../../src/copy/options.ts";
import type { Plan } from "../../src/copy/plan.ts";

const KERNEL = {
  responseRings: [4],
  responseRingBytes: 8192,
  controlMap: 5,
  flowsMap: 6,
} as unknown as KernelCapture;

const SOURCE: SourceConfig = { kind: "rings", rings: [3], ringBytes: 4096 };

const address = { family: 4 as const, bytes: Uint8Array.of(10, 0, 0, 2) };
const target = (weight: number, ...paths: number[]) => ({ address, port: 80, weight, paths });
const PLAN: Plan = {
  services: [
    {
      address: null,
      port: 80,
      routes: [
        { label: "80-a|b*2", targets: [target(1, 0, 1), target(2, 2)] },
        { label: "80-c", targets: [target(1, 3)] },
      ],
    },
    { address, port: 81, routes: [{ label: "81-c:80", targets: [target(1, 3)] }] },
  ],
  paths: [0, 1, 2, 3].map(() => ({
    family: 4,
    local: address.bytes,
    target: address.bytes,
    targetPort: 80,
    egress: 0,
  })),
  egresses: [],
  ways: [],
  ports: [[1024, 2047]],
  workers: { count: 1, cpus: [null], note: "" },
  intercepts: [],
  key: null,
  probeFrom: [],
  usesPool: false,
  keepsClientPorts: false,
  interfaces: [],
  followsAll: true,
  files: [],
  warnings: [],
};

const config = (words: string) =>
  dataPlaneConfig(
    PLAN,
    parseCopy(parseArguments(COPY, `-x 80-10.0.0.2 ${words}`.trim().split(" "))),
    KERNEL,
    SOURCE,
  );

test("the routes of services and the weights of their targets are handed on", () => {
  expect(config("").services).toEqual([
    {
      label: "80-a|b*2, 80-c",
      routes: [
        [
          { weight: 1, paths: [0, 1] },
          { weight: 2, paths: [2] },
        ],
        [{ weight: 1, paths: [3] }],
      ],
      protocol: null,
    },
    { label: "81-c:80", routes: [[{ weight: 1, paths: [3] }]], protocol: null },
  ]);
  expect(config("").segmentServices.map(({ index, port }) => `${index} ${port}`)).toEqual([
    "0 80",
    "0 80",
    "1 81",
  ]);
});

test("pairs are made with --compare only", () => {
  expect(config("").pairs).toBeNull();
  expect(config("--compare").pairs).toMatchObject({ body: false, memory: 16 << 20 });
  expect(config("--compare body --compare-field ETag").pairs).toEqual({
    body: true,
    fields: ["etag"],
    memory: 64 << 20,
  });
});

test("without options every session is copied once, whole, on production's clock", () => {
  expect(config("")).toMatchObject({
    source: SOURCE,
    responseRings: [4],
    controlMap: 5,
    ports: [[1024, 2047]],
    sessionTimeout: 600e6,
    idleTimeout: 604_800e6,
    sample: 1,
    ramp: 0,
    replicas: 1,
    jitter: 0,
    waitsForAnswers: true,
    pace: "clock",
    turnTimeout: 5e6,
    quiet: 0,
    takesMidstream: true,
    turnLimit: 0,
    proxyProtocol: 0,
    probe: true,
  });
});

test.each([
  ["-t 60", { sessionTimeout: 60e6, idleTimeout: 604_800e6 }],
  ["-k 30", { sessionTimeout: 600e6, idleTimeout: 30e6 }],
  ["-r 0.5 -g 10", { sample: 0.005, ramp: 10e6 }],
  ["-n 3 --jitter 0.25", { replicas: 3, jitter: 250 }],
  ["-W", { waitsForAnswers: false, pace: "clock" }],
  ["--pace fast", { waitsForAnswers: true, pace: "fast" }],
  ["--pace client", { pace: "think" }],
  ["--late drop:2", { late: { after: 2e6, spreads: false } }],
  ["--turn-timeout 0.1", { turnTimeout: 100_000 }],
  ["-R 1.5", { quiet: 1500 }],
  ["-O", { takesMidstream: false }],
  ["--limit 500/s", { turnLimit: 500 }],
  ["--proxy-protocol v2", { proxyProtocol: 2 as const }],
  ["--force", { probe: false }],
])("%s", (words, fields) => {
  expect(config(words)).toMatchObject(fields);
});
