/**
 * Reads the configuration again and applies what changed, while sessions that stay go on. The design:
 *
 * - What is asked for is compared with what runs, first the options, then the plans (difference.ts). Whatever cannot change while a
 *   copy runs is named, and nothing changes then.
 * - Services, routes, targets and paths keep their numbers for the life of a copy, as sessions, kernel maps and pairs name them:
 *   what is new is appended, what is gone stays as a tombstone, and comes back to life with its old number (difference.ts).
 * - All or nothing: new targets are tried first, by paths that nothing uses yet; only then is the rest told.
 * - Data planes, which have no event loop, read changes from shared memory between two rounds (src/copy/changes), each one after all
 *   of them have taken the one before.
 * - Requests are captured for a new service when every data plane knows it, and for a removed one no more before any forgets it.
 */
import { isDeepStrictEqual } from "node:util";
import { clearTurns } from "../../engine/sessions/share.ts";
import { HAS_PARENT } from "../../host/manager/manager.ts";
import { monotonicMicroseconds } from "../../native/libc.ts";
import { number } from "../../runtime/figures.ts";
import type { Reloaded } from "../../web/source.ts";
import type { LiveNumbers } from "../changes/news.ts";
import type { CopyOptions } from "../options.ts";
import type { Reloads, RunningCopy } from "../run/running.ts";
import { changedNumbers, needRestart } from "./options.ts";
import { refusal, refused } from "./refusal.ts";
import { Transfers } from "./transfers.ts";

/** What is asked for now. */
export interface Asked {
  options: CopyOptions;
  /** An error about one of them, with the place that its value comes from. */
  explain?(error: unknown): unknown;
}

export class Reloader implements Reloads {
  readonly takesSignal: boolean;
  readonly name: string | null;
  readonly parent = process.env[HAS_PARENT] === undefined ? null : process.ppid;
  readonly reads: readonly string[];
  private running: RunningCopy | null = null;
  private transfers: Transfers | null = null;
  private last: Promise<unknown>;
  private readonly begun = Promise.withResolvers<void>();
  private hasEnded = false;
  private round = 0;
  private since = 0;

  /** `read`: reads the configuration again, and throws a Failure (2) for a bad one. `given`: what it said at the start. */
  constructor(
    private given: Asked,
    private readonly read: () => Asked | Promise<Asked>,
    { takesSignal, name, reads }: Pick<Reloads, "takesSignal" | "name" | "reads">,
  ) {
    this.takesSignal = takesSignal;
    this.name = name;
    this.reads = reads;
    this.last = this.begun.promise;
  }

  begin(running: RunningCopy): void {
    this.running = running;
    if (running.current.plan.files.length === 0) this.transfers = new Transfers(running);
    this.begun.resolve();
  }

  end(): void {
    this.hasEnded = true;
    this.begun.resolve();
  }

  /** One after the other. */
  readonly reload = (): Promise<Reloaded> => {
    const next = this.last.then(() => this.reloadNow());
    this.last = next.catch(() => {});
    return next;
  };

  private async reloadNow(): Promise<Reloaded> {
    const { running } = this;
    if (running === null || this.hasEnded)
      return { exitCode: 2, lines: ["Cannot reload: the copy ends", "Start it again."] };
    const { log, manager } = running;
    manager.reloading();
    try {
      const lines = [await this.change(running)];
      for (const line of lines) log.info(line);
      return { exitCode: 0, lines };
    } catch (error) {
      const reloaded = refused(error);
      log.error(reloaded.lines.join("\n"));
      return reloaded;
    } finally {
      if (!manager.isStopping) manager.ready();
    }
  }

  /** Returns what changed, for the user. Throws a Failure, and nothing changed then. */
  private async change(running: RunningCopy): Promise<string> {
    const asked = await this.read();
    try {
      return await this.changeTo(running, asked);
    } catch (error) {
      throw asked.explain?.(error) ?? error;
    }
  }

  private async changeTo(running: RunningCopy, asked: Asked): Promise<string> {
    const { given } = this;
    const { current } = running;
    const { plan } = current;
    const fixed = needRestart(given.options, asked.options, plan.files.length === 0);
    if (fixed.length > 0)
      throw refusal(`${fixed.join(", ")} changed, which needs a restart`, "Restart it, or change it back.");
    const isMoved = !isDeepStrictEqual(given.options.transfers, asked.options.transfers);
    const ready = isMoved ? await this.transfers!.prepare(asked.options) : null;
    const numbers = changedNumbers(given.options, asked.options);
    const before = current.options;
    const isFiltered = asked.options.capture.filter !== before.capture.filter;
    if (isFiltered) {
      try {
        running.source.setFilter(asked.options.capture.filter);
      } catch (error) {
        ready?.cancel();
        throw error;
      }
    }
    // Protocols that were recognized stay.
    current.options = ready?.options ?? { ...asked.options, protocols: before.protocols };
    if (numbers.length > 0) await this.changeNumbers(running, before.limit);
    const active = running.account().sessions.active;
    const ending = (await ready?.apply()) ?? 0;
    this.given = asked;
    const what = [...(ready?.lines ?? []), ...numbers, ...(isFiltered ? ["-F changed"] : [])];
    return told(what, Math.max(0, active - ending), ending);
  }

  private async changeNumbers({ current, plane, ways, words }: RunningCopy, limit: number): Promise<void> {
    const { options } = current;
    ways.setHold(options.timeout * 1000);
    if (options.limit !== limit) {
      this.round++;
      this.since = monotonicMicroseconds();
      clearTurns(words, this.round);
    }
    await plane.change({ numbers: liveNumbers(options, this.round, this.since) });
  }
}

/** `reloaded 1234: -r 10 -> 50; 1,203 sessions go on, 1 ends`. */
function told(changed: readonly string[], staying: number, ending: number): string {
  const of = (count: number, one: string, many: string) => `${number(count)} ${count === 1 ? one : many}`;
  const what = changed.length > 0 ? changed.join(", ") : "nothing changed";
  const sessions = of(staying, "session goes on", "sessions go on");
  const end = ending > 0 ? `, ${of(ending, "ends", "end")}` : "";
  return `reloaded ${process.pid}: ${what}; ${sessions}${end}`;
}

/** See LiveNumbers. */
function liveNumbers(options: CopyOptions, round: number, since: number): LiveNumbers {
  return {
    sample: options.sample,
    ramp: options.ramp,
    cpuLimit: options.scheduling.cpuLimit,
    datagramTimeout: options.datagramTimeout * 1e6,
    datagramIdleTimeout: options.datagramKeepalive * 1e6,
    rate: options.trace.rate,
    round,
    since,
    jitter: Math.round(options.jitter * 1000),
    late: options.late,
    turnTimeout: Math.round(options.turnTimeout * 1e6),
    quiet: Math.round(options.rtt * 1000),
    turnLimit: options.limit,
    users: options.trace.users,
    sessionTimeout: options.timeout * 1e6,
    idleTimeout: options.keepalive * 1e6,
  };
}
