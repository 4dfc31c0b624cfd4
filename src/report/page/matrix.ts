/** The status matrix: which status production answered with, and which the target. */
import { html } from "htm/preact";
import type { StatusCount } from "../../compare/report.ts";
import type { PairProtocol } from "../../pairs/pair.ts";
import { number } from "../../runtime/figures.ts";
import { statusName } from "./format.ts";

type Status = number | null;

/** Rows and columns at most. */
const MOST = 12;

/** The statuses of one side: those that are most frequent, in order; no answer last. */
function statusesOf(cells: readonly StatusCount[], side: "production" | "target"): Status[] {
  const counts = new Map<Status, number>();
  for (const cell of cells) counts.set(cell[side], (counts.get(cell[side]) ?? 0) + cell.count);
  return [...counts]
    .sort(([, one], [, other]) => other - one)
    .slice(0, MOST)
    .map(([status]) => status)
    .sort((one, other) => (one ?? Infinity) - (other ?? Infinity));
}

interface MatrixProps {
  statuses: readonly StatusCount[];
  /** Whose statuses they are; null: of several protocols. */
  protocol: PairProtocol | null;
}

export function Matrix({ statuses: all, protocol }: MatrixProps) {
  // Neither side: more statuses than are counted.
  const statuses = all.filter(({ production, target }) => production !== null || target !== null);
  if (statuses.length === 0) return html`<p class="none">no statuses yet</p>`;
  const [rows, columns] = [statusesOf(statuses, "production"), statusesOf(statuses, "target")];
  const counts = new Map(statuses.map(({ production, target, count }) => [`${production} ${target}`, count]));
  const shown = rows.flatMap((row) => columns.map((column) => counts.get(`${row} ${column}`) ?? 0));
  const rest = all.reduce((sum, { count }) => sum + count, 0) - shown.reduce((sum, count) => sum + count, 0);
  const name = (status: Status) => statusName(status, protocol);
  return html`<div class="sideways" tabindex="0" role="region" aria-label="Status matrix">
    <table class="matrix">
      <caption>Statuses: production in rows, target in columns</caption>
      <thead><tr>
        <td class="corner">production \u2193 target \u2192</td>
        ${columns.map((column) => html`<th scope="col" key=${column}>${name(column)}</th>`)}
      </tr></thead>
      <tbody>
        ${rows.map(
          (row) => html`<tr key=${row}>
            <th scope="row">${name(row)}</th>
            ${columns.map((column) => {
              const count = counts.get(`${row} ${column}`) ?? 0;
              const look = count === 0 ? "zero" : row === column ? "same" : "other";
              return html`<td key=${column} class=${look}>${count === 0 ? "\u00b7" : number(count)}</td>`;
            })}
          </tr>`,
        )}
      </tbody>
    </table>
    ${rest > 0 && html`<p class="small">${number(rest)} requests with rarer statuses are not shown.</p>`}
  </div>`;
}
