/** One example: the request, and both answers side by side. */
import { html } from "htm/preact";
import type { Example, MessageText } from "../../compare/report.ts";
import { duration } from "../../runtime/figures.ts";
import { dateOf, KINDS } from "./format.ts";
import { type LinePair, linesOf, pairLines, splitLines } from "./lines.ts";
import { useSurroundings } from "./surroundings.ts";

/** Lines shown at most: a longer message is in the file. */
const MOST_LINES = 400;

/** One side of a pair of lines; what the other side does not have is marked. */
function Side({ pair, side }: { pair: LinePair; side: "production" | "target" }) {
  const line = pair[side];
  const other = pair[side === "production" ? "target" : "production"];
  if (line === null) return html`<div class=${`line absent ${side}`}></div>`;
  if (pair.isEqual) return html`<div class=${`line equal ${side}`}>${line}</div>`;
  const mark = side === "production" ? "del" : "ins";
  if (other === null) return html`<div class=${`line differs ${side}`}><${mark}>${line}<//></div>`;
  const { before, middles, behind } = splitLines(line, other);
  const middle = middles[0] === "" ? "" : html`<${mark}>${middles[0]}<//>`;
  return html`<div class=${`line differs ${side}`}>${before}${middle}${behind}</div>`;
}

function Answers({ production, target }: { production: MessageText | null; target: MessageText | null }) {
  const pairs = pairLines(production ? linesOf(production) : [], target ? linesOf(target) : []);
  return html`<div class="answers">
    ${pairs.slice(0, MOST_LINES).map(
      (pair, index) => html`<${Side} key=${`p${index}`} pair=${pair} side="production" />
        <${Side} key=${`t${index}`} pair=${pair} side="target" />`,
    )}
    ${pairs.length > MOST_LINES && html`<p class="small">${pairs.length - MOST_LINES} more lines are not shown.</p>`}
  </div>`;
}

function answerTitle(name: string, answer: MessageText | null, us: number | null): string {
  const time = us === null ? "" : `, ${duration(us)}`;
  return answer ? `${name}${time}` : `${name}: no response${time}`;
}

export function ExampleView({ example, isFirst }: { example: Example; isFirst: boolean }) {
  const { isPrinting } = useSurroundings();
  const { kind, where, at, request, production, target, latency } = example;
  return html`<details class="example" open=${isFirst || isPrinting}>
    <summary><strong>${KINDS[kind] ?? kind}</strong> <code>${where}</code> <span class="small">${dateOf(at)}</span></summary>
    <p class="side-title">Request</p>
    <pre class="message" tabindex="0" aria-label="Request">${linesOf(request).join("\n")}</pre>
    <div class="answer-titles" aria-hidden="true">
      <p class="side-title production">${answerTitle("Production", production, latency.production)}</p>
      <p class="side-title target">${answerTitle("Target", target, latency.target)}</p>
    </div>
    <div role="group" aria-label=${`${answerTitle("Production", production, latency.production)}; ${answerTitle("Target", target, latency.target)}`}>
      <${Answers} production=${production} target=${target} />
    </div>
  </details>`;
}
