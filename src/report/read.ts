/** Reads a report that `--report FILE.json` wrote. */
import { type Report, VERSION } from "../compare/report.ts";
import { Failure } from "../native/failure.ts";

/**
 * The report in the text of the file `path`. Throws a Failure (exit code 2) where it is none: another version, cut off, or with
 * values that no xcopy writes.
 */
export function readReport(text: string, path: string): Report {
  const report = JSON.parse(text) as Report;
  if (report.xcopy.report !== VERSION) {
    throw new Failure(
      `Cannot read "${path}": a report of version ${report.xcopy.report}`,
      "Make it anew.",
      2,
    );
  }
  return report;
}
