/** The account of a copy while it runs: what its data planes, its capture and this process have counted so far. */
import { type Account, type ReturnPath, takeAccount } from "../account/account.ts";
import type { DatagramShared } from "../data-plane/datagram-shared.ts";
import type { DeadWorkers } from "../dead-workers.ts";
import { hasUdp } from "../load.ts";
import { copiesOf } from "../plan.ts";
import type { WayCounts } from "../ways/way.ts";
import type { Opened, RunningCopy } from "./running.ts";

export class Accounting {
  private readonly start = performance.now();
  private rssAtEnd: number | null = null;
  private hasCopiedUdp = false;

  constructor(
    private readonly opened: Opened,
    private readonly current: RunningCopy["current"],
    private readonly path: ReturnPath,
    private readonly deadWorkers: DeadWorkers,
    private readonly datagrams: readonly DatagramShared[],
    private readonly ways: WayCounts,
  ) {}

  /** The account as of now. */
  readonly take = (): Account => {
    const { source, answers, observer } = this.opened;
    const { deadWorkers } = this;
    const use = { ...process.cpuUsage(), rss: this.rssAtEnd ?? process.memoryUsage.rss() };
    const counts = source.counts();
    const abandoned = (counts.abandoned ?? 0) + deadWorkers.countAbandoned();
    const capture = { ...counts, abandoned, unread: deadWorkers.unread, responsesLost: answers.lost() };
    const seconds = (performance.now() - this.start) / 1000;
    const copies = copiesOf(this.current.plan, this.current.options);
    const { views } = deadWorkers;
    return observer.withComparison(
      takeAccount(seconds, views, capture, use, copies, this.path, this.datagramsSoFar, this.ways),
    );
  };

  /** None before there was a UDP service, which a reload may bring. */
  private get datagramsSoFar(): readonly DatagramShared[] {
    this.hasCopiedUdp ||= hasUdp(this.current.plan);
    return this.hasCopiedUdp ? this.datagrams : [];
  }

  /** From now on accounts tell the memory of now. */
  keepMemory(): void {
    this.rssAtEnd = process.memoryUsage.rss();
  }
}
