/**
 * Every program loads in every variant: what one kernel takes, another refuses. bin/test-kernels runs this on several kernels;
 * test/kernels/load.test.ts does with fewer variants.
 */
import { describe, expect, test } from "bun:test";
import { release } from "node:os";
import { loadKernelCapture } from "../../src/capture/kernel/load.ts";
import type { KernelCaptureOptions, RequestHook } from "../../src/capture/kernel/options.ts";
import { WHOLE_PACKETS } from "../../src/capture/maps.ts";
import type { KernelService } from "../../src/capture/services.ts";
import type { ProgramKind, XdpProgram } from "../../src/filter/access.ts";
import { compileFilter } from "../../src/filter/compile.ts";
import { loadFilterProgram } from "../../src/filter/program.ts";
import {
  interceptProgram,
  kernelPrograms,
  outgoingProgram,
  recordPrograms,
} from "../../src/host/carried-programs.ts";
import { loadIntercept } from "../../src/intercept/kernel.ts";
import { loadRecordKernel } from "../../src/record/kernel.ts";
import { bytesOf } from "./build.ts";
import { buildObjects, MARK, OPTIONS } from "./capture.ts";

const UDP: KernelService = { address: null, family: 4, port: 53, index: 5, transport: "udp" };
/** Services and targets that one command line may have. */
const MANY = 1000;
const RING_BYTES = 1 << 17;

/** bpf_xdp_load_bytes and XDP for packets in several buffers came with Linux 5.18. */
const [major, minor] = release().split(".").map(Number) as [number, number];
const XDP_PROGRAMS: XdpProgram[] =
  major > 5 || (major === 5 && minor >= 18) ? ["xdp", "xdp-linear"] : ["xdp-linear"];

/** How many values of settings are to be together in some variant; absent: all. */
const FEW = process.env.XCOPY_TEST_TOGETHER;

buildObjects();

function load(options: Partial<KernelCaptureOptions>): void {
  const kernel = loadKernelCapture({
    ...kernelPrograms(),
    ...OPTIONS,
    requestRingBytes: RING_BYTES,
    responseRingBytes: RING_BYTES,
    paths: null,
    ...options,
  });
  kernel.detach();
}

/**
 * All combinations of the values of each key; with XCOPY_TEST_TOGETHER=2 only so many that each pair of two values is in one,
 * with 1 that each value is.
 */
function combine<T extends object>(values: { [K in keyof T]: readonly T[K][] }): T[] {
  const all = Object.entries(values).reduce<object[]>(
    (some, [key, list]) =>
      some.flatMap((one) => (list as unknown[]).map((value) => ({ ...one, [key]: value }))),
    [{}],
  ) as T[];
  return FEW ? withEvery(all, FEW === "2") : all;
}

/** Some of these: at each step the one with most values, or `pairs` of values, that none before has. */
function withEvery<T extends object>(all: T[], pairs: boolean): T[] {
  const partsOf = (one: T) => {
    const settings = Object.entries(one).map(String);
    if (!pairs) return settings;
    return settings.flatMap((first, index) =>
      settings.slice(index + 1).map((second) => `${first} ${second}`),
    );
  };
  const missing = new Set(all.flatMap(partsOf));
  const news = (one: T) => partsOf(one).filter((part) => missing.has(part)).length;
  const chosen: T[] = [];
  while (missing.size > 0) {
    const best = all.reduce((most, one) => (news(one) > news(most) ? one : most));
    for (const part of partsOf(best)) missing.delete(part);
    chosen.push(best);
  }
  return chosen;
}

const BOTH = [false, true] as const;

describe("request", () => {
  interface Variant {
    udp: boolean;
    workers: number;
    isOutgoing: boolean;
    onlyLocal: boolean;
    mark: number;
    snaplen: number;
  }
  test.each(
    combine<Variant>({
      udp: BOTH,
      workers: [1, 8],
      isOutgoing: BOTH,
      onlyLocal: BOTH,
      mark: [0, MARK],
      snaplen: [96, WHOLE_PACKETS],
    }),
  )("tc: %j", ({ udp, ...variant }) => {
    load({ ...variant, services: udp ? [...OPTIONS.services, UDP] : OPTIONS.services });
  });

  describe.each(XDP_PROGRAMS)("%s", (program) => {
    test.each(
      combine<Omit<Variant, "isOutgoing" | "mark">>({
        udp: BOTH,
        workers: [1, 8],
        onlyLocal: BOTH,
        snaplen: [96, WHOLE_PACKETS],
      }),
    )("%j", ({ udp, ...variant }) => {
      const services = udp ? [...OPTIONS.services, UDP] : OPTIONS.services;
      load({ ...variant, services, hook: "xdp", xdpPrograms: [program] });
    });
  });

  test("by itself the XDP program is the best that this kernel takes", () => {
    const kernel = loadKernelCapture({ ...kernelPrograms(), ...OPTIONS, paths: null, hook: "xdp" });
    kernel.detach();
    expect(kernel.xdpProgram).toBe(XDP_PROGRAMS[0]!);
  });

  test.skipIf(FEW !== undefined)(`${MANY} services`, () => {
    const services = Array.from({ length: MANY }, (_, index): KernelService => {
      return { address: Uint8Array.of(10, 1, index >> 8, index), family: 4, port: 80, index };
    });
    load({ services });
  });
});

describe("record", () => {
  test.each(
    combine<{ keepsAcks: boolean; both: boolean; udp: boolean; onlyLocal: boolean }>({
      keepsAcks: BOTH,
      both: BOTH,
      udp: BOTH,
      onlyLocal: BOTH,
    }),
  )("%j", ({ keepsAcks, both, udp, onlyLocal }) => {
    const { requestObject, outgoingObject } = recordPrograms();
    loadRecordKernel({
      requestObject,
      outgoingObject: both ? outgoingObject : null,
      services: udp ? [...OPTIONS.services, UDP] : OPTIONS.services,
      mark: 0,
      keepsAcks,
      onlyLocal,
      snaplen: WHOLE_PACKETS,
      ringBytes: RING_BYTES,
      hook: "auto",
    }).close();
  });
});

describe("response and outgoing", () => {
  test.each([1, 8])("%d workers", (workers) => {
    const { paths, services } = OPTIONS;
    if (!FEW) load({ workers, paths, services: null });
    const payload = { bytes: 512, takesHeads: true };
    const answered = paths.map((path) => ({ ...path, payload }));
    for (const udp of FEW ? [workers > 1] : BOTH) {
      const all = udp ? [...services, UDP] : services;
      const outgoingServices = all.map((service) => ({ ...service, payload }));
      const outgoing = { outgoingObject: outgoingProgram(), outgoingServices };
      for (const onlyLocal of FEW ? [workers > 1] : BOTH)
        load({ workers, paths: answered, services: all, onlyLocal, ...outgoing });
    }
  });

  test.skipIf(FEW !== undefined)(`${MANY} targets`, () => {
    const paths = Array.from({ length: MANY }, (_, index) => {
      return {
        family: 4 as const,
        local: bytesOf("10.0.0.1"),
        target: Uint8Array.of(10, 2, index >> 8, index),
        targetPort: 80,
      };
    });
    load({ paths });
  });
});

describe("intercept", () => {
  const base = { object: interceptProgram(), flows: 4096, ringBytes: RING_BYTES, linger: 0 };
  test.each([1, 64])("learn and catch, %d services", (count) => {
    const services = Array.from({ length: count }, (_, index) => {
      return {
        address: bytesOf(`10.0.0.${index}`),
        family: 4 as const,
        ports: [[80, 8080]] as [number, number][],
      };
    });
    loadIntercept({ ...base, mode: "target", services, hook: "auto" }).detach();
  });

  test("swallow at tc", () => {
    loadIntercept({ ...base, mode: "assistant", services: [], hook: "auto" }).detach();
  });

  test.each(XDP_PROGRAMS)("swallow, %s", (program) => {
    loadIntercept({ ...base, mode: "assistant", services: [], hook: "xdp", xdpPrograms: [program] }).detach();
  });
});

describe("a filter in front", () => {
  const expressions = [
    "src net 10.2.0.0/16",
    "tcp port 80 or udp port 53",
    "ip6 and tcp src portrange 1024-65535",
    "vlan 7 and host 10.0.0.1",
    "len > 100 and tcp[tcpflags] & tcp-syn != 0",
    "tcp[((tcp[12:1] & 0xf0) >> 2):4] = 0x47455420",
    Array.from({ length: 100 }, (_, index) => `src host 10.0.1.${index}`).join(" or "),
  ];
  const hooks: [ProgramKind, RequestHook | "auto"][] = [
    ["tc", "auto"],
    ...XDP_PROGRAMS.map((program): [ProgramKind, RequestHook] => [program, "xdp"]),
  ];
  test.each(hooks)("%s", (kind, hook) => {
    const kernel = loadKernelCapture({
      ...kernelPrograms(),
      ...OPTIONS,
      paths: null,
      hook,
      xdpPrograms: kind === "tc" ? XDP_PROGRAMS : [kind],
    });
    const target = kind === "tc" ? kernel.requestProgram : kernel.requestXdpProgram;
    for (const expression of expressions) {
      const filter = compileFilter(expression, "ethernet");
      loadFilterProgram({ kind, frags: kind === "xdp", target, ...filter }).close();
    }
    kernel.detach();
  });
});
