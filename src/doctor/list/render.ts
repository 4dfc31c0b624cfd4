/** The list of `xcopy doctor`, for a terminal and for programs. */
import type { FindingStatus } from "../finding.ts";
import type { Group, GroupedFinding } from "./run.ts";

const TITLES: Record<Group, string> = {
  host: "This host",
  arrival: "What arrives here",
  way: "The way to the target",
  intercept: "The intercepts",
};

/** SGR codes: green, yellow, red. */
const COLOURS: Record<FindingStatus, number> = { ok: 32, warning: 33, failed: 31 };
const WIDEST = Math.max(...Object.keys(COLOURS).map((status) => status.length));
/** Columns that the second column takes at most. */
const MOST = 44;

/** Whether the copy would start and copy: nothing failed. */
export function isGood(findings: readonly GroupedFinding[]): boolean {
  return findings.every(({ status }) => status !== "failed");
}

function countOf(findings: readonly GroupedFinding[], status: FindingStatus): number {
  return findings.filter((finding) => finding.status === status).length;
}

function sumUp(findings: readonly GroupedFinding[]): string {
  const [failed, warnings] = [countOf(findings, "failed"), countOf(findings, "warning")];
  const counts = `${failed} failed, ${warnings} ${warnings === 1 ? "warning" : "warnings"}, ${countOf(findings, "ok")} ok`;
  const verdict = failed > 0 ? "the copy would fail" : "nothing stands in the way of the copy";
  return `${verdict}: ${counts}`;
}

/** Aligned columns under a heading for each place, with a command below what is to be mended. `colours`: for a terminal. */
export function renderList(findings: readonly GroupedFinding[], colours: boolean): string {
  const paint = (status: FindingStatus) => {
    const text = status.padEnd(WIDEST);
    return colours ? `\x1b[${COLOURS[status]}m${text}\x1b[0m` : text;
  };
  const left = Math.min(MOST, Math.max(0, ...findings.map(({ what }) => what.length)));
  const indent = " ".repeat(2 + WIDEST + 2);
  const lines: string[] = [];
  let heading = "";
  for (const { group, host, status, what, found, fix } of findings) {
    const title = host === null ? TITLES[group] : `On the intercept's host ${host}`;
    if (title !== heading) lines.push(...(lines.length > 0 ? [""] : []), title);
    heading = title;
    lines.push(`  ${paint(status)}  ${what.padEnd(left)}  ${found}`);
    if (fix !== null) lines.push(`${indent}-> ${fix}`);
  }
  return [...lines, "", sumUp(findings)].join("\n");
}

/**
 * One JSON object: `good` (false where the exit code is 3), the numbers of findings that are `failed`, `warnings` and `ok`, and
 * `findings`, each with the fields of a Finding (src/doctor/finding.ts) and its `group`: host, arrival, way or intercept.
 */
export function renderJson(findings: readonly GroupedFinding[]): string {
  return JSON.stringify({
    good: isGood(findings),
    failed: countOf(findings, "failed"),
    warnings: countOf(findings, "warning"),
    ok: countOf(findings, "ok"),
    findings,
  });
}
