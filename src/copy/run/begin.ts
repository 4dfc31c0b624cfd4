/** The beginning of the capture, once the first tries have found the targets. */
import type { KernelCapture } from "../../capture/kernel/capture.ts";
import { dropPrivileges, type Keeps } from "../../host/drop.ts";
import { CAP } from "../../native/bpf/capabilities.ts";
import type { Answers } from "../answers.ts";
import type { DataPlane } from "../data-plane/start.ts";
import { diagnose } from "../diagnosis.ts";
import type { RequestInput } from "../input.ts";
import type { CopyOptions } from "../options.ts";
import { connectOrdinarily } from "../ordinary-connection.ts";
import type { Plan } from "../plan.ts";
import type { Console, Reloads } from "./running.ts";

const MARK_LOST =
  "The mark on SYNs (TCP option 253) is lost on the way to the target: each connection is registered with the intercept instead, which costs a round trip.";

/**
 * What is needed to copy, to follow interfaces and ways to the targets (programs are attached there, sockets opened), and to end.
 */
export function keepsOf(
  plan: Plan,
  options: CopyOptions,
  kernel: KernelCapture | null,
  answers: Answers,
  reloads: Reloads | null,
): Keeps {
  const { filter } = options.capture;
  // An interface with another link layer takes another program, and a reload may bring another filter, or the first.
  const mayFilter = filter !== null || reloads?.takesSignal === true;
  const loads = mayFilter && kernel !== null && kernel.requestRings.length > 0;
  return {
    capabilities: [CAP.NET_ADMIN, CAP.NET_RAW, ...(loads ? [CAP.BPF, CAP.PERFMON] : [])],
    usesMaps: kernel !== null,
    usesTools: answers.socket !== null,
    runsPrograms: answers.socket !== null,
    attaches: kernel !== null,
    loads,
    writes: [options.log, options.pidFile, ...options.audience.reports.map(({ path }) => path)],
    reads: [...plan.files, ...(reloads?.reads ?? [])],
  };
}

/** Waits for the preflight, throws a Failure for what it found (not with --force), then captures. False after a signal. */
export async function begin(
  plan: Plan,
  options: CopyOptions,
  source: RequestInput,
  plane: DataPlane,
  keeps: Keeps,
  { stop, log }: Console,
) {
  const results = await Promise.race([plane.ready, stop.first]);
  if (!results) return false;
  if (!options.force) diagnose(results, plan, await connectOrdinarily(results, plan));
  if (results.registersAll) log.warn(MARK_LOST);
  await source.begin(
    () => stop.count() > 0,
    (text) => log.warn(text),
  );
  dropPrivileges(keeps, log);
  return true;
}
