/**
 * A reload of several runs as one: the file is read once and refused as a whole; then each run that stays reads it, those whose tables
 * are new begin, and those whose tables are gone end.
 */
import { say } from "../host/log/style.ts";
import { Failure } from "../native/failure.ts";
import { askToReload } from "./reload-socket.ts";
import type { Member, Outcome, Tables } from "./tables.ts";
import type { Together } from "./together.ts";

/** What a reload needs of the process that runs them. */
export interface Runs {
  /** Throws a Failure (exit code 2) for a file that cannot be used. */
  read(): Tables;
  state: Together;
  /** Null: it does not run now. */
  pidOf(name: string): number | null;
  /** The names of those that run, or are about to be started again. */
  present(): string[];
  begin(member: Member): void;
  end(name: string): void;
  isStopping(): boolean;
}

const UNTOUCHED = "Nothing is changed: the copies go on as before.";

/** Returns the function that reloads, one reload after the other; what became of it is logged, but for what the runs log themselves. */
export function reloadTogether(runs: Runs): () => Promise<Outcome> {
  let last: Promise<unknown> = Promise.resolve();
  return () => {
    const next = last.then(() => reloadNow(runs));
    last = next.catch(() => {});
    return next;
  };
}

async function reloadNow(runs: Runs): Promise<Outcome> {
  if (runs.isStopping())
    return { exitCode: 2, lines: ["Cannot reload: the copies end", "Start them again."] };
  let tables: Tables;
  try {
    tables = runs.read();
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    const lines = [`Cannot reload: ${error.message}`, `${error.fix} ${UNTOUCHED}`];
    say("error", lines.join("\n"));
    return { exitCode: 2, lines };
  }
  const staying = runs.present().filter((name) => tables.names.includes(name));
  const gone = runs.present().filter((name) => !tables.names.includes(name));
  const outcomes = [
    ...(await reloadAll(runs, staying)),
    ...gone.map((name) => endOne(runs, name)),
    ...(await Promise.all(tables.fresh.map((member) => beginOne(runs, member)))),
    ...tables.held.map(({ name, cause }) =>
      tell("warning", 2, `Cannot begin "${name}" now: ${cause}`, "Restart all of them for that."),
    ),
  ];
  return {
    exitCode: outcomes.find(({ exitCode }) => exitCode !== 0)?.exitCode ?? 0,
    lines: outcomes.flatMap(({ lines }) => lines),
  };
}

function tell(level: "info" | "warning", exitCode: number, ...lines: string[]): Outcome {
  say(level, lines.join("\n"));
  return { exitCode, lines };
}

/** At once for all: else it would be a reload of its own for each that has not begun when others have ended theirs. */
function reloadAll({ state, pidOf }: Runs, names: readonly string[]): Promise<Outcome[]> {
  const working = names.filter((name) => pidOf(name) !== null && state.works(name));
  for (const name of working) state.reloads(name);
  // One that starts meanwhile may have read the file before it changed.
  const starting = names.filter((name) => pidOf(name) !== null && !state.works(name));
  const later = starting.map(async (name) => {
    await state.settled(name);
    return state.works(name) ? reloadOne(name, pidOf(name)) : notStarted(name);
  });
  return Promise.all([...working.map((name) => reloadOne(name, pidOf(name))), ...later]);
}

async function reloadOne(name: string, pid: number | null): Promise<Outcome> {
  if (pid === null) return notStarted(name);
  const { exitCode, lines } = await askToReload(pid);
  return { exitCode, lines: lines.map((line) => `${name}: ${line}`) };
}

function notStarted(name: string): Outcome {
  return { exitCode: 1, lines: [`"${name}" has not started: its messages say why`] };
}

function endOne({ end }: Runs, name: string): Outcome {
  end(name);
  return tell("info", 0, `"${name}" is not in the file any more: it ends`);
}

async function beginOne({ begin, state }: Runs, member: Member): Promise<Outcome> {
  const { name } = member;
  begin(member);
  await state.settled(name);
  return state.works(name) ? tell("info", 0, `"${name}" is new in the file: it has begun`) : notStarted(name);
}
