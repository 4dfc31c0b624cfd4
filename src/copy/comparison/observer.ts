/**
 * What a run of `xcopy copy` tells besides its account: it takes the pairs of all workers, compares them, serves the live page and
 * `xcopy top`, and at the end writes the reports and says which bound broke.
 */
import { rmSync } from "node:fs";
import { version } from "../../../package.json";
import { Comparison, type ComparisonAccount } from "../../compare/comparison.ts";
import type { Report } from "../../compare/report.ts";
import type { Service } from "../../config/transfer.ts";
import type { Log } from "../../host/log/log.ts";
import { removeStaleSockets, topSocket } from "../../host/top-sockets.ts";
import { monotonicMicroseconds } from "../../native/libc.ts";
import type { Pair } from "../../pairs/pair.ts";
import { PairReader } from "../../pairs/ring.ts";
import { BUCKETS, type MetricsFacts, type WebSource } from "../../web/source.ts";
import { startWeb, type Web } from "../../web/web.ts";
import type { Account } from "../account/account.ts";
import { withFindings } from "../account/comparison.ts";
import { Collector } from "./collect.ts";
import { writeFiles } from "./files.ts";
import type { AudienceOptions, CompareOptions } from "./options.ts";
import { followProgress, lagCounts, type Workers } from "./progress.ts";
import { type ComparedTargets, comparedTargets, nameOf } from "./targets.ts";

/** ms between two notes of the timeline. */
const MOMENT = 1000;
/** ms for which an account of what was compared is good. */
const FRESH = 400;
/** The exit code where a bound of --fail-on broke. */
const BROKEN = 6;

/** What a run gives its observer, once it captures. */
export interface ObservedRun extends Workers {
  /** The rings of the workers; empty: nothing is compared. */
  pairs: readonly SharedArrayBuffer[];
  take(): Account;
}

/** What is left to say at the end. */
export interface Findings {
  account: Account;
  /** 0; 1: a report could not be written; 6: a bound broke. */
  exitCode: number;
  /** One for each report that could not be written, and for each bound that broke. */
  errors: string[];
}

export class Observer {
  private readonly comparison: Comparison;
  /** By service and route: the index of its target. */
  private readonly indexes: number[][];
  /** What the comparison has of both; more come at the end. */
  private readonly services: string[];
  private readonly targets: ComparedTargets["targets"];
  private readonly began = { ms: Date.now(), us: monotonicMicroseconds() };
  private readonly start = performance.now();
  private readonly servers: Web[] = [];
  private counted: { account: ComparisonAccount; until: number } | null = null;
  private run: ObservedRun | null = null;
  private isOver = false;
  private collector: Collector | null = null;
  private timer: ReturnType<typeof setInterval> | undefined;

  constructor(
    services: readonly Service[],
    mode: string,
    private readonly compare: CompareOptions | null,
    private readonly audience: AudienceOptions,
    private readonly replicas = 1,
    private readonly reloading: WebSource["reloads"] | null = null,
  ) {
    const { targets, indexes } = comparedTargets(services, compare?.noise ?? []);
    this.indexes = indexes;
    this.services = services.map(nameOf);
    this.targets = targets;
    this.comparison = new Comparison({
      version,
      mode,
      services: this.services,
      targets,
      body: compare?.body ?? false,
      fields: compare?.fields ?? [],
      endpoints: compare?.endpoints ?? [],
      ignore: compare?.ignore ?? [],
      masks: compare?.masks ?? [],
      bounds: compare?.bounds ?? [],
      began: this.began,
    });
  }

  /** Listens for those who want to know; before privileges are dropped. Throws a Failure where it cannot. */
  async listen(log: Log): Promise<void> {
    const { web } = this.audience;
    if (web !== null) {
      const server = await startWeb(web, this);
      this.servers.push(server);
      log.info(`live page: ${server.url}`);
    }
    await this.listenForTop(log);
  }

  private async listenForTop(log: Log): Promise<void> {
    const path = topSocket();
    try {
      await removeStaleSockets();
      // A process that was killed may have had this number.
      rmSync(path, { force: true });
      this.servers.push(await startWeb({ path }, this.forOwner()));
    } catch (error) {
      const { message } = error as Error;
      log.warn(`Cannot make "${path}": ${message}; xcopy top does not show this copy`);
    }
  }

  /** For those who may open the socket. */
  private forOwner(): WebSource {
    return {
      report: () => this.report(),
      account: () => this.account(),
      metrics: () => this.metrics(),
      ...(this.reloading && { reloads: this.reloading }),
    };
  }

  /** The run captures: from now on pairs come, and its progress is noted. */
  begin(run: ObservedRun): void {
    this.run = run;
    const progress = followProgress(run);
    const note = () => this.comparison.note(progress(this.seconds()));
    this.timer = setInterval(note, MOMENT);
    if (run.pairs.length === 0) return;
    const readers = run.pairs.map((memory) => new PairReader(memory));
    this.collector = new Collector(readers, (pair) => this.comparison.take(this.withTarget(pair)));
    this.collector.start();
  }

  /**
   * These services are copied from now on; `numberOf`: by service its number, and by service and route the number of that. Numbers that
   * are not among them stay what they were.
   */
  setServices(services: readonly Service[], numberOf: (service: number, route?: number) => number): void {
    const { targets, indexes } = comparedTargets(services, this.compare?.noise ?? []);
    const known = targets.map(({ label, isNoise }) => {
      const same = this.targets.findIndex((one) => one.label === label && one.isNoise === isNoise);
      return same < 0 ? this.targets.push({ label, isNoise }) - 1 : same;
    });
    for (const [index, service] of services.entries()) {
      const number = numberOf(index);
      this.services[number] = nameOf(service);
      this.indexes[number] ??= [];
      for (const [route, target] of indexes[index]!.entries())
        this.indexes[number][numberOf(index, route)] = known[target]!;
    }
  }

  /** An account with what was compared up to now. */
  withComparison(account: Account): Account {
    return this.compare ? { ...account, comparison: this.compared() } : account;
  }

  /** What was compared up to now; not made anew for each of those who look at the account. */
  private compared(): ComparisonAccount {
    const now = performance.now();
    if (!this.counted || now > this.counted.until) {
      const account = this.comparison.account(this.collector?.lost);
      this.counted = { account, until: now + FRESH };
    }
    return this.counted.account;
  }

  /** The workers have ended: takes what they left, writes the reports, and judges. */
  async end(): Promise<Findings> {
    clearInterval(this.timer);
    this.collector?.finish();
    this.counted = null;
    this.isOver = true;
    const report = this.reportOf(false);
    const account = report.account as unknown as Account;
    const failures = await writeFiles(this.audience.reports, report);
    const { broken } = report.verdict;
    return {
      account: this.compare ? { ...account, comparison: withFindings(this.compared(), report) } : account,
      exitCode: failures.length > 0 ? failures[0]!.exitCode : broken.length > 0 ? BROKEN : 0,
      errors: [
        ...failures.map(({ message, fix }) => `${message}\n${fix}`),
        ...broken.map(({ bound, found }) => `--fail-on "${bound}" is broken: ${found}`),
      ],
    };
  }

  async close(): Promise<void> {
    clearInterval(this.timer);
    for (const server of this.servers) await server.close();
    rmSync(topSocket(), { force: true });
  }

  /** For the live page. */
  report(): Report {
    return this.reportOf(!this.isOver);
  }

  account(): object {
    return this.run ? this.withComparison(this.run.take()) : {};
  }

  metrics(): MetricsFacts {
    return { lag: this.run && lagCounts(this.run), endpoints: this.comparison.times(BUCKETS) };
  }

  private reportOf(isRunning: boolean): Report {
    const account = this.account() as Record<string, unknown>;
    const seconds = this.seconds();
    return this.comparison.report({ seconds, isRunning, lost: this.collector?.lost ?? 0, account });
  }

  private seconds(): number {
    return (performance.now() - this.start) / 1000;
  }

  /** The same pair with the number of its target in place of that of its copy. */
  private withTarget(pair: Pair): Pair {
    const routes = this.indexes[pair.service] ?? [];
    pair.copy = routes[Math.floor(pair.copy / this.replicas)] ?? 0;
    return pair;
  }
}

/** The observer of a run; it listens already. Throws a Failure (exit code 1) where it cannot. */
export async function openObserver(
  services: readonly Service[],
  isDirect: boolean,
  {
    comparison,
    audience,
    replicas,
  }: { comparison: CompareOptions | null; audience: AudienceOptions; replicas: number },
  log: Log,
  reloads: WebSource["reloads"] | null = null,
): Promise<Observer> {
  const observer = new Observer(
    services,
    isDirect ? "direct" : "intercept",
    comparison,
    audience,
    replicas,
    reloads,
  );
  await observer.listen(log);
  return observer;
}
