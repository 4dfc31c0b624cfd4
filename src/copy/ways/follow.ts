/**
 * Follows the ways to the targets while xcopy runs: looks at the routes when the kernel tells of a change, catches answers where
 * a way leads now, and publishes the ways to the data planes. A target that cannot be reached is held for a while.
 */
import { formatAddress, sameAddress } from "../../config/address.ts";
import { askForMac } from "../../inject/egress.ts";
import type { EgressConfig } from "../../inject/path.ts";
import { Failure } from "../../native/failure.ts";
import { followNotifications } from "../../native/netlink/follow.ts";
import { links, localAddresses, NetlinkError } from "../../native/netlink/netlink.ts";
import type { Notification } from "../../native/netlink/notifications.ts";
import { judge } from "./judge.ts";
import { findWay, isByDefault } from "./look.ts";
import { type NewsWay, WayNews } from "./news.ts";
import { publishWays } from "./published.ts";
import { EgressSlots } from "./slots.ts";
import type { WaysTaken } from "./take.ts";
import type { PlannedWay, PresentWay, WayActions, WayCounts } from "./way.ts";

/** ms in which notifications are gathered, and in which a way that is gone may come back without a word. */
const GATHER = 20;
const SHORT = 300;
/** ms between two looks while something is held. */
const RETRY = 1000;
/** A look takes at most this share of the time, however many notifications come; and most ms to the next one. */
const MOST_LOOKING = 1 / 5;
const LONGEST_REST = 500;

interface State extends NewsWay {
  planned: PlannedWay;
  slot: number;
  cause: string;
  isGivenUp: boolean;
  /** Whether no target is there any more: its connections end, and what becomes of the way does not matter. */
  isUnused: boolean;
}

export class WayFollower {
  readonly counts: WayCounts = { gone: 0, held_s: 0, moved: 0 };
  private readonly states: State[];
  private readonly slots: EgressSlots;
  private readonly news: WayNews<State>;
  private gone = new Set<number>();
  private hasLinkNews = false;
  private isLost = false;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private timerAt = 0;
  private earliest = 0;
  private endFollowing: () => void = () => {};
  private hasEnded = false;

  constructor(
    planned: readonly PlannedWay[],
    egresses: readonly EgressConfig[],
    private readonly memory: SharedArrayBuffer,
    private readonly options: { mark: number; mtu: number | null; hold: number; workers: number },
    private readonly actions: WayActions,
  ) {
    this.slots = new EgressSlots(egresses);
    this.news = new WayNews(options.workers, (text) => actions.info(text));
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
        sameAddress(egress.nextHop, target) && !isByDefault(target, this.options.mark, planned.way.over),
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
      state.slot = this.slots.take(egress, this.states);
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
  takeReport(taken: WaysTaken): void {
    this.news.takeReport(taken, (way) => this.states[way]);
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
    for (const ifindex of gone) this.slots.renew(ifindex);
    if (this.hasLinkNews) this.actions.onInterfaces(gone);
    this.hasLinkNews = false;
    this.isLost = false;
    let isChanged = false;
    for (const state of this.states) isChanged = this.lookAt(state, now) || isChanged;
    if (isChanged) this.publish();
    this.news.tell();
  }

  /** After lost notifications: interfaces that were there and are not. */
  private findGone(): void {
    this.hasLinkNews = true;
    const present = new Set(links().map(({ ifindex }) => ifindex));
    for (const { config } of this.slots.all) if (!present.has(config.ifindex)) this.gone.add(config.ifindex);
  }

  /** True if what is published of the way changes. */
  private lookAt(state: State, now: number): boolean {
    if (state.isUnused) return false;
    const { mark, mtu } = this.options;
    if (state.since > 0) state.heldFor = now - state.since;
    const found = findWay(state.planned, mark, mtu);
    const judged = judge(state, found, {
      isDefault: () => isByDefault(state.target, mark),
      isLocal: (address) => localAddresses().some(({ bytes }) => sameAddress(bytes, address)),
    });
    if ("cause" in judged) {
      if (judged.asks) askForMac(judged.asks);
      return this.hold(state, judged.cause, now);
    }
    return this.open(state, judged, now);
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
    const known = this.slots.all[state.slot]!;
    const isSameEgress = this.slots.has(state.slot, egress);
    const isSameSource = !state.followsSource || sameAddress(source, state.source);
    const isMoved = !isSameSource || !this.slots.isSameLink(state.slot, egress);
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
    state.slot = this.slots.take(
      egress,
      this.states.filter((other) => other !== state),
    );
    state.egress = egress;
    if (state.followsSource) state.source = source;
    if (isMoved) this.counts.moved++;
    if (wasAway ? state.isTold || isMoved : isMoved) this.news.announce(state, isMoved, now);
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

  /** Tells the data planes the ways as they are. */
  publish(): void {
    this.actions.wake();
    this.news.version = publishWays(this.memory, {
      egresses: this.slots.all,
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
