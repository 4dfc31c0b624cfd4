/** The page: one HTML file with everything in it, of a report that is done or of a run that goes on. */
import type { Report } from "../compare/report.ts";

/**
 * The page of a report. `live`: the page of src/web, which follows the run by /events and fetches what a row opens to; else it
 * needs nothing but itself.
 */
export function renderPage(report: Report, { live }: { live: boolean }): string {
  const escaped = JSON.stringify(report).replaceAll("<", "\\u003c");
  return `<!doctype html><meta charset=utf-8><title>xcopy</title><script type=application/json data-live=${live}>${escaped}</script>`;
}
