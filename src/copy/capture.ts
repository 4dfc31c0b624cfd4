/** Opens the capture of live requests: by the back end that the user named, or by the best that works. */
import type { KernelCapture } from "../capture/kernel.ts";
import { XDP_COSTS } from "../capture/xdp-links.ts";
import type { BackEnd } from "../config/capture.ts";
import type { CarriedLibrary } from "../native/carried.ts";
import { Failure } from "../native/failure.ts";
import type { Capture } from "./back-end.ts";
import { captureByPrograms } from "./capture-programs.ts";
import { captureBySockets } from "./capture-sockets.ts";
import { loadForAnswers, loadKernel } from "./load.ts";
import type { CopyOptions } from "./options.ts";
import type { Plan } from "./plan.ts";

/** The capture of requests, and the kernel programs for requests and answers; `kernel` is null where there are none. */
export interface OpenCapture {
  kernel: KernelCapture | null;
  capture: Capture;
  /** Lines for the log, each continues "capture ": why better back ends do not work, what this one costs. */
  reasons: string[];
}

type Open = (name: BackEnd) => OpenCapture;

/** The back ends that `auto` tries, the best first. */
const AUTOMATIC: BackEnd[] = ["tcx", "packet", "raw"];

/**
 * Opens the back end that was asked for. Throws a Failure (2, 4, 5) with the reason if it cannot work; `auto` tries the next
 * one then.
 */
export function openCapture(plan: Plan, options: CopyOptions, libraries: CarriedLibrary[]): OpenCapture {
  const open: Open = (name) => openBackEnd(name, plan, options, libraries);
  const { backEnd } = options.capture;
  // Raw sockets serve one worker only, and see incoming packets only.
  const takesRaw = plan.workers.count === 1 && options.capture.direction === "in";
  const names = takesRaw ? AUTOMATIC : AUTOMATIC.filter((name) => name !== "raw");
  return backEnd === "auto" ? openBest(names, plan, open) : open(backEnd);
}

function openBest(names: BackEnd[], plan: Plan, open: Open): OpenCapture {
  const reasons: string[] = [];
  let first: unknown;
  for (const name of names) {
    let opened: OpenCapture | undefined;
    try {
      opened = open(name);
      // Some errors show only when attaching. Nothing is captured yet: the programs are inert before the first heartbeat.
      if (opened.capture.name === "tcx" || opened.capture.name === "clsact") tryAttach(plan, opened.capture);
      if (opened.capture.name === "clsact") reasons.push("not by tcx: this kernel does not have it");
      return { ...opened, reasons: [...reasons, ...opened.reasons] };
    } catch (error) {
      opened?.capture.close();
      opened?.kernel?.detach();
      first ??= error;
      if (!(error instanceof Failure) || error.exitCode < 3) throw error;
      reasons.push(`not by ${name}: ${error.message}`);
    }
  }
  throw first;
}

function tryAttach(plan: Plan, capture: Capture): void {
  capture.attach(plan.interfaces.map(({ ifindex }) => ifindex));
  capture.stop();
}

function openBackEnd(
  name: BackEnd,
  plan: Plan,
  options: CopyOptions,
  libraries: CarriedLibrary[],
): OpenCapture {
  if (name === "tcx" || name === "clsact" || name === "xdp" || name === "xdp-generic") {
    // `auto` takes tcx or clsact, whichever the kernel has.
    const hook = options.capture.backEnd === "auto" ? "auto" : name;
    const kernel = loadKernel(plan, options, libraries, hook)!;
    const reasons = name.startsWith("xdp") ? [XDP_COSTS] : [];
    return { kernel, capture: captureByPrograms(kernel, options), reasons };
  }
  const capture = captureBySockets(name, plan, options);
  const reasons: string[] = [];
  try {
    const kernel = loadForAnswers(plan, options, libraries, (reason) => reasons.push(reason));
    return { kernel, capture, reasons };
  } catch (error) {
    capture.close();
    throw error;
  }
}
