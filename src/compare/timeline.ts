/** How the run went: at most 600 moments, of one second at first and of two, four ... later. */
import { Histogram } from "./histogram.ts";
import type { Moment } from "./report.ts";
import type { Progress } from "./settings.ts";

export const MOST_MOMENTS = 600;

interface Counts {
  sent: number;
  compared: number;
  errors: number;
  different: number;
  /** Requests sent, times lag: for its mean. */
  lag: number;
  lagOf: number;
  lag99: number;
  production: Histogram;
  target: Histogram;
}

function empty(): Counts {
  const [production, target] = [new Histogram(), new Histogram()];
  return { sent: 0, compared: 0, errors: 0, different: 0, lag: 0, lagOf: 0, lag99: 0, production, target };
}

function merge(into: Counts, other: Counts): void {
  for (const name of ["sent", "compared", "errors", "different", "lag", "lagOf"] as const)
    into[name] += other[name];
  into.lag99 = Math.max(into.lag99, other.lag99);
  into.production.merge(other.production);
  into.target.merge(other.target);
}

export class Timeline {
  /** Length of a moment, s. */
  private length = 1;
  private moments: Counts[] = [empty()];
  private now = 0;
  private sent = 0;

  /** What was sent since the last note is of the moment of that. */
  note({ at, sent, lag }: Progress): void {
    const moment = this.current();
    const since = Math.max(0, sent - this.sent);
    moment.sent += since;
    const weight = Math.max(since, 1e-6);
    moment.lag += weight * lag.p50;
    moment.lagOf += weight;
    moment.lag99 = Math.max(moment.lag99, lag.p99);
    this.sent = Math.max(this.sent, sent);
    if (Number.isFinite(at)) this.now = Math.max(this.now, at);
    while (this.now / this.length >= MOST_MOMENTS) this.halve();
  }

  /** A request that was paired now; us, null where there is no answer. */
  take(production: number | null, target: number | null, isError: boolean, isDifferent: boolean): void {
    const moment = this.current();
    moment.compared++;
    if (isError) moment.errors++;
    if (isDifferent) moment.different++;
    if (production === null || target === null) return;
    moment.production.record(production);
    moment.target.record(target);
  }

  private current(): Counts {
    const index = Math.floor(this.now / this.length);
    while (this.moments.length <= index) this.moments.push(empty());
    return this.moments[index]!;
  }

  private halve(): void {
    this.length *= 2;
    const merged: Counts[] = [];
    for (const [index, moment] of this.moments.entries()) {
      if (index % 2 === 0) merged.push(moment);
      else merge(merged.at(-1)!, moment);
    }
    this.moments = merged;
  }

  /** `seconds`: the length of the run, for the last moment, which may be shorter. */
  report(seconds: number): Moment[] {
    const last = this.current();
    const begun = seconds - (this.moments.length - 1) * this.length;
    const isOver = this.moments.length > 1 && last.sent + last.compared === 0 && begun <= this.length / 2;
    return this.moments.slice(0, isOver ? -1 : undefined).map((moment, index) => {
      const at = index * this.length;
      const isLast = index === this.moments.length - 1;
      const length = isLast ? Math.min(this.length, Math.max(seconds - at, 0.1)) : this.length;
      const of = (histogram: Histogram) => ({ p50: histogram.quantile(0.5), p99: histogram.quantile(0.99) });
      const rate = (count: number) => Math.round((100 * count) / length) / 100;
      return {
        at,
        sent: rate(moment.sent),
        compared: rate(moment.compared),
        errors: rate(moment.errors),
        different: rate(moment.different),
        lag: { p50: moment.lagOf > 0 ? Math.round(moment.lag / moment.lagOf) : 0, p99: moment.lag99 },
        production: of(moment.production),
        target: of(moment.target),
      };
    });
  }
}
