/** The page of two runs: what is worse in the new one, and what is better. */
import { html } from "htm/preact";
import { useState } from "preact/hooks";
import type { Difference } from "../../compare/report.ts";
import type { BothRuns, EndpointOfRuns, RunComparison } from "../../compare/runs.ts";
import { number, percent, span } from "../../runtime/figures.ts";
import { change, dateOf, KINDS } from "./format.ts";

const share = (value: number | null) => (value === null ? "\u2013" : percent(value, 1));
const ratio = (value: number | null) => (value === null ? "\u2013" : change(1, value));
const count = (value: number | null) => (value === null ? "\u2013" : number(value));

const COLUMNS: [
  key: "count" | "errors" | "different" | "p50" | "p99",
  title: string,
  format: (value: number | null) => string,
][] = [
  ["count", "Requests", count],
  ["errors", "Errors", share],
  ["different", "Different", share],
  ["p50", "p50 to production", ratio],
  ["p99", "p99 to production", ratio],
];

function Both({ of, format }: { of: BothRuns; format: (value: number | null) => string }) {
  const isWorse = of.old !== null && of.new !== null && of.new > of.old;
  return html`<span class="zero">${format(of.old)}</span> \u2192 <span class=${isWorse ? "strong" : ""}>${format(of.new)}</span>`;
}

function Changes({ differences, sign, word }: { differences: Difference[]; sign: string; word: string }) {
  return differences.map(
    ({ kind, where, count, of, sample }) => html`<li key=${`${kind} ${where}`} class=${word}>
      ${sign} ${KINDS[kind] ?? kind} <code>${where}</code> <span class="small">${word}, ${number(count)} of ${number(of)}</span>
      ${sample && html` <code class="production">${sample.production}</code> \u2192 <code class="target">${sample.target}</code>`}
    </li>`,
  );
}

function Row({ endpoint }: { endpoint: EndpointOfRuns }) {
  const { method, name, worse, appeared, gone } = endpoint;
  return html`<tr class="row">
      <th scope="row" class="plain"><span class="method">${method}</span> <span class="name">${name}</span>
        ${
          appeared.length + gone.length > 0 &&
          html`<ul class="outcomes"><${Changes} differences=${appeared} sign="+" word="new" /><${Changes} differences=${gone} sign="\u2212" word="gone" /></ul>`
        }
      </th>
      ${COLUMNS.map(([key, , format]) => html`<td key=${key} class=${`both number ${key === "count" || key === "p50" ? "middle" : ""}`}><${Both} of=${endpoint[key]} format=${format} /></td>`)}
      <td class="number middle"><span class=${worse > 0 ? "worse" : worse < 0 ? "better" : "zero"}>${worse === 0 ? "0" : Number(worse.toPrecision(3))}</span></td>
    </tr>`;
}

export function Runs({ runs }: { runs: RunComparison }) {
  const { verdict, endpoints } = runs;
  const [query, setQuery] = useState("");
  const shown = endpoints.filter(({ method, name }) =>
    `${method} ${name}`.toLowerCase().includes(query.toLowerCase()),
  );
  const run = (name: string, { began, seconds, verdict, count }: RunComparison["old"]) =>
    html`<div class="figure"><dt>${name}: ${dateOf(began)}, ${span(seconds * 1e6)}, ${number(count)} requests</dt><dd class="sentence">${verdict}</dd></div>`;
  return html`
    <header>
      <p class="what"><strong>xcopy</strong> <span>two runs compared</span></p>
      <p class=${`chip ${verdict.isWorse ? "bad" : "good"}`}>${verdict.isWorse ? "\u25b2 Worse than before" : "\u2713 Not worse than before"}</p>
      <h1>${verdict.text}</h1>
      <dl class="key-figures two">${run("Old", runs.old)}${run("New", runs.new)}</dl>
    </header>
    <main>
      <section aria-labelledby="endpoints">
        <h2 id="endpoints">Endpoints <span class="small">${number(endpoints.length)}</span></h2>
        <div class="controls"><label class="search">Filter <input type="search" value=${query}
          onInput=${(event: Event) => setQuery((event.target as HTMLInputElement).value)} /></label></div>
        <table class="main">
          <caption class="hidden">Endpoints, those first that became worse; each figure as it was and as it is</caption>
          <thead><tr><th scope="col" class="head">Endpoint</th>
            ${COLUMNS.map(([key, title]) => html`<th scope="col" key=${key} class=${`both head number ${key === "count" || key === "p50" ? "middle" : ""}`}>${title}</th>`)}
            <th scope="col" class="head number middle" aria-sort="descending">Worse</th></tr></thead>
          <tbody>${shown.map((endpoint) => html`<${Row} key=${`${endpoint.service} ${endpoint.method} ${endpoint.name}`} endpoint=${endpoint} />`)}
            ${shown.length === 0 && html`<tr><td colspan="7" class="none">no endpoint is like that</td></tr>`}
          </tbody>
        </table>
      </section>
    </main>
    <footer><p>Times are those of the target relative to production in the same run: +40 % is 40 % slower than production was then.</p></footer>
  `;
}
