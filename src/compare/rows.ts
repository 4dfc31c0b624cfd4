/**
 * Which row a request counts in: the most frequent endpoints have one each, the rest of a service one together. An endpoint gets a row while
 * there is room; later it takes that of the rarest one when it has come more often than that (counts of those without a row are
 * kept as in Misra and Gries, 1982). What the rarest had counted goes to the others, so that the sum over all rows is always exact.
 */
import type { Pair, PairProtocol } from "../pairs/pair.ts";
import { fits } from "./endpoint/rules.ts";
import { templateOf, templateOfName } from "./endpoint/template.ts";
import { hashOf } from "./looks/ids.ts";
import { OTHERS, Row } from "./row.ts";
import type { CompareSettings } from "./settings.ts";

export const MOST_ROWS = 1000;
/** Endpoints without a row that are counted. */
const MOST_WAITING = 4096;
const MOST_METHOD = 40;
/** An endpoint that came no more often takes nobody's row. */
const LEAST = 4;
const MOST_EXAMPLES_OF_OTHERS = 20;

export class Rows {
  private readonly rows = new Map<string, Row>();
  /** Rows whose names were masked, by the names. */
  private readonly masked = new Map<string, Row>();
  private readonly others = new Map<string, Row>();
  /** By a hash of what they are found by. */
  private readonly waiting = new Map<number, number>();
  /** The rarest row has at least so many requests, as far as was looked. */
  private least = 0;

  /** `mask`: takes secrets out of a name before it is kept. */
  constructor(
    private readonly settings: CompareSettings,
    private readonly mask: (text: string) => string,
    private readonly most = MOST_ROWS,
  ) {}

  /** The row of a pair; `counts`: whether it will be counted there, as the noise target's is not. */
  of(pair: Pair, counts: boolean): Row {
    return this.rowOf(pair, this.nameOf(pair.protocol, pair.method, pair.name), counts);
  }

  /** All rows that counted something, the others last. */
  all(): Row[] {
    return [...this.rows.values(), ...this.others.values()].filter(({ count }) => count > 0);
  }

  private nameOf(protocol: PairProtocol, method: string, name: string): string {
    if (protocol === "mysql") return name;
    if (protocol === "dns") return templateOfName(name);
    const rule = this.settings.endpoints.find((each) => fits(each, method, name));
    return rule === undefined ? templateOf(name) : rule.path;
  }

  private rowOf(pair: Pair, name: string, counts: boolean): Row {
    const { service, protocol, method } = pair;
    const key = `${service} ${protocol} ${method} ${name}`;
    const row = this.rows.get(key) ?? this.masked.get(key);
    if (row !== undefined) return row;
    const came = this.rows.size < this.most ? 0 : this.makeRoom(key, counts);
    if (came === null) return this.othersOf(service, protocol);
    // What is masked in the name as it was sent may not be found any more in its template.
    const sent = this.mask(pair.name);
    const shown = this.mask(sent === pair.name ? name : this.nameOf(protocol, method, sent)) || "(none)";
    const shownMethod = this.mask(method.slice(0, MOST_METHOD));
    const shownKey = `${service} ${protocol} ${shownMethod} ${shown}`;
    let shownRow = this.rows.get(shownKey);
    if (shownRow === undefined) {
      shownRow = new Row(service, protocol, shownMethod, shown, shownKey);
      shownRow.before = came;
      this.rows.set(shownKey, shownRow);
    }
    if (shownKey !== key) {
      if (this.masked.size >= MOST_WAITING) this.masked.clear();
      this.masked.set(key, shownRow);
    }
    return shownRow;
  }

  private othersOf(service: number, protocol: PairProtocol): Row {
    const key = `${service} ${protocol}`;
    let row = this.others.get(key);
    if (row === undefined) {
      row = new Row(service, protocol, "", OTHERS, key);
      this.others.set(key, row);
    }
    return row;
  }

  /** How often an endpoint without a row came, if that is often enough to take the row of the rarest; else null. */
  private makeRoom(key: string, counts: boolean): number | null {
    if (!counts) return null;
    const hash = hashOf(key);
    const count = (this.waiting.get(hash) ?? 0) + 1;
    if (count > this.least) {
      const row = this.rarest();
      this.least = Math.max(row.frequency, LEAST);
      if (count > this.least) {
        this.waiting.delete(hash);
        this.rows.delete(row.key);
        this.masked.clear();
        this.othersOf(row.service, row.protocol).merge(row, MOST_EXAMPLES_OF_OTHERS);
        return count - 1;
      }
    }
    this.wait(hash, count);
    return null;
  }

  private rarest(): Row {
    let rarest: Row | null = null;
    for (const row of this.rows.values())
      if (rarest === null || row.frequency < rarest.frequency) rarest = row;
    return rarest!;
  }

  private wait(hash: number, count: number): void {
    if (this.waiting.size >= MOST_WAITING && !this.waiting.has(hash)) {
      for (const [other, known] of this.waiting) {
        if (known <= 1) this.waiting.delete(other);
        else this.waiting.set(other, known >> 1);
      }
    }
    this.waiting.set(hash, count);
  }
}
