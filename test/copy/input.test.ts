/** How live capture begins on many interfaces, of which some may be gone. */
import { expect, test } from "bun:test";
import type { KernelCapture } from "../../src/capture/kernel/capture.ts";
import type { Capture } from "../../src/copy/back-end.ts";
import { captureByPrograms } from "../../src/copy/capture-programs.ts";
import { liveInput } from "../../src/copy/input.ts";
import type { CopyOptions } from "../../src/copy/options.ts";
import type { Plan } from "../../src/copy/plan.ts";
import { Failure } from "../../src/native/failure.ts";
import { failing } from "../config/failing.ts";

/** Index of an interface that every host has, and of one that none has. */
const LO = 1;
const GONE = 2 ** 31 - 1;

/** Capture by programs that are attached nowhere; `calls` says where they would have been. */
function byPrograms(refuses: (ifindex: number) => Failure | null = () => null) {
  const calls: string[] = [];
  const kernel = {
    hook: "tcx",
    requestRings: [],
    usesXdp: () => false,
    attachRequests(ifindexes: number[]) {
      for (const ifindex of ifindexes) {
        const failure = refuses(ifindex);
        if (failure) throw failure;
        calls.push(`attach ${ifindex}`);
      }
    },
    detachRequests: () => calls.push("detach"),
    stopRequests: () => calls.push("stop"),
  } as unknown as KernelCapture;
  const options = { capture: { backEnd: "auto", filter: null } } as unknown as CopyOptions;
  return { capture: captureByPrograms(kernel, options), calls };
}

test("programs are tried on one interface, attached to each once, and inert before they are detached", () => {
  const { capture, calls } = byPrograms();
  capture.try([LO, 2, 3]);
  expect(calls.splice(0)).toEqual(["attach 1", "detach"]);
  capture.attach([LO, 2, 3]);
  expect(calls.splice(0)).toEqual(["attach 1", "attach 2", "attach 3"]);
  capture.stop();
  expect(calls).toEqual(["stop"]);
});

test("an interface that is gone is passed over, any other failure is not", () => {
  const gone = new Failure("Cannot attach: no such interface", '"ip link" lists the interfaces.', 2);
  const { capture, calls } = byPrograms((ifindex) => (ifindex === GONE ? gone : null));
  capture.attach([GONE, LO]);
  expect(calls).toEqual(["attach 1"]);
  const refused = new Failure("Cannot attach: not permitted", "Run it as root", 4);
  const other = byPrograms((ifindex) => (ifindex === LO ? refused : null));
  expect(failing(() => other.capture.attach([GONE, LO]))).toMatchObject({
    message: refused.message,
    exitCode: 4,
  });
});

test.each([
  { stopsAfter: Number.POSITIVE_INFINITY, attached: 100 },
  { stopsAfter: 2, attached: 32 },
  { stopsAfter: 0, attached: 0 },
])("signals are seen while hundreds of interfaces are attached: %p", async ({ stopsAfter, attached }) => {
  const calls: number[][] = [];
  const capture = { attach: (ifindexes: number[]) => calls.push(ifindexes) } as unknown as Capture;
  const interfaces = Array.from({ length: 100 }, (_, index) => ({ name: `eth${index}`, ifindex: index + 1 }));
  const input = liveInput({ interfaces } as Plan, { capture, kernel: null, notes: [] });
  await input.begin(
    () => calls.length >= stopsAfter,
    () => {},
  );
  const all = interfaces.map(({ ifindex }) => ifindex);
  expect(calls.flat()).toEqual(all.slice(0, attached));
});
