/** Reads a report that `--report FILE.json` wrote. */
import { readFileSync, statSync } from "node:fs";
import { checkReport } from "../compare/check.ts";
import { type Report, VERSION } from "../compare/report.ts";
import { causeOfFile, Failure } from "../native/failure.ts";
import { printable } from "../runtime/printable.ts";

/** Bytes of a file that is read: 1,000 endpoints with all examples are less. */
const MOST_BYTES = 256 * 1024 * 1024;

function refuse(path: string, cause: string, fix: string): Failure {
  return new Failure(`Cannot read the report "${path}": ${cause}`, fix, 2);
}

/**
 * The report in the text of the file `path`. Throws a Failure (exit code 2) where it is none: another version, cut off, or with
 * values that no xcopy writes.
 */
export function readReport(text: string, path: string): Report {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    const cause = text.trim() === "" ? "it is empty" : "it is not JSON, or a part of it is missing";
    throw refuse(path, cause, "Give the file that xcopy copy --report FILE.json wrote, all of it.");
  }
  const found = (value as { xcopy?: { report?: unknown } } | null)?.xcopy?.report;
  if (typeof found === "number" && found !== VERSION) {
    const fix = found > VERSION ? "Read it with the xcopy that wrote it, or a newer one." : "Compare anew.";
    throw refuse(path, `it has version ${found} of the format, this xcopy reads ${VERSION}`, fix);
  }
  const report = checkReport(value);
  if (typeof report !== "string") return report;
  throw refuse(path, printable(report), "Give a file that xcopy copy --report FILE.json wrote.");
}

/** The report in a file. Throws a Failure (exit code 2). */
export function readReportFile(path: string): Report {
  let text: string;
  try {
    const { size } = statSync(path);
    if (size > MOST_BYTES) throw refuse(path, `${size} bytes are no report`, "Give a report of xcopy.");
    text = readFileSync(path, "utf8");
  } catch (error) {
    if (error instanceof Failure) throw error;
    throw refuse(path, causeOfFile(error), "Name a file that can be read.");
  }
  return readReport(text, path);
}
