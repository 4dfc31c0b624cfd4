/** The egresses of one data plane: a batch and an injector for each. Their number only grows; each may become another one. */
import { createInjector } from "../../inject/create.ts";
import { sameEgress } from "../../inject/egress.ts";
import type { Injector } from "../../inject/injector.ts";
import type { EgressConfig } from "../../inject/path.ts";
import { Failure } from "../../native/failure.ts";
import { ENETDOWN } from "../../native/libc.ts";
import { PacketBatch } from "../../wire/batch.ts";
import type { PublishedEgress } from "./published.ts";

export class Egresses {
  /** By egress; what is in here is replaced in place. */
  readonly batches: PacketBatch[] = [];
  readonly injectors: Injector[] = [];
  private readonly known: PublishedEgress[] = [];

  /** Throws a Failure if a socket cannot be opened. */
  constructor(
    egresses: readonly EgressConfig[],
    private readonly mark: number,
  ) {
    for (const config of egresses) {
      const batch = new PacketBatch();
      this.known.push({ config, epoch: 0 });
      this.batches.push(batch);
      this.injectors.push(createInjector(config, batch, mark));
    }
  }

  configOf(egress: number): EgressConfig {
    return this.known[egress]!.config;
  }

  /** Makes the injectors anew whose egresses are others now, and looks up the next hops of the rest. */
  take(egresses: readonly PublishedEgress[]): void {
    for (const [index, egress] of egresses.entries()) {
      const known = this.known[index];
      const injector = this.injectors[index];
      this.known[index] = egress;
      this.batches[index] ??= new PacketBatch();
      if (known && known.epoch === egress.epoch && sameEgress(known.config, egress.config)) {
        injector!.refresh();
        continue;
      }
      const next = this.create(egress.config, this.batches[index]);
      if (injector) {
        const { packets, bytes, errors } = injector;
        Object.assign(next, { packets, bytes, errors });
        injector.close();
      }
      this.injectors[index] = next;
    }
  }

  refresh(): void {
    for (const injector of this.injectors) injector.refresh();
  }

  close(): void {
    for (const injector of this.injectors) injector.close();
  }

  private create(config: EgressConfig, batch: PacketBatch): Injector {
    try {
      return createInjector(config, batch, this.mark);
    } catch (error) {
      // The interface has just gone: that is published too.
      if (!(error instanceof Failure)) throw error;
      return createNone(config.kind);
    }
  }
}

/** An injector that refuses every packet. */
function createNone(name: Injector["name"]): Injector {
  return {
    name,
    packets: 0,
    bytes: 0,
    errors: 0,
    lastError: 0,
    send({ count }) {
      this.errors += count;
      this.lastError = ENETDOWN;
    },
    refresh() {},
    close() {},
  };
}
