/** The command line of `xcopy doctor` as data: every option of copy, so that its command line can be used as it is. */
import type { CommandSpec, Option } from "./command.ts";
import { KEY_PLACES } from "./common.ts";
import { COPY } from "./copy.ts";

/** Its own, in place of copy's. */
const JSON_OPTION: Option = {
  name: "json",
  common: true,
  help: "print the list as JSON, the last line of stdout",
  details:
    "It is one object. It has good (false: exit code 3), failed, warnings, ok (how many), and findings, each with group (host, arrival, way, intercept), id, status (ok, warning, failed), what, found, fix and host (null: this host)",
};

/** Those of copy that say which copy is meant: `-h` shows no others. */
const COMMON = ["transfer", "input", "filter", "intercepts", "config"];

/** The options of copy; --json is doctor's own. */
function ofCopy(options: Option[]): Option[] {
  return options.map(({ common, ...option }) => {
    if (option.name === "json") return JSON_OPTION;
    return common && COMMON.includes(option.name) ? { ...option, common } : option;
  });
}

export const DOCTOR: CommandSpec = {
  name: "doctor",
  table: "copy",
  summary: "says what would keep a copy from working, and how to mend it",
  examples: [
    [
      "xcopy doctor -x 80-10.0.0.2:8080",
      "everything on the way of this copy; takes 3 s and leaves nothing behind",
    ],
    ["xcopy doctor -x 80-10.0.0.2 -s 10.0.0.2", "the intercept's host too, as the intercept sees it"],
    ["xcopy doctor -x 80-10.0.0.2 --json", "for programs; exit code 0, or 3 if something would fail"],
  ],
  groups: Object.fromEntries(Object.entries(COPY.groups).map(([title, options]) => [title, ofCopy(options)])),
  manual: {
    description: [
      "xcopy doctor takes the command line of an xcopy copy that does not work, or is about to be started, and looks at everything on its way: this host, what arrives at the service, the way to the target, and with -s the host of each intercept. Each finding is ok, a warning or failed; what is not ok comes with the command that mends it. It leaves nothing behind: eBPF programs are loaded and unloaded again, and what catches the responses to its own tries is attached for as long as these take, as at a start. To a target it sends what a start sends, and besides two connections, a TLS greeting and a few UDP datagrams; to production it sends nothing.",
    ],
    exits: [0, 2, 3, 4],
    environment: [KEY_PLACES.environment],
    files: [KEY_PLACES.file],
  },
  ...(COPY.refused && { refused: COPY.refused }),
};
