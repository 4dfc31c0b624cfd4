/** The page: one HTML file with everything in it, of a report that is done or of a run that goes on. */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";
import script from "../../dist/page/script.txt" with { type: "file" };
import style from "../../dist/page/style.txt" with { type: "file" };
import type { Distribution, Endpoint, Report } from "../compare/report.ts";
import type { RunComparison } from "../compare/runs.ts";

/** What stands around a report: read and hashed once. */
interface Frame {
  script: string;
  style: string;
  /** For Content-Security-Policy: script and style by their hashes. */
  sources: string;
}

let known: Frame | null = null;

function frame(): Frame {
  if (known) return known;
  const [code, look] = [readFileSync(script, "utf8"), readFileSync(style, "utf8")];
  const hash = (text: string) => `'sha256-${createHash("sha256").update(text).digest("base64")}'`;
  known = { script: code, style: look, sources: `script-src ${hash(code)}; style-src ${hash(look)}` };
  return known;
}

/** What the page may do: run its own script, and as a live page ask the server that it came from. */
export function policyOf({ live }: { live: boolean }): string {
  const connect = live ? " connect-src 'self';" : "";
  return `default-src 'none'; ${frame().sources}; img-src data:;${connect} base-uri 'none'; form-action 'none'`;
}

function escaped(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}

interface Contents {
  /** Which of its faces the page shows. */
  kind: "report" | "live" | "runs";
  title: string;
  /** What stands there until the script has drawn the rest, or for good where it may not run. */
  verdict: string;
  /** JSON. */
  data: string;
}

/** What is in it is compressed and in base64, so that nothing of it can be markup. */
function renderContents({ kind, title, verdict, data }: Contents): string {
  const { script, style } = frame();
  return `<!doctype html>
<html lang="en" data-kind="${kind}">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${escaped(policyOf({ live: kind === "live" }))}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="referrer" content="no-referrer">
<title>xcopy: ${escaped(title)}</title>
<link rel="icon" href="data:,">
<style>${style}</style>
</head>
<body>
<div id="page"><h1>${escaped(verdict)}</h1><noscript>The rest of this report is drawn by a script that is in this file; scripts are switched off here.</noscript></div>
<script type="application/octet-stream" id="data">${gzipSync(data, { level: 9 }).toString("base64")}</script>
<script type="module">${script}</script>
</body>
</html>
`;
}

/**
 * The page of a report. `live`: the page of src/web, which follows the run by /events and fetches what a row opens to; else it
 * needs nothing but itself.
 */
export function renderPage(report: Report, { live }: { live: boolean }): string {
  return renderContents({
    kind: live ? "live" : "report",
    title: titleOf(report),
    verdict: report.verdict.text,
    data: JSON.stringify(report, drawn),
  });
}

/** The page of two runs compared. */
export function renderRunsPage(runs: RunComparison): string {
  const { text } = runs.verdict;
  return renderContents({
    kind: "runs",
    title: "two runs compared",
    verdict: text,
    data: JSON.stringify(runs),
  });
}

/** Of the curves what is drawn: three digits, and of the first byte none. For JSON.stringify. */
function drawn(key: string, value: unknown): unknown {
  if (key === "firstByte") return withoutCurves(value as Endpoint["firstByte"]);
  if (key !== "curve") return value;
  return (value as Distribution["curve"]).map(([percentile, us]) => [percentile, Number(us.toPrecision(3))]);
}

function withoutCurves({ production, target }: Endpoint["firstByte"]): Endpoint["firstByte"] {
  return { production: { ...production, curve: [] }, target: { ...target, curve: [] } };
}

function titleOf({ services, targets }: Report): string {
  const judged = targets.filter(({ isNoise }) => !isNoise).map(({ label }) => label);
  return `${services.join(", ")} \u2192 ${judged.join(", ")}`;
}
