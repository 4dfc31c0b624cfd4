/** The largest packets that the ways to the targets take: less than their interfaces where a way turns out to be narrower. */
import type { Context } from "../sessions/context.ts";
import { ESTABLISHED, PATH, ROW, STATE } from "../sessions/table.ts";
import { resendSmaller } from "./retransmission.ts";

/** Least MTU believed of an IPv4 and an IPv6 path (Linux's min_pmtu; RFC 8200). */
const LEAST_IPV4 = 552;
const LEAST_IPV6 = 1280;
/** us until a way that was narrower is tried with large packets again (RFC 8201 section 4; Linux's mtu_expires). */
const EXPIRY = 600_000_000;

export class PathMtu {
  /** By path: bytes at the start, and when a smaller MTU is forgotten. */
  private readonly first: number[];
  private readonly until: Float64Array;
  private next = Number.POSITIVE_INFINITY;

  constructor(private readonly c: Context) {
    this.first = c.paths.map(({ mtu }) => mtu);
    this.until = new Float64Array(c.paths.length).fill(Number.POSITIVE_INFINITY);
  }

  /**
   * Packets to the target of a path may have at most `mtu` bytes from now on, and what is in flight is cut anew. Less than
   * every path must take is not believed.
   */
  lower(pathIndex: number, mtu: number): void {
    const { c } = this;
    const { pair } = c.paths[pathIndex]!;
    if (mtu < (pair.family === 4 ? LEAST_IPV4 : LEAST_IPV6)) return;
    const target = pair.destination.join();
    const isSmaller = c.paths.map((path) => path.mtu > mtu && path.pair.destination.join() === target);
    if (!isSmaller.includes(true)) return;
    for (const [index, smaller] of isSmaller.entries()) {
      if (!smaller) continue;
      c.paths[index]!.mtu = mtu;
      this.until[index] = c.now + EXPIRY;
    }
    this.next = Math.min(this.next, c.now + EXPIRY);
    for (let s = 0; s < c.table.end; s++) {
      if (c.words[s * ROW + STATE]! >= ESTABLISHED && isSmaller[c.words[s * ROW + PATH]!])
        resendSmaller(c, s);
    }
  }

  /** Forgets what was told too long ago: who sends learns at once whether it still holds. */
  advance(): void {
    const { c, until } = this;
    if (c.now < this.next) return;
    for (let index = 0; index < until.length; index++) {
      if (c.now < until[index]!) continue;
      c.paths[index]!.mtu = this.first[index]!;
      until[index] = Number.POSITIVE_INFINITY;
    }
    this.next = until.reduce((least, at) => Math.min(least, at), Number.POSITIVE_INFINITY);
  }
}
