/** Counts the captured packets that workers leave unread: those of dead workers, and at the end those of all. */
import { Control } from "../capture/control.ts";
import type { RequestSource } from "../capture/source.ts";
import { releaseSessions } from "../engine/sessions/share.ts";
import { monotonicMicroseconds } from "../native/libc.ts";
import type { WorkerView } from "./account/totals.ts";
import type { DataPlaneConfig } from "./data-plane/config.ts";
import { createSource } from "./data-plane/request-source.ts";
import { viewShared } from "./data-plane/shared.ts";

/** Most records per call of `drain`. */
const ROUND = 65536;

export class DeadWorkers {
  /** Of all workers, by index. */
  readonly views: WorkerView[];
  /** Captured packets that workers had not read when they ended in order. */
  unread = 0;
  private readonly left: RequestSource[] = [];
  private abandonedSoFar = 0;

  constructor(private readonly configs: readonly DataPlaneConfig[]) {
    this.views = configs.map(({ shared }) => ({ shared: viewShared(shared), isDead: false }));
  }

  get any(): boolean {
    return this.views.some(({ isDead }) => isDead);
  }

  /** A worker has died: the kernel captures nothing for it any more, and others may have the sessions that it had. */
  add(worker: number): void {
    const config = this.configs[worker]!;
    this.views[worker]!.isDead = true;
    new Control(config.controlMap, worker).close(monotonicMicroseconds() / 1000);
    releaseSessions(new Int32Array(config.worker.words), worker);
    this.left.push(...sourcesOf(config));
  }

  /** Captured packets that a worker had not read when it died. */
  countAbandoned(): number {
    for (const source of this.left) this.abandonedSoFar += drain(source);
    return this.abandonedSoFar;
  }

  /** All workers have ended: counts what those left unread that had not died. */
  finish(): void {
    for (const [worker, { isDead }] of this.views.entries()) {
      if (isDead) continue;
      for (const source of sourcesOf(this.configs[worker]!)) this.unread += drain(source);
    }
  }
}

/** The source that a worker alone read from; none for raw and pcap, which have one worker, and for recordings. */
function sourcesOf({ source, controlMap, worker }: DataPlaneConfig): RequestSource[] {
  const isOwn = source?.kind === "rings" || source?.kind === "packet";
  return isOwn ? [createSource(source, new Control(controlMap, worker.index))] : [];
}

function drain(source: RequestSource): number {
  let all = 0;
  for (let count = ROUND; count === ROUND; all += count) count = source.drain(() => {}, ROUND);
  source.count();
  return all;
}
