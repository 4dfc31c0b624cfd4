/** The command line of `xcopy doctor` as data: every option of copy, so that its command line can be used as it is. */
import type { CommandSpec, Option } from "./command.ts";
import { COPY } from "./copy.ts";

const JSON_HELP =
  "print the list as one JSON object, the last line of standard output: good (false: exit code 3), failed, warnings, ok (how many), and findings, each with group (host, arrival, way, intercept), id, status (ok, warning, failed), what, found, fix and host (null: this host)";

/** The options of copy; --json is doctor's own. */
function ofCopy(options: Option[]): Option[] {
  return options.map((option) => (option.name === "json" ? { ...option, help: JSON_HELP } : option));
}

export const DOCTOR: CommandSpec = {
  name: "doctor",
  table: "copy",
  summary: "says what would keep a copy from working, and the command that mends it",
  examples: [
    ["xcopy doctor -x 80-10.0.0.2:8080", "everything on the way of this copy: takes 3 s, changes nothing"],
    ["xcopy doctor -x 80-10.0.0.2 -s 10.0.0.2", "the intercept's host too, by the intercept"],
    ["xcopy doctor -x 80-10.0.0.2 --json", "for programs; exit code 0, or 3 if something would fail"],
  ],
  groups: Object.fromEntries(Object.entries(COPY.groups).map(([title, options]) => [title, ofCopy(options)])),
  ...(COPY.refused && { refused: COPY.refused }),
};
