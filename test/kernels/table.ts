/** Tables in Markdown of what works where, for people and for docs/kernels.md. */
import type { MachineOutcome } from "./machine.ts";

/** One field: "works", why it is refused, or "FAILED". */
export function fieldOf(name: string, { tests, remarks }: MachineOutcome): string {
  const found = tests.find((test) => test.name === name);
  if (!found) return "did not run";
  if (found.failure !== null) return "FAILED";
  return remarks.get(name.split(" > ").at(-1)!) ?? "works";
}

/** A line for each of `rows`, a column for each outcome. */
export function renderTable(rows: string[], columns: { title: string; outcome: MachineOutcome }[]): string {
  const line = (fields: string[]) => `| ${fields.join(" | ")} |`;
  return [
    line(["", ...columns.map(({ title }) => title)]),
    line(["---", ...columns.map(() => "---")]),
    ...rows.map((row) => line([row, ...columns.map(({ outcome }) => fieldOf(row, outcome))])),
  ].join("\n");
}
