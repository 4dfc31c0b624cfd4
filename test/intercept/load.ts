/** The intercept's programs as the tests use them: loaded, alive, with their records copied out. */
import { readFileSync } from "node:fs";
import { Control } from "../../src/capture/control.ts";
import { RingSet } from "../../src/capture/ring-set.ts";
import { Cookies, Learned, Owners, Registered } from "../../src/intercept/data-plane/flow-maps.ts";
import { type InterceptKernel, type InterceptOptions, loadIntercept } from "../../src/intercept/kernel.ts";
import { monotonicMicroseconds } from "../../src/native/libc.ts";
import { bytesOf, type Frame } from "../bpf/build.ts";
import { buildObjects, type Captured, copyOf } from "../bpf/capture.ts";

export const COOKIE = Uint8Array.of(0x0b, 0xad, 0xc0, 0xff, 0xee, 0xfa, 0xce, 0x01);
export const SLOT = 5;

/** The TCP option that carries a cookie. */
export function cookieOption(cookie: Uint8Array): number[] {
  return [253, 12, 0x78, 0x63, ...cookie];
}

export interface TestIntercept {
  kernel: InterceptKernel;
  learned: Learned;
  owners: Owners;
  registered: Registered;
  cookies: Cookies;
  /** From now on the programs look for flows that are registered. */
  setRegisters(): void;
  /** Says that user space is alive. */
  beat(): void;
  /** Says that it stands still. */
  stop(): void;
  /** Whether some copy reads payload. */
  setRead(isRead: boolean): void;
  /** What is in the rings, and gone from them then. */
  take(): Captured[];
  /** The counters that changed since the last call, by how much. */
  counted(): Record<string, number>;
}

export const OPTIONS = {
  mode: "target",
  services: [
    { address: null, family: 4, ports: [[8080, 8080]] },
    { address: null, family: 6, ports: [[8080, 8080]] },
  ],
  flows: 4096,
  ringBytes: 1 << 16,
  hook: "auto",
  linger: 0,
} satisfies Partial<InterceptOptions>;

/** Loads them; the cookie COOKIE is known, for slot SLOT. */
export function loadForTest(options: Partial<InterceptOptions> = {}): TestIntercept {
  buildObjects();
  const object = new Uint8Array(readFileSync(`${import.meta.dir}/../../dist/bpf/intercept.bpf.o`));
  const kernel = loadIntercept({ object, ...OPTIONS, ...options });
  const control = new Control(kernel.controlMap);
  const rings = new RingSet(kernel.rings, kernel.ringBytes);
  const cookies = new Cookies(kernel.cookiesMap);
  cookies.set(COOKIE, SLOT);
  const owners = new Owners(kernel.ownersMap);
  let before = kernel.stats();
  return {
    kernel,
    learned: new Learned(kernel.learnedMap, owners),
    owners,
    registered: new Registered(kernel.registeredMap),
    cookies,
    setRegisters: () => control.setRegisters(),
    beat: () => control.heartbeat(monotonicMicroseconds() / 1000),
    stop: () => control.heartbeat(0),
    setRead: (isRead) => control.setRead(isRead),
    take() {
      const taken: Captured[] = [];
      while (rings.drain((packet) => taken.push(copyOf(packet)), 64) > 0);
      return taken;
    },
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

/** The key of a flow, from a frame that its client sends. */
export function flowOf({ source, destination, sourcePort, destinationPort }: Frame): Uint8Array {
  const key = new DataView(new ArrayBuffer(36));
  const bytes = new Uint8Array(key.buffer);
  bytes.set(bytesOf(source!));
  bytes.set(bytesOf(destination!), 16);
  key.setUint16(32, sourcePort!);
  key.setUint16(34, destinationPort!);
  return bytes;
}

/** The same frame from the other side. */
export function answerTo(frame: Frame): Frame {
  const { source, destination, sourcePort, destinationPort } = frame;
  return {
    source: destination!,
    destination: source!,
    sourcePort: destinationPort!,
    destinationPort: sourcePort!,
  };
}
