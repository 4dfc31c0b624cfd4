/** dist/xcopy as an intercept with its accounts, and copies without an engine. */
import { join } from "node:path";
import type { InterceptAccount } from "../../src/intercept/summary.ts";
import type { FakeOptions } from "./fake-copy.ts";
import { type Intercept, startIntercept } from "./intercept.ts";
import type { Lab } from "./lab.ts";
import type { Running } from "./process.ts";
import { until } from "./until.ts";

/** An intercept whose accounts are waited for. */
export interface Catching extends Intercept {
  /** Resolves when `sessions` sessions are over: every response is routed, the target has nothing more to say. */
  settled(sessions: number): Promise<InterceptAccount>;
}

/** Responses of nginx in a session of a fake copy: to its SYN, its request, its end. */
const ANSWERS = 5;

/** Starts `xcopy intercept --json` with these arguments in a namespace, and resolves when it catches. */
export async function startCatching(lab: Lab, namespace: string, args: string[]): Promise<Catching> {
  const intercept = await startIntercept(lab, namespace, args);
  return {
    ...intercept,
    settled: (sessions) =>
      intercept.report(
        "all responses",
        ({ routed, responses }) => routed === responses.packets && routed >= sessions * ANSWERS,
      ),
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
