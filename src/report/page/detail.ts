/** What a row of the table of endpoints opens to. */
import { html } from "htm/preact";
import { useEffect, useState } from "preact/hooks";
import type { Difference, Endpoint, Sizes } from "../../compare/report.ts";
import type { Outcome } from "../../pairs/pair.ts";
import { bytes, duration, number, percent } from "../../runtime/figures.ts";
import { LatencyTable, Percentiles } from "./curves.ts";
import { ExampleView } from "./example.ts";
import { change, KINDS, meaningOf } from "./format.ts";
import { Matrix } from "./matrix.ts";
import { useSurroundings } from "./surroundings.ts";

/** ms between two looks of an open row at its endpoint, while the run goes on. */
const INTERVAL = 2000;

/** The endpoint with its curves and examples: as it is in a file; of a run, asked for. */
function useWhole(endpoint: Endpoint): Endpoint {
  const { isLive, isOver } = useSurroundings();
  const [whole, setWhole] = useState<Endpoint>(endpoint);
  const { service, protocol, method, name } = endpoint;
  useEffect(() => {
    if (!isLive || isOver) return;
    const abort = new AbortController();
    const query = new URLSearchParams({ service, protocol, method, name });
    const look = async () => {
      try {
        const response = await fetch(`/api/endpoint?${query}`, { signal: abort.signal });
        if (response.ok) setWhole((await response.json()) as Endpoint);
      } catch {
        // The run is over, or the next look finds it.
      }
    };
    look();
    const timer = setInterval(look, INTERVAL);
    return () => {
      clearInterval(timer);
      abort.abort();
    };
  }, [isLive, isOver, service, protocol, method, name]);
  return isLive ? whole : endpoint;
}

const share = ({ count, of }: { count: number; of: number }) => `${number(count)} (${percent(count, of)})`;

function DifferenceRow({ difference, hasNoise }: { difference: Difference; hasNoise: boolean }) {
  const { kind, where, noise, sample, isNoise } = difference;
  return html`<tr class=${isNoise ? "noise" : ""}>
    <th scope="row"><span class="kind">${KINDS[kind] ?? kind}</span> <code>${where}</code></th>
    <td class="number">${share(difference)}</td>
    ${hasNoise && html`<td class="number old">${noise ? share(noise) : "\u2013"}</td>`}
    <td class="sample">${
      sample &&
      html`<code class="production">${sample.production}</code> <span aria-label="became">\u2192</span> <code class="target">${sample.target}</code>`
    }</td>
  </tr>`;
}

function DifferenceTable({
  differences,
  hasNoise,
  caption,
}: {
  differences: Difference[];
  hasNoise: boolean;
  caption: string;
}) {
  return html`<table class="differences">
    <caption>${caption}</caption>
    <thead><tr>
      <th scope="col">What</th><th scope="col" class="number">Requests</th>
      ${hasNoise && html`<th scope="col" class="number">With the old version</th>`}
      <th scope="col">For example</th>
    </tr></thead>
    <tbody>${differences.map(
      (difference) =>
        html`<${DifferenceRow} key=${`${difference.kind} ${difference.where}`} difference=${difference} hasNoise=${hasNoise} />`,
    )}</tbody>
  </table>`;
}

function Differences({ differences }: { differences: Difference[] }) {
  const { isPrinting } = useSurroundings();
  const hasNoise = differences.some(({ noise }) => noise !== null);
  const real = differences.filter(({ isNoise }) => !isNoise);
  const noise = differences.filter(({ isNoise }) => isNoise);
  const learned = noise.filter(({ because }) => because === "learned").length;
  const reasons = [
    noise.length > learned ? `${noise.length - learned} as frequent with the old version` : "",
    learned > 0 ? `${learned} that differ in every request` : "",
  ];
  return html`<section class="block">
    <h4>Differences</h4>
    ${
      real.length === 0
        ? html`<p class="none">none that counts</p>`
        : html`<div class="sideways" tabindex="0" role="region" aria-label="Differences">
            <${DifferenceTable} differences=${real} hasNoise=${hasNoise} caption="What differs, and in how many requests" />
          </div>`
    }
    ${
      noise.length > 0 &&
      html`<details class="noise" open=${isPrinting}>
        <summary>Noise: ${reasons.filter((reason) => reason !== "").join(", ")}</summary>
        <div class="sideways" tabindex="0" role="region" aria-label="Noise">
          <${DifferenceTable} differences=${noise} hasNoise=${hasNoise} caption="Left out of the verdict" />
        </div>
      </details>`
    }
  </section>`;
}

const sizeOf = ({ count, mean, max }: Sizes) =>
  count > 0 ? `${bytes(mean)} on average, at most ${bytes(max)}` : "not known";

/** How the requests ended that were not compared. */
export function NotCompared({ outcomes, count }: { outcomes: Endpoint["outcomes"]; count: number }) {
  const others = (Object.entries(outcomes) as [Outcome, number][]).filter(
    ([outcome, count]) => outcome !== "compared" && count > 0,
  );
  if (others.length === 0) return html`<p class="none">every request was compared</p>`;
  return html`<ul class="outcomes">
    ${others.map(
      ([outcome, some]) =>
        html`<li key=${outcome}><strong>${number(some)}</strong> <span class="small">(${percent(some, count)})</span> ${meaningOf(outcome)}</li>`,
    )}
  </ul>`;
}

export function Detail({ endpoint }: { endpoint: Endpoint }) {
  const { statuses, protocol, latency, firstByte, sizes, differences, examples, outcomes, count } =
    useWhole(endpoint);
  return html`<div class="detail">
    <${Differences} differences=${differences} />
    <div class="columns">
      <section class="block">
        <${Percentiles} of=${latency} title="Time to the last byte, by percentile" />
      </section>
      <section class="block">
        <${LatencyTable} of=${latency} caption="Time to the last byte" />
        <p class="small">First byte, p50: ${
          firstByte.production.count > 0 && firstByte.target.count > 0
            ? `${duration(firstByte.production.p50)} and ${duration(firstByte.target.p50)}, ${change(firstByte.production.p50, firstByte.target.p50)}`
            : "not known"
        }</p>
      </section>
      <section class="block">
        <${Matrix} statuses=${statuses} protocol=${protocol} />
        <dl class="sizes">
          <dt>Content of production</dt><dd>${sizeOf(sizes.production)}</dd>
          <dt>Content of the target</dt><dd>${sizeOf(sizes.target)}</dd>
          <dt>Not compared</dt><dd><${NotCompared} outcomes=${outcomes} count=${count} /></dd>
        </dl>
      </section>
    </div>
    ${
      examples.length > 0 &&
      html`<section class="block"><h4>Examples</h4>
        ${examples.map(
          (example, index) =>
            html`<${ExampleView} key=${`${example.kind} ${example.where} ${index}`} example=${example} isFirst=${index === 0} />`,
        )}
      </section>`
    }
  </div>`;
}
