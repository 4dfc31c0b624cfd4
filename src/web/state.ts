/** What is known of the run, looked at no more than once a second however many ask. */
import type { Endpoint, Report } from "../compare/report.ts";
import { compact } from "../report/page/changes.ts";
import { keyOf } from "../report/page/format.ts";
import { renderPage } from "../report/page.ts";
import { createMetrics } from "./metrics.ts";
import type { WebSource } from "./source.ts";

/** ms that an answer is good for. */
export const FRESH = 1000;

/** Keeps what is made for FRESH ms, of a clock in ms, or until `forget` is called. */
export function createKeeper(now: () => number) {
  let generation = 0;
  const keep = <T>(make: () => T): (() => T) => {
    let known: { value: T; at: number; generation: number } | null = null;
    return () => {
      if (!known || known.generation !== generation || now() - known.at >= FRESH) {
        known = { value: make(), at: now(), generation };
      }
      return known.value;
    };
  };
  return { keep, forget: () => void generation++ };
}

export interface State {
  report(): Report;
  /** The report without what only an open row needs. */
  compact(): Report;
  endpoint(wanted: Pick<Endpoint, "service" | "protocol" | "method" | "name">): Endpoint | null;
  /** Each as the body of an answer: its bytes are there once for all readers. */
  page(): Blob;
  reportText(): Blob;
  account(): Blob;
  metrics(): Promise<Blob>;
  /** Makes the next look be a new one. */
  forget(): void;
}

/** `now` is a clock in ms that never goes back. */
export function createState(source: WebSource, now: () => number): State {
  const blob = (text: string) => new Blob([text]);
  const json = (value: unknown) => blob(`${JSON.stringify(value)}\n`);
  const { keep, forget } = createKeeper(now);
  const renderMetrics = createMetrics();
  const report = keep(() => source.report());
  const account = keep(() => source.account());
  const short = keep(() => compact(report()));
  return {
    report,
    compact: short,
    endpoint: (wanted) => {
      const key = keyOf(wanted as Endpoint);
      return report().endpoints.find((endpoint) => keyOf(endpoint) === key) ?? null;
    },
    page: keep(() => blob(renderPage(short(), { live: true }))),
    reportText: keep(() => json(report())),
    account: keep(() => json(account())),
    metrics: keep(async () => blob(await renderMetrics(report(), account(), source.metrics()))),
    forget,
  };
}
