/** The path MTUs to the targets: lowered by ICMP messages, and after some time back to what they were at the start. */
import type { Context } from "../sessions/context.ts";
import { ESTABLISHED, PATH, ROW, STATE } from "../sessions/table.ts";
import { resendSmaller } from "./retransmission.ts";

/** The smallest MTU that is accepted for an IPv4 and an IPv6 path, bytes (Linux's min_pmtu; RFC 8200). */
const LEAST_IPV4 = 552;
const LEAST_IPV6 = 1280;
/** us until a path with a lowered MTU is tried with large packets again (RFC 8201 section 4; Linux's mtu_expires). */
const EXPIRY = 600_000_000;

export class PathMtu {
  /** By path: the MTU at the start, bytes. */
  private readonly first: number[];
  /** By path: when a lowered MTU expires, us; Infinity if it is not lowered. */
  private readonly until: number[];
  /** The smallest of `until`. */
  private next = Number.POSITIVE_INFINITY;

  constructor(private readonly c: Context) {
    this.first = c.paths.map(({ mtu }) => mtu);
    this.until = c.paths.map(() => Number.POSITIVE_INFINITY);
  }

  /**
   * Lowers the MTU of all paths to the same target to `mtu` bytes, and sends what is in flight again in smaller segments.
   * An MTU that is too small for any path is ignored.
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

  /** One more path, which the context has already. */
  addPath({ mtu }: { mtu: number }): void {
    this.first.push(mtu);
    this.until.push(Number.POSITIVE_INFINITY);
  }

  /** The MTU of a path is another from now on, not only until EXPIRY. */
  become(pathIndex: number, mtu: number): void {
    this.first[pathIndex] = mtu;
    const path = this.c.paths[pathIndex]!;
    if (mtu < path.mtu) this.lower(pathIndex, mtu);
    path.mtu = mtu;
    this.until[pathIndex] = Number.POSITIVE_INFINITY;
  }

  /** Ends the lowered MTUs that have expired: if the path is still as narrow, the next large packet lowers it again. */
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
