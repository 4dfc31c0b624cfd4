/** -F: a filter on interfaces, in front of the program that takes what it chooses. */
import { compileFilter, type LinkLayer, linkLayerOf } from "../filter/compile.ts";
import { type FilterProgram, loadFilterProgram } from "../filter/program.ts";
import type { ProgramKind } from "../filter/translate.ts";
import { Failure } from "../native/failure.ts";
import { links } from "../native/netlink.ts";

/** Loads filters as interfaces need them: those with and without a link layer see different packets. */
export class InterfaceFilters {
  readonly #loaded = new Map<string, FilterProgram>();

  constructor(
    private readonly expression: string,
    private readonly kind: ProgramKind,
    /** Descriptor of the program that runs for a match. */
    private readonly target: number,
    private readonly attachTo: (ifindexes: number[], filter: FilterProgram) => void,
  ) {}

  /** Attaches to these interfaces. Throws a Failure (2, 4, 5). */
  attach(ifindexes: readonly number[]): void {
    const present = links();
    const byLayer = new Map<LinkLayer, number[]>();
    for (const ifindex of ifindexes) {
      const link = present.find((one) => one.ifindex === ifindex);
      const layer = linkLayerOf(link?.hardwareType ?? 1);
      if (layer === null) {
        throw new Failure(
          `Cannot use -F on interface "${link!.name}": packets there have a header that no filter is made for`,
          "Name other interfaces with -i.",
          2,
        );
      }
      byLayer.set(layer, [...(byLayer.get(layer) ?? []), ifindex]);
    }
    for (const [layer, those] of byLayer) {
      const filter = this.#loaded.get(layer) ?? this.#load(layer);
      this.attachTo(those, filter);
    }
  }

  close(): void {
    for (const filter of this.#loaded.values()) filter.close();
    this.#loaded.clear();
  }

  #load(layer: LinkLayer): FilterProgram {
    const { kind, target } = this;
    const filter = loadFilterProgram({ kind, target, ...compileFilter(this.expression, layer) });
    this.#loaded.set(layer, filter);
    return filter;
  }
}
