/** Other xcopies of this host: those that run, and what killed ones have left. */
import { readFileSync } from "node:fs";
import { hasEnded } from "../../capture/clsact.ts";
import { lingeringGuards } from "../../host/guard.ts";
import { DIRECTORY, namesIn } from "../../native/run-directory.ts";
import { type Finding, findingsAbout } from "../finding.ts";

/** What an xcopy notes in its directory, by the name of the file, which has its process id. */
const RECORDS: [name: RegExp, what: string][] = [
  [/^ports-(\d+)\.json$/, "ports in use"],
  [/^(\d+)\.json$/, "eBPF programs (clsact)"],
  [/^rules-(\d+)\.json$/, "netfilter rules"],
];

interface Noted {
  pid: number;
  what: string;
  isOver: boolean;
}

/** What the files of a directory say; unreadable ones are left out. */
function notedIn(directory: string): Noted[] {
  return namesIn(directory).flatMap((name) =>
    RECORDS.flatMap(([pattern, what]): Noted[] => {
      const pid = Number(pattern.exec(name)?.[1] ?? Number.NaN);
      if (Number.isNaN(pid)) return [];
      try {
        const { startTime } = JSON.parse(readFileSync(`${directory}/${name}`, "utf8"));
        return [{ pid, what, isOver: hasEnded(pid, startTime) }];
      } catch {
        return [];
      }
    }),
  );
}

/** Those that run are named; leftovers are what the next start, or `xcopy cleanup`, removes. */
export function checkOthers(_subject: unknown, directory = DIRECTORY): Finding[] {
  const noted = notedIn(directory);
  const others = [...new Set(noted.filter(({ isOver }) => !isOver).map(({ pid }) => pid))];
  const running = findingsAbout("host.other_xcopies", "other xcopies").ok(
    others.length > 0 ? `running: process ${others.join(", ")}` : "none",
  );
  const about = findingsAbout("host.leftovers", "leftovers of killed ones");
  const left = noted.filter(({ isOver }) => isOver).map(({ pid, what }) => `${what} of process ${pid}`);
  const guards = directory === DIRECTORY ? lingeringGuards() : [];
  const all = [...left, ...guards.map(({ intercept }) => `the guard of process ${intercept.pid}`)];
  return [
    ...running,
    ...(all.length > 0 ? about.warning(all.join(", "), "xcopy cleanup") : about.ok("none")),
  ];
}
