/**
 * Tries what the kernel lets xcopy load and open, by the same calls as a start: each eBPF program is loaded and unloaded, and
 * attached to one interface for a moment, where it is inert.
 */
import type { BackEnd } from "../../config/capture.ts";
import { type OpenCapture, openCapture } from "../../copy/capture.ts";
import { loadForAnswers } from "../../copy/load.ts";
import type { CopyOptions } from "../../copy/options.ts";
import type { Plan } from "../../copy/plan.ts";
import { carriedLibraries } from "../../host/carried-libraries.ts";
import type { CarriedLibrary } from "../../native/carried.ts";
import { Failure } from "../../native/failure.ts";
import { type Finding, findingsAbout } from "../finding.ts";
import { standInPlan } from "../stand-in.ts";
import type { Subject } from "../subject.ts";
import { lackedCapabilities } from "./privileges.ts";

/** Bytes of -B here: rings take seconds to make where they are large, and whether there is memory for them is another check. */
const SMALL = 1 << 20;

/** What a start would come to. */
interface Tried {
  name: string;
  /** Whether answers come by a program; false: by a socket, or they need not come here. */
  hasKernel: boolean;
  notes: OpenCapture["notes"];
}

function tryCapture(
  backEnd: "auto" | BackEnd,
  plan: Plan,
  options: CopyOptions,
  libraries: CarriedLibrary[],
): Tried | Failure {
  let opened: OpenCapture | undefined;
  try {
    const capture = { ...options.capture, backEnd, bufferBytes: SMALL };
    opened = openCapture(plan, { ...options, capture }, libraries);
    const { name } = opened.capture;
    // Attaching XDP may take a link down for a moment: it is loaded only.
    if (!name.startsWith("xdp")) opened.capture.try(plan.interfaces.map(({ ifindex }) => ifindex));
    return { name, hasKernel: opened.kernel !== null, notes: opened.notes };
  } catch (error) {
    if (error instanceof Failure) return error;
    throw error;
  } finally {
    opened?.capture.close();
    opened?.kernel?.detach();
  }
}

/** Whether `auto` found the best. */
function isByProgram(name: string): boolean {
  return name === "tcx" || name === "clsact";
}

/** Capture of live requests, and of the answers to this host's own address. */
export async function checkPrograms(subject: Subject): Promise<Finding[]> {
  const { options } = subject;
  const plan = subject.plan ?? (await standInPlan(options));
  if (plan === null) return [];
  const libraries = await carriedLibraries();
  if (plan.files.length > 0) return answersOfRecording(plan, options, libraries);
  const about = findingsAbout("host.capture", "capture of requests");
  const { missing, isEnough } = lackedCapabilities(subject);
  // That is a finding of its own.
  if (!isEnough) return about.ok("not tried, as capabilities are missing");
  const tried = tryCapture(options.capture.backEnd, plan, options, libraries);
  if (tried instanceof Failure) return about.failed(tried.message, tried.fix);
  const text = [`by ${tried.name}`, ...tried.notes.map((note) => note.text)].join("; ");
  const fix = tried.notes.find((note) => note.fix !== null)?.fix ?? null;
  const isSecondBest = options.capture.backEnd === "auto" && !isByProgram(tried.name);
  let first = about.ok(text);
  if (isSecondBest)
    first = missing.length > 0 ? about.ok(`by ${tried.name} socket`) : about.warning(text, fix);
  return [
    ...first,
    ...checkFallBacks(tried, plan, options, libraries),
    ...checkAnswers(tried.hasKernel, plan),
  ];
}

/** What `auto` would take if eBPF were forbidden one day. */
function checkFallBacks(
  { name }: Tried,
  plan: Plan,
  options: CopyOptions,
  libraries: CarriedLibrary[],
): Finding[] {
  if (options.capture.backEnd !== "auto" || !isByProgram(name)) return [];
  const about = findingsAbout("host.fall_back", "capture in its place");
  const tried = tryCapture("packet", plan, options, libraries);
  if (tried instanceof Failure) return about.ok(`none: ${tried.message}`);
  return about.ok(`by ${tried.name} socket, which can be opened too`);
}

/** How answers come back; `hasKernel`: by programs that could be loaded. */
function checkAnswers(hasKernel: boolean, { intercepts }: Plan): Finding[] {
  const about = findingsAbout("host.answers", "capture of responses");
  if (intercepts.length > 0) return about.ok("by the intercepts");
  if (hasKernel) return about.ok("by an eBPF program");
  const tool = ["nft", "iptables"].find((name) =>
    Bun.which(name, { PATH: `${process.env.PATH ?? ""}:/usr/sbin:/sbin` }),
  );
  if (tool) return about.ok(`by a packet socket, and a rule of ${tool} that keeps them from this host's TCP`);
  return about.failed(
    "by a packet socket; neither nft nor iptables is there to keep them from this host's TCP",
    "apt-get install nftables",
  );
}

function answersOfRecording(plan: Plan, options: CopyOptions, libraries: CarriedLibrary[]): Finding[] {
  const about = findingsAbout("host.capture", "capture of responses");
  const causes: Failure[] = [];
  try {
    loadForAnswers(plan, options, libraries, (cause) => causes.push(cause))?.detach();
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    return about.failed(error.message, error.fix);
  }
  const [cause] = causes;
  if (cause) return about.warning(`by a packet socket: ${cause.message}`, cause.fix);
  return checkAnswers(true, plan);
}
