/** How two values differ: what decides whether they can differ always, without that anything is wrong. */
import { isRandomId, isSameForm } from "./ids.ts";
import { TIMES, timeOf } from "./times.ts";

/**
 * `time`, `id`: both look like one, or only what looks so in them differs; `number`: both are numbers; `text`: anything else;
 * `shape`: something is missing or of another type, which is never chance; `length`: of content that nobody looked into;
 * `unknown`: it differs, nobody looked how.
 */
export type Nature = "time" | "id" | "number" | "text" | "shape" | "length" | "unknown";

/** A nature, and of both values only what differs in them. */
export interface Contrast {
  nature: Nature;
  production: string;
  target: string;
}

/** Longest texts of which words are compared, and most words; longest words of which parts are. */
const MOST_TEXT = 128 * 1024;
const MOST_WORDS = 20_000;
const MOST_WORD = 4096;
const NUMBER = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;
const WORDS = /[^\s"'<>&,;(){}|]+/g;

/** What parts of a word are separated by, the outermost first. */
const SEPARATORS = [/(=)/, /([:?#[\]])/, /([._])/, /(\/)/, /(-)/];

function unescaped(word: string): string {
  if (!word.includes("%")) return word;
  try {
    return decodeURIComponent(word);
  } catch {
    return word;
  }
}

/** `sid=3f2a...`, `/users/3f2a...`: the name in front of an id does not hide it. An id is not taken apart. */
function partsOf(word: string, level = 0): string[] {
  if (level === SEPARATORS.length || word.length > MOST_WORD || isRandomId(word)) return [word];
  return word.split(SEPARATORS[level]!).flatMap((part) => partsOf(part, level + 1));
}

function areIds(one: string, other: string): boolean {
  return isRandomId(one) && isRandomId(other) && isSameForm(one, other);
}

function lengthOf(words: readonly string[]): number {
  return words.reduce((sum, { length }) => sum + length, 0);
}

/** Whether two texts differ only in ids and in times. */
function contrastWords(production: string, target: string): Contrast | null {
  if (production.length > MOST_TEXT || target.length > MOST_TEXT) return null;
  const times = [production.match(TIMES) ?? [], target.match(TIMES) ?? []] as const;
  if (times[0].length !== times[1].length) return null;
  const bare = [production, target].map((text) =>
    times[0].length > 0 ? text.replace(TIMES, "\u0001") : text,
  );
  const [ours, theirs] = [bare[0]!.match(WORDS) ?? [], bare[1]!.match(WORDS) ?? []];
  if (ours.length !== theirs.length || ours.length > MOST_WORDS) return null;
  // What is between the words has to be the same.
  if (bare[0]!.length - lengthOf(ours) !== bare[1]!.length - lengthOf(theirs)) return null;
  let first: Contrast | null = null;
  for (let index = 0; index < ours.length; index++) {
    if (ours[index] === theirs[index]) continue;
    const [one, other] = [partsOf(unescaped(ours[index]!)), partsOf(unescaped(theirs[index]!))];
    if (one.length !== other.length) return null;
    for (let part = 0; part < one.length; part++) {
      if (one[part] === other[part]) continue;
      if (!areIds(one[part]!, other[part]!)) return null;
      first ??= { nature: "id", production: one[part]!, target: other[part]! };
    }
  }
  if (first !== null) return first;
  const time = times[0].findIndex((text, index) => text !== times[1][index]);
  return time < 0 ? null : { nature: "time", production: times[0][time]!, target: times[1][time]! };
}

/** How two texts differ that are not equal. */
export function contrastOf(production: string, target: string): Contrast {
  const whole = (nature: Nature): Contrast => ({ nature, production, target });
  const areNumbers = NUMBER.test(production) && NUMBER.test(target);
  if (timeOf(production) !== null && timeOf(target) !== null) return whole("time");
  if (areNumbers) return whole("number");
  if (areIds(production, target)) return whole("id");
  return contrastWords(production, target) ?? whole("text");
}
