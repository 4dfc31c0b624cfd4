/** A data plane's side of ways that change: it takes what the main thread has published. */
import { sameAddress } from "../../config/address.ts";
import type { Engine, NewWay } from "../../engine/engine.ts";
import { WAY_GONE } from "../../engine/sessions/hold.ts";
import type { Egresses } from "./egresses.ts";
import { type PublishedWay, WaysReader } from "./published.ts";

/** What a data plane is told at its start. */
export interface WaysConfig {
  /** See published.ts. */
  memory: SharedArrayBuffer;
  /** By way, the indexes of its paths; each path has one. */
  paths: number[][];
}

/** What became of the open connections of a way that changed. */
export interface WayMoved {
  way: number;
  /** They go on; they were from another address, and connect anew at their next turn. */
  kept: number;
  ended: number;
}

/** A data plane has taken what was published as `version`. */
export interface WaysTaken {
  version: number;
  moved: WayMoved[];
}

/** What else knows of paths; `source`: null if it stays. */
export interface KnowsPaths {
  /** Its own egresses, where it has some. */
  egresses?: Egresses;
  move(path: number, way: NewWay): void;
}

export class Ways {
  private readonly reader: WaysReader;
  private readonly known: (PublishedWay & { mtu: number })[] = [];

  constructor(
    private readonly config: WaysConfig,
    private readonly egresses: Egresses,
    private readonly engine: Engine,
    private readonly others: readonly KnowsPaths[],
    private readonly onTaken: (taken: WaysTaken) => void,
  ) {
    this.reader = new WaysReader(config.memory);
  }

  /** Whether something was published that is not taken yet. */
  get hasNews(): boolean {
    return this.reader.hasNews;
  }

  /** One more path, of a way that may be new: then it is published next. */
  addPath({ way }: { way: number }, number: number): void {
    this.config.paths[way] ??= [];
    this.config.paths[way].push(number);
  }

  /** Makes injectors anew, moves paths, holds and resumes them. `now`: us. */
  take(now: number): void {
    const { egresses, ways } = this.reader.read();
    if (ways.length > this.config.paths.length) {
      // The paths of a new way are told of first, but a moment after this was looked at.
      this.reader.version = -1;
      return;
    }
    this.egresses.take(egresses);
    for (const other of this.others) other.egresses?.take(egresses);
    const moved: WayMoved[] = [];
    for (const [index, way] of ways.entries()) {
      const { mtu } = egresses[way.egress]!.config;
      const known = this.known[index];
      this.known[index] = { ...way, mtu };
      const paths = this.config.paths[index]!;
      if (way.isHeld) {
        for (const path of paths) this.engine.hold(path, WAY_GONE, now);
        continue;
      }
      const one = { way: index, kept: 0, ended: 0 };
      if (!known || known.isHeld || !isSame(known, way) || known.mtu !== mtu) {
        for (const path of paths) {
          const { kept, ended } = this.engine.move(path, { ...way, mtu }, now);
          for (const other of this.others) other.move(path, { ...way, mtu });
          one.kept += kept;
          one.ended += ended;
        }
        moved.push(one);
      }
      for (const path of paths) this.engine.resume(path, WAY_GONE, now);
    }
    this.onTaken({ version: this.reader.version, moved });
  }
}

function isSame(one: PublishedWay, other: PublishedWay): boolean {
  if (one.egress !== other.egress || (one.source === null) !== (other.source === null)) return false;
  return one.source === null || sameAddress(one.source, other.source!);
}
