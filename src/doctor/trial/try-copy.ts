/** Tries what a copy tries before its first request, by its own preflight, so that doctor and copy do not disagree. */
import type { KernelCapture } from "../../capture/kernel/capture.ts";
import { openAnswers } from "../../copy/answers.ts";
import type { Findings } from "../../copy/data-plane/preflight.ts";
import { shareOut } from "../../copy/data-plane/share-out.ts";
import { startDataPlane } from "../../copy/data-plane/start.ts";
import { mergeFindings } from "../../copy/data-plane/workers.ts";
import { dataPlaneConfig, loadForAnswers, mostRead } from "../../copy/load.ts";
import type { CopyOptions } from "../../copy/options.ts";
import { thisHost } from "../../copy/plan/host.ts";
import { makePlan } from "../../copy/plan/make.ts";
import type { Plan } from "../../copy/plan.ts";
import { carriedLibraries } from "../../host/carried-libraries.ts";
import { Failure } from "../../native/failure.ts";
import type { Subject } from "../subject.ts";

/** Bounds that are enough for a connection on each path. */
const SESSIONS = 1024;
const MEMORY = 16 << 20;

export interface Tried {
  /** As the copy would make it, with next hops. */
  plan: Plan;
  findings: Findings;
}

/** What came of it; `tried` is null where it could not be made: `failure` says why, unless other checks have that. */
export interface Outcome {
  tried: Tried | null;
  failure: Failure | null;
}

/** Exit codes of what the checks of this host have: options (2), privileges (4), the kernel (5). */
const TOLD_ELSEWHERE = [2, 4, 5];

const outcomes = new WeakMap<Subject, Promise<Outcome>>();

/** One preflight for all checks of a subject. */
export function tryOnce(subject: Subject): Promise<Outcome> {
  const known = outcomes.get(subject);
  if (known) return known;
  const made = tryCopy(subject).then(
    (tried): Outcome => ({ tried, failure: null }),
    (error: unknown): Outcome => {
      if (!(error instanceof Failure)) throw error;
      return { tried: null, failure: TOLD_ELSEWHERE.includes(error.exitCode) ? null : error };
    },
  );
  // Who waits for it hears of it.
  made.catch(() => {});
  outcomes.set(subject, made);
  return made;
}

/**
 * The connections of the preflight. Attaches, as a copy does, what catches answers to them, and detaches it again; no request is
 * captured. Rejects with a Failure where a copy could not start.
 */
async function tryCopy({ options: given, key }: Subject): Promise<Tried> {
  const options: CopyOptions = {
    ...given,
    dryRun: false,
    force: false,
    maxSessions: SESSIONS,
    memory: MEMORY,
    comparison: null,
    scheduling: { ...given.scheduling, workers: 1 },
  };
  const plan = await makePlan(options, thisHost(options), key);
  const libraries = await carriedLibraries();
  const kernel: KernelCapture | null =
    plan.intercepts.length > 0 ? null : loadForAnswers(plan, options, libraries, () => {});
  const answers = openAnswers(plan, kernel, mostRead(plan, options));
  try {
    answers.begin();
    const whole = dataPlaneConfig(plan, options, kernel, null, null, answers.socket);
    const configs = shareOut(whole, plan.workers.cpus, 0);
    const planes = configs.map((config) => startDataPlane(config));
    try {
      return { plan, findings: mergeFindings(await Promise.all(planes.map(({ ready }) => ready))) };
    } finally {
      for (const plane of planes) plane.stop();
      await Promise.allSettled(planes.map(({ ended }) => ended));
    }
  } finally {
    answers.close();
    kernel?.detach();
  }
}
