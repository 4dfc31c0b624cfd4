/** Opens the capture of live requests: by the back end that the user named, or by the best that works. */
import type { KernelCapture } from "../capture/kernel/capture.ts";
import { XDP_COSTS } from "../capture/xdp-links.ts";
import { type BackEnd, needsBpf } from "../config/capture.ts";
import type { CarriedLibrary } from "../native/carried.ts";
import { Failure } from "../native/failure.ts";
import type { Capture } from "./back-end.ts";
import { captureByPrograms } from "./capture-programs.ts";
import { captureBySockets } from "./capture-sockets.ts";
import { answersBySocket, hasUdp, loadForAnswers, loadKernel, type Note, noteOf, UDP_WAYS } from "./load.ts";
import type { CopyOptions } from "./options.ts";
import type { Plan } from "./plan.ts";

/** The capture of requests, and the kernel programs for requests and answers; `kernel` is null where there are none. */
export interface OpenCapture {
  kernel: KernelCapture | null;
  capture: Capture;
  /** Why better back ends do not work, what this one costs. */
  notes: Note[];
}

/** As `OpenCapture`; `answers`: why they do not come by programs of the kernel, null if they do or need not. */
type Opened = Omit<OpenCapture, "notes"> & { answers: Failure | null };

type Open = (name: BackEnd) => Opened;

/** The back ends that `auto` tries, the best first. */
const AUTOMATIC: BackEnd[] = ["tcx", "packet", "raw"];
/** What it means that one of them is taken instead of those before it. */
const INSTEAD: Partial<Record<BackEnd, string>> = {
  packet: "capturing by a packet socket instead of eBPF, which shows requests up to 2 ms later",
  raw: "capturing by raw IP sockets instead of eBPF, which show what passed the firewall and is for this host, and no VLAN tags",
};
const NO_TCX = "capturing by clsact instead of tcx, which Linux has from 6.6 on";

/**
 * Opens the back end that was asked for. Throws a Failure (2, 4, 5) with the reason if it cannot work; `auto` tries the next
 * one then.
 */
export function openCapture(plan: Plan, options: CopyOptions, libraries: CarriedLibrary[]): OpenCapture {
  const opened = openRequests(plan, options, libraries);
  const unseen = unseenAnswers(opened.capture.name, options);
  return unseen === null ? opened : { ...opened, notes: [...opened.notes, noteOf(unseen, [])] };
}

/** Why what production answers is not captured, which is to be compared; null: it is, or nobody asked for it. */
function unseenAnswers(name: string, { comparison, capture }: CopyOptions): string | null {
  if (comparison === null) return null;
  const end = 'requests end as "target only"';
  if (capture.direction === "out")
    return `production's responses are not seen, as they come in by --direction out: ${end}`;
  return name === "raw" ? `production's responses are not seen by raw IP sockets: ${end}` : null;
}

function openRequests(plan: Plan, options: CopyOptions, libraries: CarriedLibrary[]): OpenCapture {
  const open: Open = (name) => openBackEnd(name, plan, options, libraries);
  const { backEnd } = options.capture;
  // Raw sockets serve one worker only, and see incoming packets only.
  const takesRaw = plan.workers.count === 1 && options.capture.direction === "in";
  const names = takesRaw ? AUTOMATIC : AUTOMATIC.filter((name) => name !== "raw");
  return backEnd === "auto" ? openBest(names, plan, open) : openNamed(backEnd, options, open);
}

function openNamed(name: BackEnd, { capture }: CopyOptions, open: Open): OpenCapture {
  const notes = name.startsWith("xdp") ? [noteOf(`capture ${XDP_COSTS}`, [])] : [];
  try {
    const { answers, ...opened } = open(name);
    if (answers !== null) notes.push(answersBySocket(answers));
    return { ...opened, notes };
  } catch (error) {
    if (!(error instanceof Failure) || error.exitCode !== 5 || !needsBpf(capture)) throw error;
    throw error.withFix("Capture by packet socket meanwhile: --capture packet");
  }
}

function openBest(names: BackEnd[], plan: Plan, open: Open): OpenCapture {
  const causes: Failure[] = [];
  let first: unknown;
  for (const name of names) {
    let opened: Opened | undefined;
    try {
      opened = open(name);
      // Some errors show only when attaching. Nothing is captured yet: the programs are inert before the first heartbeat.
      opened.capture.try(plan.interfaces.map(({ ifindex }) => ifindex));
      const { answers, ...rest } = opened;
      const notes = causes.length > 0 ? [noteOf(INSTEAD[name]!, causes)] : [];
      if (rest.capture.name === "clsact") notes.push(noteOf(NO_TCX, []));
      if (answers !== null) notes.push(answersBySocket(isSaid(causes, answers) ? null : answers));
      return { ...rest, notes };
    } catch (error) {
      opened?.capture.close();
      opened?.kernel?.detach();
      first ??= error;
      if (!(error instanceof Failure) || error.exitCode < 3) throw error;
      causes.push(error);
    }
  }
  throw first instanceof Failure && hasUdp(plan) ? first.withFix(UDP_WAYS) : first;
}

function isSaid(causes: readonly Failure[], one: Failure): boolean {
  return causes.some(({ message }) => message === one.message);
}

function openBackEnd(name: BackEnd, plan: Plan, options: CopyOptions, libraries: CarriedLibrary[]): Opened {
  if (name === "tcx" || name === "clsact" || name === "xdp" || name === "xdp-generic") {
    // `auto` takes tcx or clsact, whichever the kernel has.
    const hook = options.capture.backEnd === "auto" ? "auto" : name;
    const kernel = loadKernel(plan, options, libraries, hook)!;
    return { kernel, capture: captureByPrograms(kernel, options), answers: null };
  }
  const capture = captureBySockets(name, plan, options);
  let answers: Failure | null = null;
  try {
    const kernel = loadForAnswers(plan, options, libraries, (cause) => {
      answers = cause;
    });
    return { kernel, capture, answers };
  } catch (error) {
    capture.close();
    throw error;
  }
}
