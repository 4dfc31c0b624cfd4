/** The line that points to `xcopy doctor` where a copy cannot start. */
import { optionsOf } from "../command.ts";
import { DOCTOR } from "../doctor.ts";
import type { Settings } from "./origin.ts";

/** Options that say nothing about the way of a copy, or whose values are secret. */
const LEFT_OUT = [
  ...[
    "user",
    "json",
    "stats-interval",
    "log",
    "log-format",
    "daemon",
    "pid-file",
    "force",
    "dry-run",
    "run-as",
  ],
  ...["report", "web", "web-token"],
];

/** A word as a shell reads it back. */
function quoted(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

/** The command line of doctor for a copy with these options of its command line: of those from elsewhere it hears as the copy does. */
export function doctorFor(settings: Settings): string {
  const options = optionsOf(DOCTOR).filter(({ name }) => !LEFT_OUT.includes(name));
  const words = options.flatMap(({ name, short, value }) => {
    const own = (settings.get(name) ?? []).filter(({ origin }) => origin.source === "command line");
    const written = short ? `-${short}` : `--${name}`;
    return own.flatMap(({ text }) => (value === undefined ? [written] : [written, quoted(text)]));
  });
  return ["xcopy doctor", ...words].join(" ");
}

/** The last line where a copy could not start. */
export function doctorLine(settings: Settings): string {
  return `"${doctorFor(settings)}" looks at everything on the way`;
}
