/**
 * Follows the ways to the targets while xcopy runs: looks at the routes when the kernel tells of a change, catches answers where
 * a way leads now, and publishes the ways to the data planes. A target that cannot be reached is held for a while.
 */
import { type Address, formatAddress, sameAddress } from "../../config/address.ts";
import { askForMac, lookUpEgress, type ResolvedEgress, sameEgress, type Way } from "../../inject/egress.ts";
import type { EgressConfig } from "../../inject/path.ts";
import { Failure } from "../../native/failure.ts";
import { followNotifications } from "../../native/netlink/follow.ts";
import { isDefaultRoute, links, localAddresses, NetlinkError } from "../../native/netlink/netlink.ts";
import type { Notification } from "../../native/netlink/notifications.ts";
import { describeWay, type Found, judge, type KnownWay } from "./judge.ts";
import { type PublishedEgress, publishWays } from "./published.ts";
import type { WaysTaken } from "./take.ts";

/** ms in which notifications are gathered, and in which a way that is gone may come back without a word. */
const GATHER = 20;
const SHORT = 300;
/** ms between two looks while something is held. */
const RETRY = 1000;
/** A look takes at most this share of the time, however many notifications come; and most ms to the next one. */
const MOST_LOOKING = 1 / 5;
const LONGEST_REST = 500;
/** ms that the data planes have to take what was published, until it is told without their counts. */
const TAKING = 1000;

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

interface State extends KnownWay {
  planned: PlannedWay;
  slot: number;
  /** performance.now() when it was held; 0: it is not. */
  since: number;
  cause: string;
  isGivenUp: boolean;
  isTold: boolean;
  /** Whether no target is there any more: its connections end, and what becomes of the way does not matter. */
  isUnused: boolean;
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

interface News {
  version: number;
  way: State;
  text: string;
  kept: number;
  ended: number;
  left: number;
}

export class WayFollower {
  readonly counts: WayCounts = { gone: 0, held_s: 0, moved: 0 };
  private readonly states: State[];
  private readonly egresses: PublishedEgress[];
  private readonly epochs = new Map<number, number>();
  private news: News[] = [];
  private gone = new Set<number>();
  private hasLinkNews = false;
  private isLost = false;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private timerAt = 0;
  private earliest = 0;
  private version = 0;
  private endFollowing: () => void = () => {};
  private hasEnded = false;

  constructor(
    planned: readonly PlannedWay[],
    egresses: readonly EgressConfig[],
    private readonly memory: SharedArrayBuffer,
    private readonly options: { mark: number; mtu: number | null; hold: number; workers: number },
    private readonly actions: WayActions,
  ) {
    this.egresses = egresses.map((config) => ({ config, epoch: 0 }));
    this.states = planned.map((one) => this.stateOf(one, egresses[one.egress]!, one.egress));
  }

  private stateOf(planned: PlannedWay, egress: EgressConfig, slot: number): State {
    const target = planned.address.bytes;
    return {
      planned,
      target,
      egress,
      slot,
      source: planned.source,
      followsSource: planned.followsSource,
      wasOnLink:
        sameAddress(egress.nextHop, target) &&
        !quietly(() => isDefaultRoute(target, this.options.mark, planned.way.over), false),
      isHeld: false,
      heldFor: 0,
      since: 0,
      cause: "",
      isGivenUp: false,
      isTold: false,
      isUnused: false,
    };
  }

  /** The way to a target that is about to be used; it is followed from the next `publish` on. `egress`: where a new one leads. */
  use(planned: PlannedWay, egress: EgressConfig): PresentWay {
    const known = this.states.findIndex(({ target }) => sameAddress(target, planned.address.bytes));
    if (known < 0) {
      const state = this.stateOf(planned, egress, -1);
      state.slot = this.slotFor(state, egress, this.epochs.get(egress.ifindex) ?? 0);
      this.states.push(state);
      return this.present(this.states.length - 1, true);
    }
    const state = this.states[known]!;
    state.planned = { ...planned, paths: [...new Set([...state.planned.paths, ...planned.paths])] };
    if (state.isUnused) {
      state.isUnused = false;
      this.lookAt(state, performance.now());
    }
    return this.present(known, false);
  }

  private present(way: number, isNew: boolean): PresentWay {
    const { slot, egress, source, isHeld } = this.states[way]!;
    return { way, isNew, isHeld: isHeld || isNew, slot, egress, source };
  }

  /** Only the ways to these targets are used from now on. */
  useOnly(targets: readonly Uint8Array[]): void {
    for (const state of this.states)
      state.isUnused = !targets.some((target) => sameAddress(target, state.target));
  }

  /** Follows from now on. */
  async start(): Promise<void> {
    try {
      const end = await followNotifications(["links", "addresses", "routes", "neighbours"], (all) =>
        this.take(all),
      );
      if (this.hasEnded) end();
      else this.endFollowing = end;
    } catch (error) {
      if (!(error instanceof NetlinkError)) throw error;
      this.actions.warn(`${error.message}: what changes of interfaces and routes is not seen`);
    }
    // What changed since the plan was made.
    this.hasLinkNews = true;
    this.schedule(0);
  }

  end(): void {
    this.hasEnded = true;
    clearTimeout(this.timer);
    this.endFollowing();
    for (const state of this.states) if (state.since > 0) this.countHeld(state);
  }

  /** ms for which a way that is gone is held. */
  setHold(ms: number): void {
    this.options.hold = ms;
  }

  /** A data plane has taken what was published. */
  takeReport({ version, moved }: WaysTaken): void {
    for (const one of this.news) {
      if (one.version > version) continue;
      for (const { way, kept, ended } of moved) {
        if (this.states[way] !== one.way) continue;
        one.kept += kept;
        one.ended += ended;
      }
      one.left--;
    }
    this.tell();
  }

  private take(all: readonly Notification[]): void {
    let concerns = false;
    for (const one of all) {
      if (one.kind === "lost") this.isLost = true;
      if (one.kind === "link") {
        this.hasLinkNews = true;
        if (one.isGone) this.gone.add(one.link.ifindex);
      }
      concerns ||= one.kind !== "neighbour" || this.isNextHop(one.neighbour.ifindex, one.neighbour.bytes);
    }
    if (concerns) this.schedule(GATHER);
  }

  private isNextHop(ifindex: number, address: Uint8Array): boolean {
    return this.states.some(
      ({ isHeld, egress }) => isHeld || (egress.ifindex === ifindex && sameAddress(egress.nextHop, address)),
    );
  }

  private schedule(ms: number): void {
    const at = Math.max(performance.now() + ms, this.earliest);
    if (this.timer !== undefined && this.timerAt <= at) return;
    clearTimeout(this.timer);
    this.timerAt = at;
    this.timer = setTimeout(() => this.run(), Math.max(0, at - performance.now()));
  }

  private run(): void {
    this.timer = undefined;
    if (this.hasEnded) return;
    const began = performance.now();
    this.look(began);
    const now = performance.now();
    this.earliest = now + Math.min(LONGEST_REST, (now - began) / MOST_LOOKING);
    if (this.states.some(({ isHeld, isGivenUp }) => isHeld || isGivenUp))
      this.schedule(this.states.some(isNews) ? SHORT : RETRY);
  }

  private look(now: number): void {
    if (this.isLost) this.findGone();
    const { gone } = this;
    this.gone = new Set();
    for (const ifindex of gone) this.epochs.set(ifindex, (this.epochs.get(ifindex) ?? 0) + 1);
    if (this.hasLinkNews) this.actions.onInterfaces(gone);
    this.hasLinkNews = false;
    this.isLost = false;
    let isChanged = false;
    for (const state of this.states) isChanged = this.lookAt(state, now) || isChanged;
    if (isChanged) this.publish();
    this.tell();
  }

  /** After lost notifications: interfaces that were there and are not. */
  private findGone(): void {
    this.hasLinkNews = true;
    const present = new Set(links().map(({ ifindex }) => ifindex));
    for (const { config } of this.egresses) if (!present.has(config.ifindex)) this.gone.add(config.ifindex);
  }

  /** True if what is published of the way changes. */
  private lookAt(state: State, now: number): boolean {
    if (state.isUnused) return false;
    const { mark } = this.options;
    if (state.since > 0) state.heldFor = now - state.since;
    const found = this.find(state);
    const judged = judge(state, found, {
      isDefault: () => quietly(() => isDefaultRoute(state.target, mark), false),
      isLocal: (address) => localAddresses().some(({ bytes }) => sameAddress(bytes, address)),
    });
    if ("cause" in judged) {
      if (judged.asks) askForMac(judged.asks);
      return this.hold(state, judged.cause, now);
    }
    return this.open(state, judged, now);
  }

  private find({ planned, target }: State): Found {
    const { mark, mtu } = this.options;
    const { address, way } = planned;
    try {
      const over = planned.over === null ? 0 : links().find(({ name }) => name === planned.over)?.ifindex;
      if (over === undefined) return { cause: `there is no interface ${planned.over}` };
      const found: ResolvedEgress = lookUpEgress(target, address.family, mark, { ...way, over });
      return mtu === null
        ? found
        : { ...found, egress: { ...found.egress, mtu: Math.min(mtu, found.egress.mtu) } };
    } catch (error) {
      if (error instanceof Failure) return { cause: error.message.replace(/^Cannot .*?": /, "") };
      if (error instanceof NetlinkError) return { cause: error.message };
      throw error;
    }
  }

  private hold(state: State, cause: string, now: number): boolean {
    state.cause = cause;
    if (!state.isHeld && !state.isGivenUp) {
      state.isHeld = true;
      state.since = now;
      state.isTold = false;
      return true;
    }
    const target = formatAddress(state.target);
    if (!state.isTold && now - state.since >= SHORT) {
      state.isTold = true;
      this.counts.gone++;
      this.actions.warn(`the way to ${target} is gone: ${cause}; holding`);
    }
    if (state.isGivenUp || now - state.since < this.options.hold) return false;
    state.isGivenUp = true;
    state.isHeld = false;
    const seconds = Math.round(this.options.hold / 1000);
    this.actions.warn(`${target} was not reached for ${seconds} s (${cause}): what waits for it is dropped`);
    return true;
  }

  private open(state: State, { egress, source }: { egress: EgressConfig; source: Uint8Array }, now: number) {
    const epoch = this.epochs.get(egress.ifindex) ?? 0;
    const known = this.egresses[state.slot]!;
    const isSameEgress = sameEgress(known.config, egress) && known.epoch === epoch;
    const isSameSource = !state.followsSource || sameAddress(source, state.source);
    const isMoved = !isSameSource || !isSameLink(known, egress, epoch);
    const wasAway = state.isHeld || state.isGivenUp;
    if (isSameEgress && isSameSource && !wasAway) {
      if (sameAddress(known.config.nextHopMac, egress.nextHopMac)) return false;
      known.config = egress;
      state.egress = egress;
      return true;
    }
    try {
      if (isMoved) this.actions.catchOn([egress.ifindex]);
      if (!isSameSource) this.actions.moveSource(state.planned.paths, source);
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      return this.hold(state, error.message, now);
    }
    state.slot = this.slotFor(state, egress, epoch);
    state.egress = egress;
    if (state.followsSource) state.source = source;
    if (isMoved) this.counts.moved++;
    if (wasAway ? state.isTold || isMoved : isMoved) this.announce(state, isMoved, now);
    if (state.since > 0) this.countHeld(state);
    state.isHeld = false;
    state.isGivenUp = false;
    state.heldFor = 0;
    return true;
  }

  private countHeld(state: State): void {
    this.counts.held_s += (performance.now() - state.since) / 1000;
    state.since = 0;
  }

  private announce(state: State, isMoved: boolean, now: number): void {
    const seconds = Math.round((now - state.since) / 1000);
    const again = state.isTold && state.since > 0 ? ` again after ${seconds} s` : isMoved ? " now" : "";
    this.news = this.news.filter(({ way }) => way !== state);
    this.news.push({
      version: this.version + 1,
      way: state,
      text: `${formatAddress(state.target)} is reached by ${describeWay(state)}${again}`,
      kept: 0,
      ended: 0,
      left: this.options.workers,
    });
    setTimeout(() => this.tell(true), TAKING).unref();
  }

  /** Says what every data plane has taken; `anyway`: also what some have not. */
  private tell(anyway = false): void {
    const isReady = ({ left, version }: News) => left <= 0 || (anyway && version <= this.version);
    const ready = this.news.filter(isReady);
    this.news = this.news.filter((one) => !isReady(one));
    for (const { text, kept, ended } of ready) {
      const parts = [
        kept > 0 && `${kept} connections go on`,
        ended > 0 && `${ended} connections from the address before are opened anew`,
      ];
      this.actions.info([text, ...parts.filter(Boolean)].join("; "));
    }
  }

  /** The index of an egress: of one that is there, of one that no other way uses, or of a new one. */
  private slotFor(state: State, config: EgressConfig, epoch: number): number {
    const same = this.egresses.findIndex((one) => one.epoch === epoch && sameEgress(one.config, config));
    if (same >= 0) {
      this.egresses[same]!.config = config;
      return same;
    }
    const used = new Set(this.states.filter((other) => other !== state).map(({ slot }) => slot));
    const free = this.egresses.findIndex((_, index) => !used.has(index));
    const slot = free >= 0 ? free : this.egresses.length;
    this.egresses[slot] = { config, epoch };
    return slot;
  }

  /** Tells the data planes the ways as they are. */
  publish(): void {
    this.actions.wake();
    this.version = publishWays(this.memory, {
      egresses: this.egresses,
      ways: this.states.map(({ slot, source, followsSource, isHeld }) => ({
        egress: slot,
        source: followsSource ? source : null,
        isHeld,
      })),
    });
  }
}

/** Whether it is held, and nobody was told yet. */
function isNews({ isHeld, isTold }: State): boolean {
  return isHeld && !isTold;
}

function isSameLink({ config, epoch }: PublishedEgress, egress: EgressConfig, present: number): boolean {
  return config.ifindex === egress.ifindex && epoch === present && config.kind === egress.kind;
}

/** What `ask` says, or `otherwise` after an error of netlink. */
function quietly<T>(ask: () => T, otherwise: T): T {
  try {
    return ask();
  } catch (error) {
    if (error instanceof NetlinkError) return otherwise;
    throw error;
  }
}
