/** The ways to the targets: as planned, as they are now, and what changes with them. */
import type { Address } from "../../config/address.ts";
import type { Way } from "../../inject/egress.ts";
import type { EgressConfig } from "../../inject/path.ts";

/** The way to one target at the start. */
export interface PlannedWay {
  address: Address;
  /** What the user has chosen; its `over` is only that of the start: the interface with the name `over` may be made anew. */
  way: Way;
  over: string | null;
  /** Indexes of its paths, and of its egress in the plan. */
  paths: number[];
  egress: number;
  source: Uint8Array;
  /** Whether its paths send from `source`. */
  followsSource: boolean;
}

/** What changes with the ways. */
export interface WayActions {
  /** Interfaces have come, gone or changed; of these indexes the interface is gone, or was made anew. */
  onInterfaces(gone: ReadonlySet<number>): void;
  /** Answers come in on these interfaces too. Throws a Failure if they cannot be caught there. */
  catchOn(ifindexes: number[]): void;
  /** Answers to paths come to another address of this host. Throws a Failure. */
  moveSource(paths: readonly number[], source: Uint8Array): void;
  /** Wakes the data planes. It comes before they find news, so that none sleeps or wakes again over news that it has taken. */
  wake(): void;
  info(text: string): void;
  warn(text: string): void;
}

/** What the user is told at the end. */
export interface WayCounts {
  /** How often a way was gone, for how many seconds all together, and how often one led elsewhere. */
  gone: number;
  held_s: number;
  moved: number;
}

/** A way as it is now. */
export interface PresentWay {
  /** Its number. */
  way: number;
  /** Whether it is new: the data planes hear of it with the next publication. */
  isNew: boolean;
  isHeld: boolean;
  /** Index of its egress, and what that is. */
  slot: number;
  egress: EgressConfig;
  source: Uint8Array;
}
