/** dist/xcopy as an intercept. */
import type { InterceptAccount } from "../../src/intercept/summary.ts";
import { keyFor } from "./key.ts";
import type { Lab } from "./lab.ts";
import type { Running } from "./process.ts";
import { until } from "./until.ts";
import { XCOPY } from "./xcopy.ts";

export interface Intercept {
  running: Running;
  /** The latest account. */
  last(): InterceptAccount | undefined;
  /** Resolves with the first account, past or future, that fulfils the condition. */
  report(
    what: string,
    condition: (account: InterceptAccount) => boolean,
    ms?: number,
  ): Promise<InterceptAccount>;
  /** SIGTERM, then the exit code and the last account. */
  stop(signal?: NodeJS.Signals): Promise<{ code: number; account: InterceptAccount }>;
}

/**
 * Starts `xcopy intercept --json` with these arguments in a namespace, and resolves when it catches. It has the key of the tests
 * unless the arguments say otherwise, and reports every `interval` seconds. `prefix` is a command that runs it.
 */
export async function startIntercept(
  lab: Lab,
  namespace: string,
  args: string[],
  { interval = 0.1, prefix = [] as string[] } = {},
): Promise<Intercept> {
  const words = ["intercept", "--json", "--stats-interval", `${interval}`, ...args];
  const running = lab.start(namespace, [...prefix, XCOPY, ...words], keyFor(args));
  await running.line(/^catching /);
  const parsed: InterceptAccount[] = [];
  const accounts = () => {
    for (const line of running.output.slice(parsed.length)) parsed.push(JSON.parse(line));
    return parsed;
  };
  return {
    running,
    last: () => accounts().at(-1),
    report(what, condition, ms = 10_000) {
      return until(
        () =>
          `intercept reports ${what}; its last account and messages:\n` +
          [running.output.at(-1), ...running.errors.slice(-20)].join("\n"),
        () => accounts().find(condition),
        ms,
      );
    },
    async stop(signal = "SIGTERM") {
      const code = await running.stop(signal);
      return { code, account: accounts().at(-1)! };
    },
  };
}
