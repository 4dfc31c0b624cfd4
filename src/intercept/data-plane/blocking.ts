/** Which rule of this host's netfilter is in the way of a connection of a copy, or of the answers to it. */
import { parseRules, type RuleTexts } from "../../netfilter/listed/list.ts";
import { type DescribedPacket, type ListedChain, placeOf } from "../../netfilter/listed/ruleset.ts";
import { letThrough, verdictAt } from "../../netfilter/listed/walk.ts";

/** A rule as it was when the intercept started, and the command that lets such packets pass. */
export interface BlockingRule {
  /** Whether it drops what clients send, or what the server answers. */
  drops: "requests" | "answers";
  place: string;
  fix: string;
}

/** A connection that is tried; ports are numbers, addresses 4 or 16 bytes. */
export interface Tried {
  client: Uint8Array;
  clientPort: number;
  server: Uint8Array;
  serverPort: number;
  /** Interfaces that it comes in by and goes back by; undefined: not known. */
  in: string | undefined;
  out: string | undefined;
}

/** The rules of a host, parsed when they are asked for first. */
export class Blocking {
  #chains: ListedChain[] | null = null;

  constructor(private readonly texts: RuleTexts | null) {}

  /** The first rule that surely drops the connection's first packet, or the answer to it; null: none is known. */
  find(tried: Tried): BlockingRule | null {
    this.#chains ??= this.texts === null ? [] : parseRules(this.texts).chains;
    const { client, clientPort, server, serverPort } = tried;
    const protocol = "tcp" as const;
    const family = client.length === 4 ? (4 as const) : (6 as const);
    const request: DescribedPacket = {
      ...{ family, protocol, mark: 0, state: "new", in: tried.in, out: null },
      ...{ source: client, destination: server, sourcePort: clientPort, destinationPort: serverPort },
    };
    const answer: DescribedPacket = {
      ...{ family, protocol, mark: 0, state: "established", in: null, out: tried.out },
      ...{ source: server, destination: client, sourcePort: serverPort, destinationPort: clientPort },
    };
    return (
      this.#dropAt(["ingress", "prerouting", "input"], request, "requests") ??
      this.#dropAt(["output", "postrouting"], answer, "answers")
    );
  }

  #dropAt(hooks: string[], packet: DescribedPacket, drops: BlockingRule["drops"]): BlockingRule | null {
    for (const hook of hooks) {
      const verdict = verdictAt(hook, packet, this.#chains!);
      if (verdict?.kind !== "drop") continue;
      const place = placeOf(verdict.chain, verdict.rule);
      return { drops, place, fix: letThrough(verdict, packet, drops === "answers") };
    }
    return null;
  }
}
