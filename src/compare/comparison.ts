/** Makes a report of pairs. No clock, no input: time comes with the calls. Its memory is bounded, whatever the pairs are. */
import type { Outcome, Pair } from "../pairs/pair.ts";
import type { Distribution, Report } from "./report.ts";
import { VERSION } from "./report.ts";
import type { CompareSettings, Progress, RunFacts } from "./settings.ts";

/** The part of an account that is about the comparison. */
export interface ComparisonAccount {
  requests: number;
  outcomes: Partial<Record<Outcome, number>>;
  endpoints: number;
  errors: number;
  different: number;
}

const NONE: Distribution = { count: 0, mean: 0, p50: 0, p90: 0, p99: 0, p999: 0, max: 0, curve: [] };

export class Comparison {
  private count = 0;
  private readonly outcomes: Partial<Record<Outcome, number>> = {};

  constructor(private readonly settings: CompareSettings) {}

  /** Counts a pair and compares its answers. Keeps nothing of it that it does not copy. Never throws, whatever its bytes are. */
  take(pair: Pair): void {
    this.count++;
    this.outcomes[pair.outcome] = (this.outcomes[pair.outcome] ?? 0) + 1;
  }

  /** Notes how the run went since the last note; what is taken from now on is of the moments after. */
  note(_progress: Progress): void {}

  /** All that is known now. Works without any pair too. */
  report(run: RunFacts): Report {
    const { settings } = this;
    return {
      xcopy: { report: VERSION, version: settings.version },
      began: settings.began.ms,
      seconds: run.seconds,
      isRunning: run.isRunning,
      mode: settings.mode,
      services: [...settings.services],
      targets: settings.targets.map(({ label, isNoise }) => ({ label, isNoise })),
      body: settings.body,
      verdict: { text: "nothing was compared", isWorse: false, broken: [] },
      count: this.count,
      outcomes: { ...this.outcomes },
      errors: 0,
      different: 0,
      statuses: [],
      latency: { production: NONE, target: NONE },
      timeline: [],
      endpoints: [],
      account: run.account,
    };
  }

  /** For the account of the run (--json) and its text. */
  account(): ComparisonAccount {
    return {
      requests: this.count,
      outcomes: { ...this.outcomes },
      endpoints: 0,
      errors: 0,
      different: 0,
    };
  }
}
