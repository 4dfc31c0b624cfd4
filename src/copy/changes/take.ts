/** A data plane's side of changes: it takes what the main thread has published, between two rounds. */
import { flowHashOf } from "../../capture/history.ts";
import type { Engine } from "../../engine/engine.ts";
import { WAY_GONE } from "../../engine/sessions/hold.ts";
import type { ProtocolModule } from "../../protocol/module.ts";
import { PublishedReader } from "../../runtime/published.ts";
import { ipPair } from "../../wire/ip.ts";
import type { ChangedServices, LiveNumbers, LiveService, NewsTaken, OpenedPath, PlaneNews } from "./news.ts";

/**
 * us after the share of connections was lowered, when those that are left out end: what was captured of them before is read by
 * then, and begins no session again.
 */
const READ_SPAN = 1_000_000;

/** A part of the data plane that changes take effect on, besides the engine. */
export interface Part {
  change?(numbers: LiveNumbers, now: number): void;
  addPath?(path: OpenedPath, number: number, now: number): void;
  setServices?(services: ChangedServices, now: number): void;
  /** Ends what is left of targets that are gone. */
  endRetired?(): void;
}

/** Tries new paths: see Preflight. */
export interface Trial<F> {
  run(now: number): boolean;
  wait(now: number): number;
  readonly findings: F;
}

/** What changes need of the data plane. */
export interface Surroundings<F> {
  engine: Engine;
  parts: readonly Part[];
  /** The module for the sessions of a service. */
  moduleOf(service: LiveService): ProtocolModule | null;
  /** Begins to try these paths. */
  tryPaths(paths: readonly number[], isTried: boolean, now: number): Trial<F>;
  /** Flows with a hash below this are not captured. */
  leftOut(): number;
  onTaken(taken: NewsTaken<F>): void;
}

export class Changes<F> {
  private readonly reader: PublishedReader<PlaneNews>;
  private trial: Trial<F> | null = null;
  private leaveOutAt = Number.POSITIVE_INFINITY;
  private endAt = Number.POSITIVE_INFINITY;

  /** `paths`: how many there are; `sample`: the share of connections. */
  constructor(
    memory: SharedArrayBuffer,
    private readonly surroundings: Surroundings<F>,
    private paths: number,
    private sample: number,
  ) {
    this.reader = new PublishedReader(memory);
  }

  get hasNews(): boolean {
    return this.reader.hasNews;
  }

  /** `now`: us. */
  take(now: number): void {
    const { numbers, opening, services } = this.reader.read();
    if (numbers) this.takeNumbers(numbers, now);
    const ending = services ? this.takeServices(services, now) : 0;
    if (opening) {
      for (const path of opening.paths) this.addPath(path, now);
      for (const path of opening.tries) this.surroundings.engine.probeResults[path] = "silent";
      this.trial = this.surroundings.tryPaths(opening.tries, opening.isTried, now);
    } else this.surroundings.onTaken({ taken: this.reader.version, ending });
  }

  /** Does what is due; called in every round. */
  run(now: number): void {
    const { engine, parts, leftOut, onTaken } = this.surroundings;
    if (this.trial?.run(now)) {
      onTaken({ taken: this.reader.version, found: this.trial.findings, ending: 0 });
      this.trial = null;
    }
    if (now >= this.leaveOutAt) {
      this.leaveOutAt = Number.POSITIVE_INFINITY;
      const limit = leftOut();
      engine.leaveOut((...flow) => flowHashOf(...flow) < limit, now);
    }
    if (now >= this.endAt && engine.endRetired(now)) {
      this.endAt = Number.POSITIVE_INFINITY;
      for (const part of parts) part.endRetired?.();
    }
  }

  /** us until `run` has something to do. */
  wait(now: number): number {
    const trial = this.trial?.wait(now) ?? Number.POSITIVE_INFINITY;
    return Math.max(0, Math.min(trial, this.leaveOutAt - now, this.endAt - now));
  }

  private takeNumbers(numbers: LiveNumbers, now: number): void {
    const { jitter, late, turnTimeout, quiet, turnLimit, users, sessionTimeout, idleTimeout } = numbers;
    const { engine, parts } = this.surroundings;
    engine.change(
      { jitter, late, turnTimeout, quiet, turnLimit, users, sessionTimeout, idleTimeout },
      numbers.round,
      numbers.since,
      now,
    );
    for (const part of parts) part.change?.(numbers, now);
    if (numbers.sample < this.sample) this.leaveOutAt = now + READ_SPAN;
    this.sample = numbers.sample;
  }

  private addPath(path: OpenedPath, now: number): void {
    const { local, target, targetPort, egress } = path.config;
    const { engine, parts } = this.surroundings;
    const number = this.paths++;
    engine.addPath(
      {
        pair: ipPair(local ?? new Uint8Array(target.length), target),
        fromClient: local === null,
        targetPort,
        egress,
        mtu: path.mtu,
      },
      path.isHeld ? WAY_GONE : 0,
      now,
    );
    for (const part of parts) part.addPath?.(path, number, now);
  }

  private takeServices(changed: ChangedServices, now: number): number {
    const { engine, parts, moduleOf } = this.surroundings;
    for (const { index, config } of changed.services) {
      engine.setRoutes(index, config.routes, moduleOf(config), now);
    }
    for (const part of parts) part.setServices?.(changed, now);
    this.endAt = now + changed.drain;
    return engine.retire(now);
  }
}
