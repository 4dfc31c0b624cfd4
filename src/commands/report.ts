/** `xcopy report`: shows a report, or compares two. */
import { existsSync, realpathSync, writeFileSync } from "node:fs";
import { strictCommand } from "../command-line/reading/arguments.ts";
import { REPORT } from "../command-line/report.ts";
import { causeOfFile, Failure } from "../native/failure.ts";

export default strictCommand(REPORT, async (args) => {
  const [first, second] = args.get("file")!;
  const html = args.get("html")?.[0];
  if (html !== undefined) refuseSame(html, args.get("file")!);
  const { readReportFile } = await import("../report/read.ts");
  const { renderReport, renderRuns } = await import("../report/text.ts");
  const report = readReportFile(first!);
  const show = (value: object, text: () => string, page: () => string) => {
    if (html !== undefined) writePage(html, page());
    if (args.has("json")) console.log(JSON.stringify(value));
    else if (html === undefined) console.log(text());
  };
  const pages = await import("../report/page.ts");
  if (second === undefined) {
    show(
      report,
      () => renderReport(report),
      () => pages.renderPage(report, { live: false }),
    );
    return;
  }
  const { compareReports } = await import("../compare/runs.ts");
  const runs = compareReports(report, readReportFile(second));
  show(
    runs,
    () => renderRuns(runs),
    () => pages.renderRunsPage(runs),
  );
});

/** Throws a Failure (exit code 2) where the page would take the place of a report. */
function refuseSame(html: string, reports: readonly string[]): void {
  const same = reports.find(
    (path) => existsSync(path) && existsSync(html) && realpathSync(path) === realpathSync(html),
  );
  if (same === undefined) return;
  const fix = "Give the page a name of its own, such as run.html.";
  throw new Failure(`Cannot write --html "${html}": it is the report that is read`, fix, 2);
}

function writePage(path: string, page: string): void {
  try {
    writeFileSync(path, page);
  } catch (error) {
    const fix = "Name a file in a directory that can be written.";
    throw new Failure(`Cannot write --html "${path}": ${causeOfFile(error)}`, fix, 1);
  }
}
