/** Workers that died while others go on: what is theirs is taken from them, and counted. */
import { Control } from "../capture/control.ts";
import { RingSet } from "../capture/ring-set.ts";
import { releaseSessions } from "../engine/share.ts";
import { monotonicMicroseconds } from "../native/libc.ts";
import type { DataPlaneConfig } from "./config.ts";
import { viewShared } from "./shared.ts";
import type { WorkerView } from "./totals.ts";

/** Records per look at rings that nobody else reads. */
const ROUND = 65536;

export class Deaths {
  /** Of all workers, by index. */
  readonly views: WorkerView[];
  private readonly rings: RingSet[] = [];
  private unreadSoFar = 0;

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
    this.rings.push(new RingSet(config.requestRings, config.requestRingBytes));
  }

  /** Captured packets that a dead worker had not read. */
  get unread(): number {
    for (const rings of this.rings) {
      let count: number;
      do {
        count = rings.drain(() => {}, ROUND);
        this.unreadSoFar += count;
      } while (count === ROUND);
    }
    return this.unreadSoFar;
  }
}
