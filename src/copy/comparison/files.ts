/** The files of --report: whether they can be written, before anything is touched, and writing them at the end. */
import {
  accessSync,
  constants,
  existsSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import type { Report } from "../../compare/report.ts";
import { causeOfFile, Failure } from "../../native/failure.ts";
import type { ReportFile } from "./values.ts";

/** Refuses reports that cannot be written. Throws a Failure (exit code 2). */
export function checkFiles(files: readonly ReportFile[]): void {
  for (const { path } of files) {
    const refuse = (cause: string, fix: string) =>
      new Failure(`Cannot use --report "${path}": ${cause}`, fix, 2);
    const directory = dirname(path);
    if (!statSync(directory, { throwIfNoEntry: false })?.isDirectory())
      throw refuse(`there is no directory "${directory}"`, `Make it: mkdir -p "${directory}"`);
    if (existsSync(path) && !statSync(path).isFile())
      throw refuse(
        "something else has this name",
        "Name a file, which may be there already: it is replaced.",
      );
    try {
      accessSync(dirname(placeOf(path)), constants.W_OK | constants.X_OK);
    } catch (error) {
      throw refuse(causeOfFile(error), "Name a file in a directory that xcopy may write.");
    }
  }
}

/** The file itself, where the path is a link to it. */
function placeOf(path: string): string {
  return existsSync(path) ? realpathSync(path) : path;
}

/** Writes a file so that others see all of it or what was there before. Throws what the file system says. */
function writeWhole(path: string, text: string): void {
  const place = placeOf(path);
  const draft = join(dirname(place), `.${basename(place)}.${process.pid}`);
  try {
    rmSync(draft, { force: true });
    writeFileSync(draft, text, { flag: "wx", mode: 0o644 });
    renameSync(draft, place);
  } catch (error) {
    rmSync(draft, { force: true });
    throw error;
  }
}

/** Writes the report to these files; one that cannot be written does not keep the others. Returns what went wrong. */
export async function writeFiles(files: readonly ReportFile[], report: Report): Promise<Failure[]> {
  const failures: Failure[] = [];
  for (const { path, format } of files) {
    const page = format === "html" ? await import("../../report/page.ts") : null;
    const text = page ? page.renderPage(report, { live: false }) : `${JSON.stringify(report, null, 1)}\n`;
    try {
      writeWhole(path, text);
    } catch (error) {
      const message = `Cannot write the report "${path}": ${causeOfFile(error)}`;
      failures.push(
        new Failure(
          message,
          "Check that its directory is there and its disk has room; the account below has the figures.",
          1,
        ),
      );
    }
  }
  return failures;
}
