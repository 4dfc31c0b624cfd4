/** The kernel side as the tests of it use it: loaded, alive, with its records copied out. */
import { readFileSync } from "node:fs";
import { Control } from "../../src/capture/control.ts";
import { Flows } from "../../src/capture/flows.ts";
import {
  type KernelCapture,
  type KernelCaptureOptions,
  loadKernelCapture,
} from "../../src/capture/kernel.ts";
import { RingSet } from "../../src/capture/ring-set.ts";
import { monotonicMicroseconds } from "../../src/native/libc.ts";
import type { Packet } from "../../src/wire/packet.ts";
import { bytesOf } from "./build.ts";
import { command } from "./namespace.ts";

export const MARK = 0x78637079;
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
  };
}

export interface TestCapture {
  kernel: KernelCapture;
  control: Control;
  flows: Flows;
  requests: RingSet;
  responses: RingSet;
  /** Says that user space is alive. */
  beat(): void;
  /** What is in the rings, and gone from them then. */
  takeRequests(): Captured[];
  takeResponses(): Captured[];
  /** The counters that changed since the last call, by how much. */
  counted(): Record<string, number>;
}

function objectFile(name: string): Uint8Array {
  return new Uint8Array(readFileSync(`${import.meta.dir}/../../dist/bpf/${name}.bpf.o`));
}

/** Compiles the programs where they are not up to date. */
export function buildObjects(): void {
  command(`${import.meta.dir}/../../bin/bpf`);
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
  const control = new Control(kernel.controlMap);
  const requests = new RingSet(kernel.requestRings, kernel.requestRingBytes);
  const responses = new RingSet(kernel.responseRings, kernel.responseRingBytes);
  let before = kernel.stats();
  function take(rings: RingSet): Captured[] {
    const taken: Captured[] = [];
    while (rings.drain((packet) => taken.push(copyOf(packet)), 64) > 0);
    return taken;
  }
  return {
    kernel,
    control,
    flows: new Flows(kernel.flowsMap, all.paths?.length ?? 0),
    requests,
    responses,
    beat: () => control.heartbeat(monotonicMicroseconds() / 1000),
    takeRequests: () => take(requests),
    takeResponses: () => take(responses),
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
