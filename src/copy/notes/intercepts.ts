/** How answers come back by intercepts: keeps it up to date, and logs when one connects or is lost, and what that means. */
import { fingerprintOf, type Key } from "../../channel/key.ts";
import { formatEndpoint } from "../../config/address.ts";
import type { InterceptAddress } from "../../config/intercepts.ts";
import type { Log } from "../../host/log/log.ts";
import type { PathConfig } from "../../inject/path.ts";
import type { ReturnPath } from "../account/account.ts";
import type { InterceptState } from "../data-plane/intercepts.ts";

/** What of a plan is about intercepts. */
interface Ways {
  intercepts: InterceptAddress[];
  paths: PathConfig[];
  key: Key | null;
}

/** How answers come back; `watchIntercepts` keeps it up to date. */
export function returnPathOf(plan: Ways): ReturnPath {
  const intercepts = plan.intercepts.map(({ address, port }) => ({
    address: formatEndpoint(address.bytes, port),
    mode: null,
    up: false,
  }));
  const key = plan.key && fingerprintOf(plan.key.bytes);
  return { mode: intercepts.length > 0 ? "intercept" : "direct", intercepts, key };
}

/** The targets of the paths that no intercept covers. */
function uncoveredTargets({ paths }: Ways, covered: number[]): string[] {
  const uncovered = paths.filter((_, path) => !covered.includes(path));
  return [...new Set(uncovered.map(({ target, targetPort }) => formatEndpoint(target, targetPort)))];
}

/**
 * Keeps the return path up to date, and logs when an intercept connects or is lost, and what that means. `judged`: the
 * preflight reports intercepts that are missing at the start, so that they are not logged here.
 */
export function watchIntercepts(
  plan: Ways,
  path: ReturnPath,
  log: Log,
  judged: boolean,
): (state: InterceptState) => void {
  const known = new Set<number>();
  const away = new Set<number>();
  const covered: number[][] = [];
  return ({ index, up, text, welcome, covers }) => {
    const { label } = plan.intercepts[index]!;
    const mode = welcome ? ` (${welcome.mode})` : "";
    path.intercepts[index]!.up = up;
    if (welcome) {
      path.intercepts[index]!.mode = welcome.mode;
      path.mode = welcome.mode;
    }
    if (up) {
      const isAgain = known.has(index);
      log.info(`intercept ${label}${mode}: connected${isAgain ? " again" : ""}`);
      known.add(index);
      away.delete(index);
      covered[index] = covers;
      const isTold = (isAgain || !judged) && known.size === plan.intercepts.length;
      const held = isTold ? uncoveredTargets(plan, covered.flat()) : [];
      if (held.length > 0)
        log.warn(`no intercept catches the responses of ${held.join(", ")}; nothing is sent there`);
    } else if (away.has(index)) {
      log.warn(`intercept ${label}${mode}: still not connected (${text})`);
    } else if (known.has(index)) {
      away.add(index);
      const targets = covers.map((path) => {
        const { target, targetPort } = plan.paths[path]!;
        return formatEndpoint(target, targetPort);
      });
      const held = [...new Set(targets)].join(", ");
      log.warn(`intercept ${label}${mode}: lost (${text}); nothing is sent to ${held} until it is back`);
    } else if (!judged) {
      away.add(index);
      log.warn(
        `intercept ${label}: not connected (${text}); nothing whose responses it would catch is sent until it is`,
      );
    }
  };
}
