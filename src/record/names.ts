/** The names of the files of a record: conversions of time, and numbers. */

/** Where a record is written: to one file, or to several, one after the other. */
export interface FilePattern {
  /** As the user wrote it, perhaps with conversions of strftime(3). */
  path: string;
  /** Whether there are several files. */
  rotates: boolean;
  /** Whether `.zst` is appended to names that do not end in it. */
  compressed: boolean;
}

type Conversion = (time: Date) => string;

const two = (value: number): string => String(value).padStart(2, "0");

/** Those of strftime(3) that make sense in a file's name; local time. */
const CONVERSIONS: Record<string, Conversion> = {
  Y: (time) => String(time.getFullYear()),
  m: (time) => two(time.getMonth() + 1),
  d: (time) => two(time.getDate()),
  H: (time) => two(time.getHours()),
  M: (time) => two(time.getMinutes()),
  S: (time) => two(time.getSeconds()),
  y: (time) => two(time.getFullYear() % 100),
  j: (time) => String(dayOfYear(time)).padStart(3, "0"),
  s: (time) => String(Math.floor(time.getTime() / 1000)),
  F: (time) => `${time.getFullYear()}-${two(time.getMonth() + 1)}-${two(time.getDate())}`,
  T: (time) => `${two(time.getHours())}:${two(time.getMinutes())}:${two(time.getSeconds())}`,
  "%": () => "%",
};

function dayOfYear(time: Date): number {
  const day = Date.UTC(time.getFullYear(), time.getMonth(), time.getDate());
  return (day - Date.UTC(time.getFullYear(), 0, 1)) / 86_400_000 + 1;
}

/** The first unknown conversion of a pattern, with its `%`; null if all are known. */
export function unknownConversion(path: string): string | null {
  const found = [...path.matchAll(/%(.?)/g)].find(([, letter]) => !(letter! in CONVERSIONS));
  return found ? found[0] : null;
}

/** All known conversions, for messages. */
export const KNOWN_CONVERSIONS = Object.keys(CONVERSIONS)
  .map((letter) => `%${letter}`)
  .join(" ");

/** Where the ending of a path begins: `.pcapng` of `a.d/b.pcapng`; its length where it has none. */
function endingAt(path: string): number {
  const ending = /[^/](\.[A-Za-z0-9]+(\.zst)?)$/.exec(path);
  return ending ? path.length - ending[1]!.length : path.length;
}

/**
 * The path of the `number`th file (from 1) with a pattern's text of this moment. Files that rotate are numbered,
 * `NAME-0001.pcapng`; where the time is in the name, from the second with the same text on.
 */
export function nameOf({ path, rotates, compressed }: FilePattern, time: Date, number: number): string {
  const text = textOf(path, time);
  const isNumbered = rotates && (number > 1 || text === path);
  const at = endingAt(text);
  const ending = text.slice(at) || (rotates ? ".pcapng" : "");
  const name = isNumbered ? `${text.slice(0, at)}-${String(number).padStart(4, "0")}` : text.slice(0, at);
  return compressed && !ending.endsWith(".zst") ? `${name}${ending}.zst` : name + ending;
}

/** A pattern with its conversions replaced. */
export function textOf(path: string, time: Date): string {
  return path.replaceAll(/%(.)/g, (_, letter: string) => CONVERSIONS[letter]!(time));
}
