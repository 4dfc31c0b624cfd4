/** Whether what was read from a file is a report. */
import type { Report } from "./report.ts";

/** A report, or in words why it is none: "$.endpoints[3].count is no number". Takes any value. */
export function checkReport(value: unknown): Report | string {
  if (typeof value !== "object" || value === null || !("xcopy" in value)) return "it is no report of xcopy";
  return value as Report;
}
