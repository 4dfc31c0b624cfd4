/** Counts the failed handshakes of each address, so that no host can try many keys. */

/** us for which failures of an address are counted together. */
const SPAN = 60_000_000;
const MOST_FAILURES = 10;
const MOST_ADDRESSES = 1024;
/** Bytes of an IPv6 address that count: who has one address usually has all of its /64. */
const IPV6_NETWORK = 8;

interface Failures {
  count: number;
  /** us. */
  since: number;
}

export class FailedHandshakes {
  /** The address that failed first comes first. */
  readonly #failures = new Map<string, Failures>();

  /** Whether an address (4 or 16 bytes) gets no more handshakes: MOST_FAILURES of its handshakes failed within SPAN. */
  areTooMany(address: Uint8Array, now: number): boolean {
    const failures = this.#failures.get(nameOf(address));
    return failures !== undefined && failures.count >= MOST_FAILURES && now - failures.since < SPAN;
  }

  add(address: Uint8Array, now: number): void {
    const name = nameOf(address);
    const failures = this.#failures.get(name);
    if (failures !== undefined && now - failures.since < SPAN) {
      failures.count++;
      return;
    }
    this.#failures.delete(name);
    this.#failures.set(name, { count: 1, since: now });
    if (this.#failures.size > MOST_ADDRESSES) this.#failures.delete(this.#failures.keys().next().value!);
  }
}

function nameOf(address: Uint8Array): string {
  return address.subarray(0, address.length === 16 ? IPV6_NETWORK : 4).join();
}
