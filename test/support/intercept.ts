/** dist/xcopy as an intercept, and copies without an engine. */
import { join } from "node:path";
import type { InterceptAccount } from "../../src/intercept/summary.ts";
import type { FakeOptions } from "./fake-copy.ts";
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
 * Starts `xcopy intercept --json` with these arguments in a namespace, and resolves when it catches. It reports every
 * `interval` seconds. `prefix` is a command that runs it.
 */
export async function startIntercept(
  lab: Lab,
  namespace: string,
  args: string[],
  { interval = 0.1, prefix = [] as string[] } = {},
): Promise<Intercept> {
  const words = ["intercept", "--json", "--stats-interval", `${interval}`, ...args];
  const running = lab.start(namespace, [...prefix, XCOPY, ...words]);
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

export interface FakeReport {
  kind: "report";
  started: number;
  ok: number;
  failed: number;
  resets: number;
  responses: number;
  /** Bytes of payload that came with them. */
  payload: number;
}

export interface FakeCopy {
  running: Running;
  /** Everything it said, the latest last. */
  events(): ({ kind: string } & Record<string, unknown>)[];
  /** Resolves with the first event of a kind that fulfils the condition. */
  event<T = Record<string, unknown>>(
    kind: string,
    condition?: (event: T) => boolean,
    ms?: number,
  ): Promise<T>;
  /** Resolves when so many sessions are done; throws if one failed. */
  done(sessions: number, ms?: number): Promise<FakeReport>;
}

export function startFakeCopy(lab: Lab, namespace: string, options: FakeOptions): FakeCopy {
  const script = join(import.meta.dir, "fake-copy.ts");
  const running = lab.start(namespace, [process.execPath, script, JSON.stringify(options)]);
  const parsed: ({ kind: string } & Record<string, unknown>)[] = [];
  const events = () => {
    for (const line of running.output.slice(parsed.length)) parsed.push(JSON.parse(line));
    return parsed;
  };
  const event = async <T>(kind: string, condition: (event: T) => boolean = () => true, ms = 20_000) =>
    (await until(
      () =>
        `the copy says ${kind}; it said:\n${[...running.output, ...running.errors].slice(-20).join("\n")}`,
      () => events().find((one) => one.kind === kind && condition(one as T)),
      ms,
    )) as T;
  return {
    running,
    events,
    event,
    async done(sessions, ms) {
      const report = await event<FakeReport>("report", ({ ok, failed }) => ok + failed >= sessions, ms);
      if (report.failed > 0) throw new Error(`${report.failed} sessions failed: ${JSON.stringify(report)}`);
      return report;
    },
  };
}
