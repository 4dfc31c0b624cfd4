/** Two messages line by line, side by side. */
import type { MessageText } from "../../compare/report.ts";

export interface LinePair {
  /** null: there is no such line on this side. */
  production: string | null;
  target: string | null;
  isEqual: boolean;
}

/** Steps of the comparison at most; beyond them everything between the first and the last difference counts as changed. */
const MOST_STEPS = 250_000;

function ordered(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(ordered);
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(
    Object.entries(value)
      .sort(([one], [other]) => (one < other ? -1 : 1))
      .map(([key, inner]) => [key, ordered(inner)]),
  );
}

/** A body as lines: JSON with one value a line and its keys in order, all else as it came. */
function bodyLines(body: string): string[] {
  if (body === "") return [];
  if (/^\s*[[{]/.test(body)) {
    try {
      return JSON.stringify(ordered(JSON.parse(body)), null, 2).split("\n");
    } catch {
      // Not JSON, or cut.
    }
  }
  return body.split(/\r?\n/);
}

/** A message as lines: its head, an empty line, its body. */
export function linesOf({ head, body, isCut }: MessageText): string[] {
  const lines = head.replace(/(\r?\n)+$/, "").split(/\r?\n/);
  const rest = bodyLines(body);
  return [
    ...(head === "" ? [] : lines),
    ...(head === "" || rest.length === 0 ? [] : [""]),
    ...rest,
    ...(isCut ? ["[cut here]"] : []),
  ];
}

/** Lengths of the longest common subsequences of all ends of both lists, row by row. */
function commonLengths(one: readonly string[], other: readonly string[]): Uint16Array {
  const width = other.length + 1;
  const lengths = new Uint16Array((one.length + 1) * width);
  for (let row = one.length - 1; row >= 0; row--) {
    for (let column = other.length - 1; column >= 0; column--) {
      const at = row * width + column;
      lengths[at] =
        one[row] === other[column]
          ? lengths[at + width + 1]! + 1
          : Math.max(lengths[at + width]!, lengths[at + 1]!);
    }
  }
  return lengths;
}

/** Puts lines that have no partner beside each other. */
function changed(production: readonly string[], target: readonly string[]): LinePair[] {
  return Array.from({ length: Math.max(production.length, target.length) }, (_, index) => ({
    production: production[index] ?? null,
    target: target[index] ?? null,
    isEqual: false,
  }));
}

/** Both lists line by line: equal lines beside each other, of the others as many as there are. */
export function pairLines(production: readonly string[], target: readonly string[]): LinePair[] {
  const shorter = Math.min(production.length, target.length);
  let before = 0;
  while (before < shorter && production[before] === target[before]) before++;
  let behind = 0;
  while (behind < shorter - before && production.at(-1 - behind) === target.at(-1 - behind)) behind++;
  const equal = (line: string): LinePair => ({ production: line, target: line, isEqual: true });
  const one = production.slice(before, production.length - behind);
  const other = target.slice(before, target.length - behind);
  const middle: LinePair[] = [];
  if (one.length * other.length > MOST_STEPS) {
    middle.push(...changed(one, other));
  } else {
    const lengths = commonLengths(one, other);
    const width = other.length + 1;
    let [row, column] = [0, 0];
    let [fromRow, fromColumn] = [0, 0];
    while (row < one.length && column < other.length) {
      if (one[row] === other[column]) {
        middle.push(...changed(one.slice(fromRow, row), other.slice(fromColumn, column)), equal(one[row]!));
        fromRow = ++row;
        fromColumn = ++column;
      } else if (lengths[(row + 1) * width + column]! >= lengths[row * width + column + 1]!) row++;
      else column++;
    }
    middle.push(...changed(one.slice(fromRow), other.slice(fromColumn)));
  }
  return [
    ...production.slice(0, before).map(equal),
    ...middle,
    ...production.slice(production.length - behind).map(equal),
  ];
}

/** Two lines that differ: what both begin with, the middle of each, what both end with. */
export function splitLines(
  one: string,
  other: string,
): { before: string; middles: [string, string]; behind: string } {
  const shorter = Math.min(one.length, other.length);
  let before = 0;
  while (before < shorter && one[before] === other[before]) before++;
  let behind = 0;
  while (behind < shorter - before && one.at(-1 - behind) === other.at(-1 - behind)) behind++;
  return {
    before: one.slice(0, before),
    middles: [one.slice(before, one.length - behind), other.slice(before, other.length - behind)],
    behind: behind === 0 ? "" : one.slice(-behind),
  };
}
