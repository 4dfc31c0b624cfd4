/**
 * Before the first request is taken: the intercepts are connected to, a connection to each target is tried, and where
 * nothing comes back the intercepts are asked what they saw.
 */
import type { Facts } from "../channel/messages.ts";
import { formatAddress } from "../config/address.ts";
import type { Engine } from "../engine/engine.ts";
import type { DataPlaneConfig } from "./config.ts";
import type { InterceptState, Intercepts } from "./intercepts.ts";

/** us: for the intercepts; for a target, whose SYN is repeated once in that time; for the answers of the intercepts. */
const CONNECT_SPAN = 3_000_000;
const PROBE_SPAN = 3_000_000;
const ASK_SPAN = 500_000;

/** What trying one path found. */
export interface ProbeResult {
  path: number;
  result: "answered" | "refused" | "silent" | "held";
  /** What the intercepts of a silent path know; where flows were registered in the end, `known` is of the try before. */
  facts: Facts[];
}

/** Everything that was found. */
export interface Findings {
  probes: ProbeResult[];
  intercepts: InterceptState[];
  /** Whether the mark on SYNs was lost on the way, so that each connection is registered instead. */
  registersAll: boolean;
}

/** What came of a path that may not be sent on: what was answered before was, and each new connection to an intercept holds it. */
function heldOr(result: "answered" | "refused" | "silent"): ProbeResult["result"] {
  return result === "silent" ? "held" : result;
}

type Phase = "connect" | "probe" | "ask" | "done";

export class Preflight {
  private phase: Phase = "connect";
  private deadline: number;
  private readonly ports: number[] = [];
  private readonly facts: Facts[][];
  /** By path: whether an intercept that learns flows has not seen the SYN. */
  private readonly unseen: boolean[] = [];
  private registersAll = false;

  constructor(
    private readonly config: DataPlaneConfig,
    private readonly engine: Engine,
    private readonly intercepts: Intercepts | null,
    now: number,
  ) {
    this.deadline = now + CONNECT_SPAN;
    this.facts = config.paths.map(() => []);
    if (!config.probe) this.phase = "done";
  }

  /** Whether all is known; called in every round. */
  run(now: number): boolean {
    const { paths } = this.config;
    if (this.phase === "connect") {
      const isConnected = paths.every((_, path) => this.intercepts?.isOpen(path) ?? true);
      if (isConnected) this.probe(now);
      else if (now >= this.deadline || this.isRefused()) this.phase = "done";
    }
    if (this.phase === "probe") {
      if (this.silent().length === 0) this.phase = "done";
      else if (now >= this.deadline) this.ask(now);
    }
    if (
      this.phase === "ask" &&
      (now >= this.deadline || this.silent().every((path) => this.facts[path]!.length > 0))
    ) {
      if (this.isMarkLost()) this.tryRegistered(now);
      else this.phase = "done";
    }
    return this.phase === "done";
  }

  /** us until `run` has something to do. */
  wait(now: number): number {
    return this.phase === "done" ? Number.POSITIVE_INFINITY : Math.max(0, this.deadline - now);
  }

  get findings(): Findings {
    return {
      probes: this.config.paths.map((_, path) => ({
        path,
        result: this.foundOf(path),
        facts: this.facts[path]!.map((facts) => (this.unseen[path] ? { ...facts, known: false } : facts)),
      })),
      intercepts: this.intercepts?.states ?? [],
      registersAll: this.registersAll,
    };
  }

  /** Another try would only be counted as one more failure there. */
  private isRefused(): boolean {
    return this.intercepts?.states.some(({ isRefused }) => isRefused) === true;
  }

  private silent(): number[] {
    return this.config.paths.flatMap((_, path) => (this.resultOf(path) === "silent" ? [path] : []));
  }

  private foundOf(path: number): ProbeResult["result"] {
    if (this.intercepts?.isOpen(path) !== false) return this.resultOf(path);
    return this.config.paths[path]!.transport === "udp" ? "held" : heldOr(this.resultOf(path));
  }

  /** A UDP service need not answer what it does not know: it is not tried. */
  private resultOf(path: number): "answered" | "refused" | "silent" {
    return this.config.paths[path]!.transport === "udp" ? "answered" : this.engine.probeResults[path]!;
  }

  private source(path: number): Uint8Array | null {
    return this.config.channel?.probeFrom[path] ?? null;
  }

  private probe(now: number): void {
    this.phase = "probe";
    this.deadline = now + PROBE_SPAN;
    for (const path of this.silent()) {
      const isFromClient = this.config.paths[path]!.local === null;
      this.ports[path] = this.engine.probe(path, now, isFromClient ? this.source(path) : null);
      // From the first question on an intercept counts what it sees of a flow.
      this.intercepts?.ask(path, "probe", this.flow(path), () => {});
    }
  }

  private ask(now: number): void {
    if (!this.intercepts) {
      this.phase = "done";
      return;
    }
    this.phase = "ask";
    this.deadline = now + ASK_SPAN;
    for (const path of this.silent()) {
      this.facts[path] = [];
      this.intercepts.ask(path, "probe", this.flow(path), (facts) => this.facts[path]!.push(facts));
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

  /** Whether a SYN may have come without its mark. */
  private isMarkLost(): boolean {
    return (
      !this.registersAll &&
      this.silent().some((path) =>
        this.facts[path]!.some(({ mode, known }) => mode === "target" && known === false),
      )
    );
  }

  private tryRegistered(now: number): void {
    for (const path of this.silent())
      this.unseen[path] = this.facts[path]!.some(({ known }) => known === false);
    this.registersAll = true;
    this.intercepts!.registerAll();
    this.probe(now);
  }
}
