/** The page from its top to its foot. */
import { html } from "htm/preact";
import { useEffect, useState } from "preact/hooks";
import type { Report } from "../../compare/report.ts";
import { duration, number, percent, span } from "../../runtime/figures.ts";
import { LatencyTable, Percentiles, Timelines } from "./curves.ts";
import { NotCompared } from "./detail.ts";
import { Endpoints } from "./endpoints.ts";
import { change, dateOf } from "./format.ts";
import { type Connection, follow } from "./live.ts";
import { Matrix } from "./matrix.ts";
import { isSlower } from "./order.ts";
import { SurroundingsProvider, useFollowedSurroundings } from "./surroundings.ts";

interface FigureProps {
  name: string;
  value: string;
  more: string;
  isBad?: boolean;
}

function Figure({ name, value, more, isBad = false }: FigureProps) {
  return html`<div class=${isBad ? "figure bad" : "figure"}><dt>${name}</dt><dd>${value}<span class="small">${more}</span></dd></div>`;
}

function Figures({ report }: { report: Report }) {
  const { count, outcomes, errors, different, latency, account } = report;
  const compared = outcomes.compared ?? 0;
  const { production, target } = latency;
  const lag = account["lag_us"] as { p50?: unknown; p99?: unknown } | undefined;
  const time = (key: "p50" | "p99") =>
    production.count > 0 && target.count > 0
      ? `${duration(production[key])} \u2192 ${duration(target[key])}`
      : "\u2013";
  const isAnySlower = report.endpoints.some(isSlower);
  const isBad = (key: "p50" | "p99") => isAnySlower && target[key] > production[key] * 1.1;
  return html`<dl class="key-figures">
    <${Figure} name="Requests" value=${number(count)} more=${`${percent(compared, count)} compared`} />
    <${Figure} name="Errors of the target" value=${number(errors)} more=${`${percent(errors, Math.max(compared, errors))} of those compared`} isBad=${errors > 0} />
    <${Figure} name="Different responses" value=${number(different)} more=${`${percent(different, Math.max(compared, different))}, noise left out`} isBad=${different > 0} />
    <${Figure} name="Median time" value=${time("p50")} more=${change(production.p50, target.p50)} isBad=${isBad("p50")} />
    <${Figure} name="p99 time" value=${time("p99")} more=${change(production.p99, target.p99)} isBad=${isBad("p99")} />
    ${
      typeof lag?.p99 === "number" &&
      typeof lag.p50 === "number" &&
      html`<${Figure} name="Lag" value=${duration(lag.p50)} more=${`p99 ${duration(lag.p99)}`} />`
    }
  </dl>`;
}

const CONNECTIONS: Record<Connection, string> = {
  connecting: "connecting \u2026",
  open: "live",
  lost: "connection lost, trying again \u2026",
  over: "the run is over",
};

function Head({ report, connection }: { report: Report; connection: Connection | null }) {
  const { verdict, services, targets, began, seconds } = report;
  const judged = targets.filter(({ isNoise }) => !isNoise).map(({ label }) => label);
  const noise = targets.filter(({ isNoise }) => isNoise).map(({ label }) => label);
  const look = report.outcomes.compared === undefined ? "unknown" : verdict.isWorse ? "bad" : "good";
  const chip = { unknown: "Nothing compared", bad: "\u25b2 Worse", good: "\u2713 Not worse" }[look];
  return html`<header>
    <p class="what">
      <strong>xcopy</strong> <span>${services.join(", ")} \u2192 ${judged.join(", ")}</span>
      ${noise.length > 0 && html` <span>noise: ${noise.join(", ")} (old version)</span>`}
      <span class="when">${dateOf(began)}, ${span(seconds * 1e6)}</span>
      ${connection && html` <span class=${`connection ${connection}`} role="status">${CONNECTIONS[connection]}</span>`}
    </p>
    <p class=${`chip ${look}`}>${chip}</p>
    <h1>${verdict.text}</h1>
    ${
      verdict.broken.length > 0 &&
      html`<ul class="broken">${verdict.broken.map(
        ({ bound, found }, index) => html`<li key=${index}><code>${bound}</code> broke: ${found}</li>`,
      )}</ul>`
    }
  </header>`;
}

/** An object of objects as rows: `turns.sent`, 10. */
function rowsOf(value: unknown, path = ""): [path: string, value: string][] {
  if (value === null || typeof value !== "object")
    return [[path, typeof value === "number" ? number(value) : String(value)]];
  return Object.entries(value).flatMap(([key, inner]) => rowsOf(inner, path === "" ? key : `${path}.${key}`));
}

function Account({ account }: { account: Report["account"] }) {
  const rows = rowsOf(account);
  if (rows.length === 0) return null;
  return html`<details class="account">
    <summary>Account of the copy: what was captured, sent and lost</summary>
    <table class="figures"><tbody>
      ${rows.map(([path, value]) => html`<tr key=${path}><th scope="row">${path}</th><td>${value}</td></tr>`)}
    </tbody></table>
  </details>`;
}

function Foot({ report }: { report: Report }) {
  const { xcopy, began, seconds, mode, body, isRunning } = report;
  return html`<footer>
    <p>xcopy ${xcopy.version}, mode ${mode}, ${body ? "bodies compared" : "heads compared, not bodies"}.
      ${" "}Began ${dateOf(began)}, ${isRunning ? "running for" : "ran"} ${span(seconds * 1e6)}.
      ${" "}Secrets are masked. Times of production are as captured on this host.</p>
  </footer>`;
}

export function App({ first, isLive }: { first: Report; isLive: boolean }) {
  const [report, setReport] = useState(first);
  const [connection, setConnection] = useState<Connection>("connecting");
  const surroundings = useFollowedSurroundings(isLive, connection === "over");
  useEffect(() => (isLive ? follow(setReport, setConnection) : undefined), []);
  return html`<${SurroundingsProvider} value=${surroundings}>
    <${Head} report=${report} connection=${isLive ? connection : null} />
    <main>
      <${Figures} report=${report} />
      <section class="charts" aria-label="Charts">
        <${Timelines} report=${report} />
        <${Percentiles} of=${report.latency} title="Time to the last byte, by percentile" />
        <div class="block"><${LatencyTable} of=${report.latency} caption="Time to the last byte, all endpoints" /></div>
        <div class="block"><${Matrix} statuses=${report.statuses} protocol=${null} /></div>
      </section>
      <${Endpoints} endpoints=${report.endpoints} hasServices=${report.services.length > 1} />
      <section aria-labelledby="not-compared">
        <h2 id="not-compared">Not compared, and why</h2>
        <${NotCompared} outcomes=${report.outcomes} count=${report.count} />
        ${
          (report.notLookedInto ?? 0) > 0 &&
          html`<p class="small">Of ${number(report.notLookedInto ?? 0)} requests the content differs and was not looked into: there was too much of it, or it was not kept.</p>`
        }
      </section>
      <${Account} account=${report.account} />
    </main>
    <${Foot} report=${report} />
  <//>`;
}
