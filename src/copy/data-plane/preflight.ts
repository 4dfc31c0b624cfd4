/**
 * What happens before the first request is taken: waits for the intercepts, tries a connection on each path, and where no
 * answer comes asks the intercepts what they saw.
 */
import type { Facts } from "../../channel/messages.ts";
import { formatAddress } from "../../config/address.ts";
import type { Engine } from "../../engine/engine.ts";
import type { DataPlaneConfig } from "./config.ts";
import type { InterceptState, Intercepts } from "./intercepts.ts";

/** us: for the intercepts; for a target, whose SYN is repeated once in that time; for the answers of the intercepts. */
const CONNECT_SPAN = 3_000_000;
const PROBE_SPAN = 3_000_000;
const ASK_SPAN = 3_000_000;
/** us in a row that a path may be held, as its intercept is silent: meanwhile nothing is sent, and PROBE_SPAN stands still. */
const HELD_SPAN = 3_000_000;
/** us that a round counts at most: a longer one means that this host was busy, and says nothing about other hosts. */
const LONGEST_ROUND = 500_000;

/**
 * What trying a path may find. `untried`: it could not be tried to the end; `uncaught`: no intercept catches its answers. Of
 * several results that which comes last here is reported: it is worse, or more is known about it.
 */
const RESULTS = ["answered", "untried", "refused", "silent", "uncaught"] as const;

/** What trying one path found. */
export interface ProbeResult {
  path: number;
  result: (typeof RESULTS)[number];
  /** What the intercepts of a silent path saw; after a second try with registered flows, `known` is that of the first try. */
  facts: Facts[];
}

/** The result to report: the worst, the first of several alike; undefined if there are none. */
export function worstOf(probes: readonly ProbeResult[]): ProbeResult | undefined {
  const worst = Math.max(...probes.map(({ result }) => RESULTS.indexOf(result)));
  return probes.find(({ result }) => result === RESULTS[worst]);
}

/** Everything that was found. */
export interface Findings {
  probes: ProbeResult[];
  intercepts: InterceptState[];
  /** Whether the mark on SYNs was lost on the way, so that each connection is registered instead. */
  registersAll: boolean;
}

type Phase = "connect" | "probe" | "ask" | "done";

export class Preflight {
  private phase: Phase = "connect";
  /** us left for the phase, and for paths that are held in it. */
  private left = CONNECT_SPAN;
  private heldLeft = HELD_SPAN;
  private readonly ports: number[] = [];
  /** By path: what intercepts answered, and how many were asked. */
  private readonly facts: Facts[][];
  private readonly asked: number[];
  /** By path: whether an intercept that learns flows has not seen the SYN. */
  private readonly unseen: boolean[] = [];
  private readonly untried: boolean[];
  private registersAll = false;

  constructor(
    private readonly config: DataPlaneConfig,
    private readonly engine: Engine,
    private readonly intercepts: Intercepts | null,
    /** us: the latest round. */
    private now: number,
    /** The paths that are tried. */
    private readonly paths: readonly number[] = [...config.paths.keys()],
    isTried = config.probe,
  ) {
    this.facts = config.paths.map(() => []);
    this.asked = config.paths.map(() => 0);
    this.untried = config.paths.map(() => true);
    if (!isTried) this.phase = "done";
  }

  /** Goes on with the preflight; true when it is over. Call it in every round. */
  run(now: number): boolean {
    this.pass(Math.min(now - this.now, LONGEST_ROUND));
    this.now = now;
    if (this.phase === "connect") this.runConnect();
    else if (this.hasCompatLeft()) this.phase = "done";
    if (this.phase === "probe") this.runProbe();
    if (this.phase === "ask") this.runAsk();
    return this.phase === "done";
  }

  /** us until `run` has something to do. */
  wait(now: number): number {
    if (this.phase === "done") return Number.POSITIVE_INFINITY;
    return Math.max(0, Math.min(this.left, this.heldLeft) - (now - this.now));
  }

  get findings(): Findings {
    return {
      probes: this.paths.map((path) => ({
        path,
        result: this.foundOf(path),
        facts: this.facts[path]!.map((facts) => (this.unseen[path] ? { ...facts, known: false } : facts)),
      })),
      intercepts: this.intercepts?.states ?? [],
      registersAll: this.registersAll,
    };
  }

  /** Counts the time: while a tried path is held, against `heldLeft` only. */
  private pass(span: number): void {
    if (this.phase !== "connect" && this.isHeld()) this.heldLeft -= span;
    else {
      this.left -= span;
      this.heldLeft = HELD_SPAN;
    }
  }

  private runConnect(): void {
    const states = this.intercepts?.states ?? [];
    if (states.every(({ up }) => up)) {
      if (this.paths.every((path) => this.isCaught(path))) this.probe();
      else this.phase = "done";
    } else if (this.left <= 0 || states.some(({ isRefused }) => isRefused)) {
      // An intercept that refuses would only count another try as one more failure.
      this.phase = "done";
    }
  }

  private runProbe(): void {
    const silent = this.silent();
    if (silent.length === 0) this.phase = "done";
    else if (this.heldLeft <= 0) this.giveUp();
    else if (this.left <= 0) this.ask();
  }

  private runAsk(): void {
    const silent = this.silent();
    const isAnswered = silent.every((path) => this.facts[path]!.length >= this.asked[path]!);
    if (!isAnswered && this.left > 0 && this.heldLeft > 0) return;
    if (this.isMarkLost()) this.tryRegistered();
    else this.phase = "done";
  }

  /** Whether an intercept 1.x has closed the connection: it counts as one only because it did not do so at once. */
  private hasCompatLeft(): boolean {
    return this.config.channel?.compat === true && this.intercepts!.states.some(({ up }) => !up);
  }

  /** Ends the tries; paths that are still held count as untried. */
  private giveUp(): void {
    for (const path of this.silent()) if (!this.intercepts!.isOpen(path)) this.untried[path] = true;
    this.phase = "done";
  }

  private isHeld(): boolean {
    return this.silent().some((path) => this.intercepts?.isOpen(path) === false);
  }

  private isCaught(path: number): boolean {
    return this.intercepts?.states.some(({ covers }) => covers.includes(path)) ?? true;
  }

  private silent(): number[] {
    return this.paths.filter((path) => this.resultOf(path) === "silent");
  }

  private foundOf(path: number): ProbeResult["result"] {
    if (!this.isCaught(path)) return "uncaught";
    const result = this.resultOf(path);
    return result === "silent" && this.untried[path] ? "untried" : result;
  }

  /** A UDP service need not answer what it does not know: it is not tried. */
  private resultOf(path: number): "answered" | "refused" | "silent" {
    return this.config.paths[path]!.transport === "udp" ? "answered" : this.engine.probeResults[path]!;
  }

  private source(path: number): Uint8Array | null {
    return this.config.channel?.probeFrom[path] ?? null;
  }

  private probe(): void {
    this.phase = "probe";
    this.left = PROBE_SPAN;
    for (const path of this.silent()) {
      this.untried[path] = false;
      const isFromClient = this.config.paths[path]!.local === null;
      this.ports[path] = this.engine.probe(path, this.now, isFromClient ? this.source(path) : null);
      // An intercept counts what it sees of a flow from the first question about it on.
      this.intercepts?.ask(path, "probe", this.flow(path), () => {});
    }
  }

  private ask(): void {
    const { intercepts } = this;
    if (!intercepts) {
      this.phase = "done";
      return;
    }
    this.phase = "ask";
    this.left = ASK_SPAN;
    for (const path of this.silent()) {
      // A list of its own for each question: a late answer to the one before does not get into it.
      const facts: Facts[] = [];
      this.facts[path] = facts;
      this.asked[path] = intercepts.ask(path, "probe", this.flow(path), (fact) => facts.push(fact));
    }
  }

  /** The connection that was tried, as intercepts are asked for it. */
  private flow(path: number): object {
    const { target, targetPort } = this.config.paths[path]!;
    return {
      client: formatAddress(this.source(path)!),
      clientPort: this.ports[path],
      server: formatAddress(target),
      serverPort: targetPort,
    };
  }

  /** Whether a SYN may have arrived without its mark. */
  private isMarkLost(): boolean {
    return (
      !this.registersAll &&
      !this.intercepts!.isInsecure &&
      this.silent().some((path) =>
        this.facts[path]!.some(({ mode, known }) => mode === "target" && known === false),
      )
    );
  }

  private tryRegistered(): void {
    for (const path of this.silent())
      this.unseen[path] = this.facts[path]!.some(({ known }) => known === false);
    this.registersAll = true;
    this.intercepts!.registerAll();
    this.probe();
  }
}
