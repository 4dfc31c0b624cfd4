/** The kernel side as the tests of it use it: loaded, alive, with its records copied out. */
import { existsSync, readFileSync } from "node:fs";
import { Control } from "../../src/capture/control.ts";
import { Flows } from "../../src/capture/flows.ts";
import type { KernelCapture } from "../../src/capture/kernel/capture.ts";
import { loadKernelCapture } from "../../src/capture/kernel/load.ts";
import type { KernelCaptureOptions } from "../../src/capture/kernel/options.ts";
import { ofWorker } from "../../src/capture/maps.ts";
import { RingSet } from "../../src/capture/ring-set.ts";
import { monotonicMicroseconds } from "../../src/native/libc.ts";
import type { Packet } from "../../src/wire/packet.ts";
import { bytesOf } from "./build.ts";
import { command } from "./namespace.ts";

export const MARK = 0xc0;
export const TARGET = { target: bytesOf("10.0.0.9"), local: bytesOf("10.0.0.2"), targetPort: 8080 };
export const TARGET6 = { target: bytesOf("fd00::9"), local: bytesOf("fd00::2"), targetPort: 8080 };

/** Services 1 to 4: one address and any address, IPv4 and IPv6; two paths. */
export const OPTIONS = {
  services: [
    { address: bytesOf("10.0.0.2"), family: 4, port: 80, index: 1 },
    { address: null, family: 4, port: 8080, index: 2 },
    { address: bytesOf("fd00::2"), family: 6, port: 80, index: 3 },
    { address: null, family: 6, port: 8080, index: 4 },
  ],
  paths: [
    { family: 4, ...TARGET },
    { family: 6, ...TARGET6 },
  ],
  mark: MARK,
  requestRingBytes: 1 << 20,
  responseRingBytes: 1 << 16,
  hook: "auto",
} satisfies Partial<KernelCaptureOptions>;

/** A record of a ring, copied. */
export interface Captured {
  /** The captured bytes from the IP header on. */
  bytes: Uint8Array;
  /** Offsets from the IP header. */
  tcp: number;
  payload: number;
  /** Of the payload on the wire. */
  length: number;
  time: number;
  think: number;
  index: number;
  isVerified: boolean;
  acksFar: boolean;
}

export function copyOf(packet: Packet): Captured {
  return {
    bytes: packet.bytes.slice(packet.ip, packet.end),
    tcp: packet.tcp - packet.ip,
    payload: packet.payload - packet.ip,
    length: packet.length,
    time: packet.time,
    think: packet.think,
    index: packet.index,
    isVerified: packet.isVerified,
    acksFar: packet.acksFar,
  };
}

/** Everything of one worker. */
export interface WorkerCapture {
  control: Control;
  requests: RingSet;
  responses: RingSet;
}

/** What is in the rings, and gone from them then. */
export function take(rings: RingSet): Captured[] {
  const taken: Captured[] = [];
  while (rings.drain((packet) => taken.push(copyOf(packet)), 64) > 0);
  return taken;
}

export interface TestCapture {
  kernel: KernelCapture;
  workers: WorkerCapture[];
  /** Those of the first worker, the only one if nobody asked for more. */
  control: Control;
  flows: Flows;
  requests: RingSet;
  responses: RingSet;
  /** Says that all workers are alive. */
  beat(): void;
  /** What is in the rings of all workers, and gone from them then. */
  takeRequests(): Captured[];
  takeResponses(): Captured[];
  /** The counters that changed since the last call, by how much. */
  counted(): Record<string, number>;
}

function objectFile(name: string): Uint8Array {
  return new Uint8Array(readFileSync(`${import.meta.dir}/../../dist/bpf/${name}.bpf.o`));
}

/** Compiles the programs where they are not up to date; in a virtual machine of bin/test-kernels, without bin/, they are. */
export function buildObjects(): void {
  const build = `${import.meta.dir}/../../bin/bpf`;
  if (existsSync(build)) command(build);
}

export function loadForTest(options: Partial<KernelCaptureOptions> = {}): TestCapture {
  buildObjects();
  const all = {
    requestObject: objectFile("request"),
    responseObject: objectFile("response"),
    ...OPTIONS,
    ...options,
  };
  const kernel = loadKernelCapture(all);
  const count = all.workers ?? 1;
  const workers = Array.from({ length: count }, (_, worker) => ({
    control: new Control(kernel.controlMap, worker),
    requests: new RingSet(ofWorker(kernel.requestRings, worker, count), kernel.requestRingBytes),
    responses: new RingSet(ofWorker(kernel.responseRings, worker, count), kernel.responseRingBytes),
  }));
  const { control, requests, responses } = workers[0]!;
  let before = kernel.stats();
  return {
    kernel,
    workers,
    control,
    flows: new Flows(kernel.flowsMap, all.paths?.length ?? 0),
    requests,
    responses,
    beat: () => {
      for (const worker of workers) worker.control.heartbeat(monotonicMicroseconds() / 1000);
    },
    takeRequests: () => workers.flatMap((worker) => take(worker.requests)),
    takeResponses: () => workers.flatMap((worker) => take(worker.responses)),
    counted() {
      const now = kernel.stats();
      const changed = Object.entries(now).flatMap(([name, value]) => {
        const by = typeof value === "number" ? value - (before[name as keyof typeof before] as number) : 0;
        return by === 0 ? [] : [[name, by] as const];
      });
      before = now;
      return Object.fromEntries(changed);
    },
  };
}
