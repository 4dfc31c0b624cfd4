/** Other clients of the target: see visitors.ts. */
import { join } from "node:path";
import type { Lab } from "./lab.ts";
import { until } from "./until.ts";

export interface Visits {
  /** Requests on short connections, and on the one that stays. */
  short: number;
  checks: number;
  failures: string[];
}

/** Ends the visits, when there have been more than so many of each kind. */
export type EndVisits = (least: number) => Promise<Visits>;

/** Starts them in a namespace. */
export async function startVisitors(lab: Lab, namespace: string, url: string): Promise<EndVisits> {
  const running = lab.start(namespace, [process.execPath, join(import.meta.dir, "visitors.ts"), url]);
  await running.line(/^visiting/);
  const last = (): Visits => JSON.parse(running.output.at(-1)!);
  return async (least) => {
    const isEnough = () => running.output.length > 1 && Math.min(last().short, last().checks) > least;
    await until(`more than ${least} visits, or one that failed`, () => isEnough() || running.ended());
    await running.stop();
    return last();
  };
}

/** Whether a logged request is theirs. */
export function isVisit({ content }: { content: string }): boolean {
  return content.includes(" /visitor/");
}
