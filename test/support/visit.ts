/** Other clients of the target: see visitors.ts. */
import { join } from "node:path";
import type { Lab } from "./lab.ts";

export interface Visits {
  /** Requests on short connections, and on the one that stays. */
  short: number;
  checks: number;
  failures: string[];
}

/** Starts them in a namespace; the function that is returned ends them. */
export async function startVisitors(
  lab: Lab,
  namespace: string,
  url: string,
): Promise<() => Promise<Visits>> {
  const running = lab.start(namespace, [process.execPath, join(import.meta.dir, "visitors.ts"), url]);
  await running.line(/^visiting/);
  return async () => {
    await running.stop();
    return JSON.parse(running.output.at(-1)!);
  };
}

/** Whether a logged request is theirs. */
export function isVisit({ content }: { content: string }): boolean {
  return content.includes(" /visitor/");
}
