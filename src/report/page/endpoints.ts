/** The table of endpoints: sorted by any column, filtered, each row opens. */
import { html } from "htm/preact";
import { Fragment } from "preact";
import { useMemo, useRef, useState } from "preact/hooks";
import type { Endpoint } from "../../compare/report.ts";
import { duration, number, percent } from "../../runtime/figures.ts";
import { Detail } from "./detail.ts";
import { change, keyOf } from "./format.ts";
import {
  COLUMNS,
  type Column,
  clicked,
  filtered,
  isOnly,
  isSlower,
  type Only,
  type Order,
  sorted,
  WORST_FIRST,
} from "./order.ts";
import { useSurroundings } from "./surroundings.ts";

/** Rows that are drawn at first, and by each "more". */
const ROWS = 100;
/** Rows that are open on paper, of those with a difference. */
const MOST_PRINTED = 50;

const CHOICES: [only: Only, name: string][] = [
  ["all", "All"],
  ["different", "With differences"],
  ["errors", "With errors"],
  ["slower", "Slower"],
];

/** From which change on a time or size is marked, as a share. */
const NOTABLE = 1.1;

/** Marked only where it is certain that the target is slower: chance alone makes a p99 much larger. */
function changeCell(production: number, target: number, isCertain: boolean) {
  const isNotable = isCertain && production > 0 && target / production >= NOTABLE;
  return html`<span class=${isNotable ? "worse" : ""}>${change(production, target) || "\u2013"}</span>`;
}

function cellOf({ id }: Column, endpoint: Endpoint, mostWorse: number) {
  const { latency, sizes, count, errors, different, worse } = endpoint;
  const { production, target } = latency;
  const compared = endpoint.outcomes.compared ?? 0;
  const time = (side: typeof production, key: "p50" | "p99") =>
    side.count > 0 ? duration(side[key]) : "\u2013";
  const ofCompared = (some: number) =>
    some === 0
      ? html`<span class="zero">0</span>`
      : html`<span class="worse">${number(some)}</span> <span class="share">${percent(some, Math.max(compared, some))}</span>`;
  switch (id) {
    case "count":
      return number(count);
    case "errors":
      return ofCompared(errors);
    case "different":
      return ofCompared(different);
    case "p50production":
      return time(production, "p50");
    case "p50target":
      return time(target, "p50");
    case "p50":
      return changeCell(production.p50, target.p50, isSlower(endpoint));
    case "p99production":
      return time(production, "p99");
    case "p99target":
      return time(target, "p99");
    case "p99":
      return changeCell(production.p99, target.p99, isSlower(endpoint));
    case "size":
      return change(sizes.production.mean, sizes.target.mean) || "\u2013";
    default:
      return html`<span class="bar" style=${{ width: `${mostWorse > 0 ? (48 * worse) / mostWorse : 0}px` }}></span>
        ${worse === 0 ? html`<span class="zero">0</span>` : Number(worse.toPrecision(3))}`;
  }
}

interface RowProps {
  endpoint: Endpoint;
  hasServices: boolean;
  mostWorse: number;
  isOpen: boolean;
  toggle: (key: string) => void;
}

function Row({ endpoint, hasServices, mostWorse, isOpen, toggle }: RowProps) {
  const key = keyOf(endpoint);
  const id = `endpoint-${key.replace(/\W/g, (character) => `-${character.codePointAt(0)}`)}`;
  return html`<${Fragment}>
    <tr class=${isOpen ? "row open" : "row"}>
      <th scope="row">
        <button type="button" class="opener" aria-expanded=${isOpen ? "true" : "false"} aria-controls=${isOpen ? id : undefined} onClick=${() => toggle(key)}>
          <span class="method">${endpoint.method}</span> <span class="name">${endpoint.name}</span>
          ${hasServices && html` <span class="service">${endpoint.service}</span>`}
        </button>
      </th>
      ${COLUMNS.slice(1).map(
        (column) =>
          html`<td key=${column.id} class=${`number ${column.size}`}>${cellOf(column, endpoint, mostWorse)}</td>`,
      )}
    </tr>
    ${isOpen && html`<tr class="opened" id=${id}><td colspan=${COLUMNS.length}><${Detail} endpoint=${endpoint} /></td></tr>`}
  <//>`;
}

function Header({ order, sort }: { order: Order; sort: (column: string) => void }) {
  return html`<thead><tr>
    ${COLUMNS.map(({ id, title, hint, size }) => {
      const isSorted = order.column === id;
      const direction = isSorted ? (order.isDescending ? "descending" : "ascending") : "none";
      return html`<th scope="col" key=${id} class=${id === "name" ? "" : `number ${size}`} aria-sort=${direction}>
        <button type="button" class="sorter" title=${hint || undefined} onClick=${() => sort(id)}>
          ${title}<span class="arrow" aria-hidden="true">${isSorted ? (order.isDescending ? " \u25bc" : " \u25b2") : ""}</span>
        </button>
      </th>`;
    })}
  </tr></thead>`;
}

/** While somebody points into the table or is in it with the keyboard, no row moves away under them. */
function useCalm(endpoints: readonly Endpoint[], shown: readonly Endpoint[], choice: string) {
  const isHeld = useRef(false);
  const before = useRef({ choice, keys: [] as string[] });
  const byKey = new Map(endpoints.map((endpoint) => [keyOf(endpoint), endpoint]));
  const isSameChoice = before.current.choice === choice;
  const keys =
    isHeld.current && isSameChoice
      ? before.current.keys.filter((key) => byKey.has(key))
      : shown.map((endpoint) => keyOf(endpoint));
  before.current = { choice, keys };
  const hold = (held: boolean) => () => {
    isHeld.current = held;
  };
  const handlers = {
    onMouseEnter: hold(true),
    onMouseLeave: hold(false),
    onFocusIn: hold(true),
    onFocusOut: hold(false),
  };
  return { rows: keys.map((key) => byKey.get(key)!), handlers };
}

export function Endpoints({
  endpoints,
  hasServices,
}: {
  endpoints: readonly Endpoint[];
  hasServices: boolean;
}) {
  const { isPrinting, isLive } = useSurroundings();
  const [query, setQuery] = useState("");
  const [only, setOnly] = useState<Only>("all");
  const [order, setOrder] = useState<Order>(WORST_FIRST);
  const [opened, setOpened] = useState<ReadonlySet<string>>(new Set());
  const [most, setMost] = useState(ROWS);
  const wanted = useMemo(
    () => sorted(filtered(endpoints, query, only), order),
    [endpoints, query, only, order],
  );
  const { rows: calm, handlers } = useCalm(endpoints, wanted, JSON.stringify([query, only, order]));
  const rows = isLive ? calm : wanted;
  const mostWorse = endpoints.reduce((most, { worse }) => Math.max(most, worse), 0);
  const toggle = (key: string) => {
    const next = new Set(opened);
    if (!next.delete(key)) next.add(key);
    setOpened(next);
  };
  const sort = (column: string) => setOrder(clicked(order, column));
  const printed = isPrinting
    ? new Set(
        rows.filter(({ different, errors, worse }) => different + errors + worse > 0).slice(0, MOST_PRINTED),
      )
    : null;
  return html`<section class="endpoints" aria-labelledby="endpoints">
    <h2 id="endpoints">Endpoints <span class="small">${number(endpoints.length)}</span></h2>
    <div class="controls">
      <label class="search">Filter <input type="search" placeholder="name, status, field, path" value=${query}
        onInput=${(event: Event) => setQuery((event.target as HTMLInputElement).value)} /></label>
      <fieldset><legend>Only</legend>
        ${CHOICES.map(
          ([choice, name]) => html`<label key=${choice}>
            <input type="radio" name="only" checked=${only === choice} onChange=${() => setOnly(choice)} />
            <span>${name} <span class="count">${number(endpoints.filter((endpoint) => isOnly(endpoint, choice)).length)}</span></span>
          </label>`,
        )}
      </fieldset>
      <label class="sort-by">Sort by <select value=${order.column} onChange=${(event: Event) => setOrder(clicked({ column: "", isDescending: true }, (event.target as HTMLSelectElement).value))}>
        ${COLUMNS.map(({ id, title }) => html`<option key=${id} value=${id}>${title}</option>`)}
      </select></label>
    </div>
    <p class="hidden" role="status">${number(rows.length)} endpoints shown</p>
    <table class="main" ...${handlers}>
      <caption class="hidden">Endpoints, by how much worse the target is; a row opens to its differences</caption>
      <${Header} order=${order} sort=${sort} />
      <tbody>
        ${(isPrinting ? rows : rows.slice(0, most)).map(
          (
            endpoint,
          ) => html`<${Row} key=${keyOf(endpoint)} endpoint=${endpoint} hasServices=${hasServices} mostWorse=${mostWorse}
            isOpen=${opened.has(keyOf(endpoint)) || (printed?.has(endpoint) ?? false)} toggle=${toggle} />`,
        )}
        ${rows.length === 0 && html`<tr><td colspan=${COLUMNS.length} class="none">${endpoints.length === 0 ? "nothing was compared yet" : "no endpoint is like that"}</td></tr>`}
      </tbody>
    </table>
    ${
      rows.length > most &&
      !isPrinting &&
      html`<p class="more">
        <button type="button" onClick=${() => setMost(most + ROWS)}>Show ${number(Math.min(ROWS, rows.length - most))} more</button>
        <button type="button" onClick=${() => setMost(rows.length)}>Show all ${number(rows.length)}</button>
      </p>`
    }
  </section>`;
}
