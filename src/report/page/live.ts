/** Follows a run by server-sent events. */
import type { Report } from "../../compare/report.ts";
import { applyChange, type Change } from "./changes.ts";

export type Connection = "connecting" | "open" | "lost" | "over";

/** ms without a word after which a connection counts as lost. */
const SILENCE = 6000;

/** Calls `show` with each state of the report until the run is over. Returns what ends it. */
export function follow(show: (report: Report) => void, tell: (connection: Connection) => void): () => void {
  const events = new EventSource("/events");
  let report: Report | null = null;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const heard = () => {
    clearTimeout(timer);
    timer = setTimeout(() => tell("lost"), SILENCE);
    tell("open");
  };
  const take = (next: Report) => {
    report = next;
    heard();
    show(next);
    if (next.isRunning) return;
    clearTimeout(timer);
    events.close();
    tell("over");
  };
  events.addEventListener("report", (event) => take(JSON.parse(event.data) as Report));
  events.addEventListener("change", (event) => {
    if (report) take(applyChange(report, JSON.parse(event.data) as Change));
  });
  events.addEventListener("error", () => tell("lost"));
  return () => {
    clearTimeout(timer);
    events.close();
  };
}
