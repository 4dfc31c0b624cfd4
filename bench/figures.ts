/** The figures of a measurement: medians, units, and the table that is printed. */

export interface Figure {
  name: string;
  /** With its unit. */
  value: string;
  /** The least and the most of the runs. */
  spread?: string;
  /** The same without xcopy, or another value to compare with; and value / without. */
  without?: string;
  ratio?: number;
  /** What the value, or the ratio, should be at most. */
  aim?: string;
}

export function median(values: number[]): number {
  const sorted = values.toSorted((one, other) => one - other);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** "3 to 5 ns". */
export function spread(values: number[], show: (value: number) => string): string {
  const [least, most] = [Math.min(...values), Math.max(...values)].map(show) as [string, string];
  const unit = /[^0-9.,]*$/.exec(most)![0];
  return `${least.endsWith(unit) ? least.slice(0, least.length - unit.length) : least} to ${most}`;
}

export function milliseconds(us: number): string {
  return `${(us / 1000).toFixed(2)} ms`;
}

export function microseconds(seconds: number): string {
  return `${(seconds * 1e6).toFixed(1)} us`;
}

export function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(0)} MB`;
}

/** Aligned columns, under these headings of `value` and `without`; without those that are empty. */
export function renderTable(
  figures: Figure[],
  [value, without]: [string, string] = ["with xcopy", "without"],
): string {
  const rows = [
    ["", value, "runs", without, "ratio", "aim"],
    ...figures.map(({ name, value, spread = "", without = "", ratio, aim = "" }) => [
      name,
      value,
      spread,
      without,
      ratio === undefined ? "" : ratio.toFixed(2),
      aim,
    ]),
  ];
  const used = rows[0]!.map((_, column) => rows.slice(1).some((row) => row[column] !== ""));
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  return rows
    .map((row) =>
      row
        .map((cell, column) => (column === 0 ? cell.padEnd(widths[0]!) : cell.padStart(widths[column]!)))
        .filter((_, column) => used[column])
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}
