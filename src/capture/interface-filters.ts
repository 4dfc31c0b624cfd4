/** -F on interfaces: a filter program in front of the program that gets the packets that match. */

import type { ProgramKind } from "../filter/access.ts";
import { compileFilter, type LinkLayer, linkLayerOf } from "../filter/compile.ts";
import { type FilterProgram, loadFilterProgram } from "../filter/program.ts";
import { Failure } from "../native/failure.ts";
import { links } from "../native/netlink/netlink.ts";

/** The program that a filter runs for a match, and the kind of hook. */
export interface FilterTarget {
  kind: ProgramKind;
  /** Descriptor of the program. */
  target: number;
  /** `xdp`: whether it takes packets in several buffers. */
  frags?: boolean;
}

/** Loads one filter per link layer and kind of hook, when the first interface needs it. */
export class InterfaceFilters {
  readonly #loaded = new Map<string, FilterProgram>();

  constructor(
    private readonly expression: string,
    private readonly targetOn: (ifindex: number) => FilterTarget,
    private readonly attachTo: (ifindexes: number[], filter: FilterProgram) => void,
  ) {}

  /** Attaches to these interfaces. Throws a Failure (2, 4, 5). */
  attach(ifindexes: readonly number[]): void {
    for (const [filter, those] of this.load(ifindexes)) this.attachTo(those, filter);
  }

  /** Loads the filters that these interfaces need; returns each with its interfaces. Throws a Failure (2, 4, 5). */
  load(ifindexes: readonly number[]): [FilterProgram, ifindexes: number[]][] {
    const present = links();
    const groups = new Map<string, { layer: LinkLayer; target: FilterTarget; ifindexes: number[] }>();
    for (const ifindex of ifindexes) {
      const link = present.find((one) => one.ifindex === ifindex);
      const layer = linkLayerOf(link?.hardwareType ?? 1);
      if (layer === null) {
        throw new Failure(
          `Cannot use -F on interface "${link!.name}": xcopy does not know the link layer of its packets`,
          "Name other interfaces with -i.",
          2,
        );
      }
      const target = this.targetOn(ifindex);
      const key = `${layer} ${target.kind}`;
      const group = groups.get(key) ?? { layer, target, ifindexes: [] };
      group.ifindexes.push(ifindex);
      groups.set(key, group);
    }
    return [...groups].map(([key, { layer, target, ifindexes }]) => [
      this.#loaded.get(key) ?? this.#load(key, layer, target),
      ifindexes,
    ]);
  }

  close(): void {
    for (const filter of this.#loaded.values()) filter.close();
    this.#loaded.clear();
  }

  #load(key: string, layer: LinkLayer, target: FilterTarget): FilterProgram {
    const filter = loadFilterProgram({ ...target, ...compileFilter(this.expression, layer) });
    this.#loaded.set(key, filter);
    return filter;
  }
}
