/** What must hold of the engine's counters at every moment. */
import { COUNTER, DROP_REASONS, type EngineCounter } from "../../src/engine/sessions/counters.ts";

/** What is wrong with the account, "" if nothing is. */
export function faultOfBooks(counters: Float64Array): string {
  const names = Object.keys(COUNTER) as EngineCounter[];
  return faultOfResult(
    Object.fromEntries(names.map((name) => [name, counters[COUNTER[name]]])) as Record<EngineCounter, number>,
  );
}

/** The same of counters by name. */
export function faultOfResult(counters: Record<EngineCounter, number>): string {
  const count = (name: EngineCounter): number => counters[name];
  for (const name of Object.keys(COUNTER) as EngineCounter[]) {
    if (count(name) < 0) return `${name} is ${count(name)}`;
  }
  const turns = count("turnsSent") + count("turnsDropped") + count("turnsPending");
  if (count("turnsCaptured") !== turns) {
    return `${count("turnsCaptured")} turns captured, but ${count("turnsSent")} sent + ${count("turnsDropped")} dropped + ${count("turnsPending")} pending`;
  }
  const reasons = Object.keys(DROP_REASONS) as (keyof typeof DROP_REASONS)[];
  const dropped = reasons.reduce((sum, reason) => sum + count(`dropped.${reason}`), 0);
  if (dropped !== count("turnsDropped"))
    return `${count("turnsDropped")} turns dropped, ${dropped} by reason`;
  const ended =
    count("closed") +
    count("resetSessions") +
    count("failed") +
    count("shed") +
    count("idle") +
    count("displaced");
  const begun = count("opened") + count("midstream");
  if (begun !== count("active") + ended) {
    return `${begun} sessions begun, but ${count("active")} active + ${ended} ended`;
  }
  if (count("turnsAnswered") > count("turnsSent")) {
    return `${count("turnsAnswered")} turns answered, ${count("turnsSent")} sent`;
  }
  if (count("turnsOutOfContext") > count("turnsSent")) {
    return `${count("turnsOutOfContext")} turns out of context, ${count("turnsSent")} sent`;
  }
  return "";
}
