/** What the data plane does at intervals: heartbeats, what waits, next hops, the share of connections that is captured; and MTUs. */
import type { Control } from "../../capture/control.ts";
import type { RequestSource } from "../../capture/source.ts";
import type { Engine } from "../../engine/engine.ts";
import type { Injector } from "../../inject/injector.ts";
import { EMSGSIZE, EPERM } from "../../native/libc.ts";
import { links, NetlinkError, route } from "../../native/netlink/netlink.ts";
import type { Egresses } from "../ways/egresses.ts";
import type { DataPlaneConfig } from "./config.ts";

/** us; the kernel programs go inert after 2 s without a heartbeat. */
const HEARTBEAT_INTERVAL = 500_000;
const REFRESH_INTERVAL = 1_000_000;
const RAMP_INTERVAL = 100_000;

export class Housekeeping {
  private heartbeatAt = 0;
  private refreshAt: number;
  private rampAt = Number.POSITIVE_INFINITY;
  private rampBegan = 0;
  /** The share at `rampBegan`. */
  private rampFrom = 0;
  private share = 0;
  private sample: number;
  private ramp: number;

  constructor(
    private readonly config: DataPlaneConfig,
    private readonly control: Control,
    private readonly sources: (RequestSource | null)[],
    private readonly engine: Engine,
    private readonly egresses: Egresses,
    private readonly onNote: (text: string) => void,
    now: number,
  ) {
    this.refreshAt = now + REFRESH_INTERVAL;
    this.sample = config.sample;
    this.ramp = config.ramp;
  }

  /** From now on the share of connections grows, or falls, to this one. */
  change({ sample, ramp }: { sample: number; ramp: number }, now: number): void {
    if (sample === this.sample && ramp === this.ramp) return;
    this.sample = sample;
    this.ramp = ramp;
    this.rampFrom = this.share;
    this.rampBegan = now;
    if (this.share > 0) this.rampAt = now;
  }

  /** Requests are captured from now on. */
  begin(now: number): void {
    this.rampBegan = now;
    this.rampAt = now;
    this.run(now);
  }

  /** Does what is due; called in every round. `now`: us. */
  run(now: number): void {
    if (now >= this.heartbeatAt) {
      this.control.heartbeat(now / 1000);
      for (const source of this.sources) source?.count();
      this.engine.look(now);
      this.heartbeatAt = now + HEARTBEAT_INTERVAL;
    }
    if (now >= this.rampAt) this.setSample(now);
    if (now >= this.refreshAt) {
      this.egresses.refresh();
      this.refreshAt = now + REFRESH_INTERVAL;
    }
  }

  /** us until something is due. */
  wait(now: number): number {
    return Math.min(this.heartbeatAt, this.rampAt, this.refreshAt) - now;
  }

  /** After a send: where a packet was too large (EMSGSIZE), the MTU of the interface's paths is lowered. */
  heedErrors(now: number): void {
    const { injectors } = this.egresses;
    for (let egress = 0; egress < injectors.length; egress++) {
      const injector = injectors[egress]!;
      if (injector.lastError === EPERM) this.noteFilter(injector, egress);
      if (injector.lastError !== EMSGSIZE) continue;
      injector.lastError = 0;
      const { ifindex, isBound } = this.egresses.configOf(egress);
      for (const [path, { target }] of this.config.paths.entries()) {
        if (this.engine.egressOf(path) !== egress) continue;
        const mtu = currentMtu(target, this.config.mark, isBound ? ifindex : 0);
        this.engine.lowerMtu(path, mtu, now);
      }
    }
  }

  /** Raw sockets pass the kernel's netfilter; it is its rules that do not permit. */
  private noteFilter(injector: Injector, egress: number): void {
    injector.lastError = 0;
    if (injector.name !== "raw") return;
    const { interface: name } = this.egresses.configOf(egress);
    const mark = `0x${this.config.mark.toString(16)}`;
    this.onNote(
      `this host's netfilter drops packets to the target on ${name} (a rule in OUTPUT, or in POSTROUTING)\nLet packets with the mark ${mark} pass there: nft insert rule ... meta mark ${mark} accept, or iptables -I OUTPUT -m mark --mark ${mark} -j ACCEPT.`,
    );
  }

  private setSample(now: number): void {
    const { sample, ramp, rampFrom } = this;
    const done = ramp === 0 ? 1 : Math.min(1, (now - this.rampBegan) / ramp);
    this.share = rampFrom + (sample - rampFrom) * done;
    this.control.setSample(this.share);
    this.rampAt = done === 1 ? Number.POSITIVE_INFINITY : now + RAMP_INTERVAL;
  }
}

/** The current MTU of interface and route to a target; 0 while there is no route. `over`: as in `route`. */
export function currentMtu(target: Uint8Array, mark: number, over: number): number {
  try {
    const { ifindex, mtu } = route(target, mark, over);
    const link = links().find((candidate) => candidate.ifindex === ifindex);
    return Math.min(link?.mtu ?? 0, mtu || Number.POSITIVE_INFINITY);
  } catch (error) {
    if (error instanceof NetlinkError) return 0;
    throw error;
  }
}
