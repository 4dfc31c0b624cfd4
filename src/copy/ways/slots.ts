/** The egresses that the data planes send by, each with an index that ways name. */
import { sameEgress } from "../../inject/egress.ts";
import type { EgressConfig } from "../../inject/path.ts";
import type { PublishedEgress } from "./published.ts";

export class EgressSlots {
  readonly all: PublishedEgress[];
  /** How often an interface with this index was made anew. */
  private readonly epochs = new Map<number, number>();

  constructor(egresses: readonly EgressConfig[]) {
    this.all = egresses.map((config) => ({ config, epoch: 0 }));
  }

  /** The interface with this index is gone: one that has it later is another one. */
  renew(ifindex: number): void {
    this.epochs.set(ifindex, this.epochOf(ifindex) + 1);
  }

  /** Whether a slot has this egress. */
  has(slot: number, egress: EgressConfig): boolean {
    const { config, epoch } = this.all[slot]!;
    return sameEgress(config, egress) && epoch === this.epochOf(egress.ifindex);
  }

  /** Whether a slot's egress is by the same interface, and as that is now. */
  isSameLink(slot: number, egress: EgressConfig): boolean {
    const { config, epoch } = this.all[slot]!;
    return (
      config.ifindex === egress.ifindex &&
      epoch === this.epochOf(egress.ifindex) &&
      config.kind === egress.kind
    );
  }

  /** The slot of an egress: of one that is there, of one that none of `others` uses, or a new one. */
  take(config: EgressConfig, others: readonly { slot: number }[]): number {
    const epoch = this.epochOf(config.ifindex);
    const same = this.all.findIndex((one) => one.epoch === epoch && sameEgress(one.config, config));
    if (same >= 0) {
      this.all[same]!.config = config;
      return same;
    }
    const used = new Set(others.map(({ slot }) => slot));
    const free = this.all.findIndex((_, index) => !used.has(index));
    const slot = free >= 0 ? free : this.all.length;
    this.all[slot] = { config, epoch };
    return slot;
  }

  private epochOf(ifindex: number): number {
    return this.epochs.get(ifindex) ?? 0;
  }
}
