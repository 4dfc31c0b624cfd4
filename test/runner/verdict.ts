/** What the runs of all files come to. A file that failed is looked at once more; what it says alone is what counts. */
import type { Outcome } from "./host.ts";

/** How many of the slowest files are named at the end. */
const SLOWEST = 10;

interface Result {
  passed: number;
  failures: string[];
  seconds: number;
}

export class Verdict {
  /** By file: what its last run came to, and what failed the first time. */
  private readonly results = new Map<string, Result>();
  private readonly first = new Map<string, string[]>();
  private readonly checks: string[] = [];

  /** A check that failed. */
  fail(check: string): void {
    this.checks.push(check);
  }

  /**
   * What became of these files, which ran together; returns whether all is well. What went wrong besides the tests may be the
   * doing of each of the files.
   */
  add(files: string[], { reports, faults, seconds }: Omit<Outcome, "output" | "cpuSeconds">): boolean {
    let isGood = true;
    for (const file of files) {
      const report = reports.find((one) => one.file === file);
      const failures = [...(report?.failures ?? []), ...faults];
      const known = this.results.get(file);
      if (known) this.first.set(file, known.failures);
      this.results.set(file, {
        passed: report?.passed ?? 0,
        failures,
        // That of a file by itself counts all around its tests as well.
        seconds: files.length === 1 ? seconds : (report?.seconds ?? 0),
      });
      isGood &&= failures.length === 0;
    }
    return isGood;
  }

  /** Files that failed, and have had no second look. */
  doubtful(): string[] {
    return [...this.results]
      .filter(([file, { failures }]) => failures.length > 0 && !this.first.has(file))
      .map(([file]) => file);
  }

  private failures(): string[] {
    const failures = [
      ...this.checks,
      ...[...this.results].flatMap(([file, { failures }]) => failures.map((text) => `${file}: ${text}`)),
    ];
    // Nothing that was run is nothing that was found good.
    return failures.length === 0 && this.passed() === 0
      ? ["no test was run: none has such a name"]
      : failures;
  }

  private passed(): number {
    return [...this.results.values()].reduce((sum, { passed }) => sum + passed, 0);
  }

  isGood(): boolean {
    return this.failures().length === 0;
  }

  /** For people; the last one for machines: "N passed, N failed". */
  lines(machine: { mean: number; most: number }): string[] {
    const slowest = [...this.results]
      .map(([file, { seconds }]) => ({ file, seconds }))
      .sort((a, b) => b.seconds - a.seconds)
      .slice(0, SLOWEST);
    const unsteady = [...this.first].filter(([file]) => this.results.get(file)!.failures.length === 0);
    return [
      "slowest files:",
      ...slowest.map(({ file, seconds }) => `${seconds.toFixed(1).padStart(8)} s  ${file}`),
      `this machine was ${machine.mean.toFixed(1)} times slower than a free one, at the most ${machine.most.toFixed(1)} times; ` +
        "waits were so much longer",
      ...unsteady.flatMap(([file, failures]) => failures.map((text) => `UNSTEADY: ${file}: ${text}`)),
      ...this.failures().map((text) => `FAILED: ${text}`),
      `${this.passed()} passed, ${this.failures().length} failed`,
    ];
  }
}
