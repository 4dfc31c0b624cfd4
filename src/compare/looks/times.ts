/** Times as services write them, as ms since 1970. */

const ISO = /^\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(:\d{2}([.,]\d{1,9})?)?\s?(Z|UTC|[+-]\d{2}:?\d{2})?$/i;
/** RFC 9110 section 5.6.7, all three forms, and RFC 5322. */
const NAMED =
  /^(?:(?:mon|tues?|wed(?:nes)?|thu(?:rs)?|fri|sat(?:ur)?|sun)(?:day)?,? )?(?:\d{1,2}[ -][a-z]{3}[ -]\d{2,4}|[a-z]{3} [ \d]\d) \d{2}:\d{2}(?::\d{2})?(?: (?:gmt|utc|[+-]\d{4}|\d{4}))?$/i;

/** Times in a longer text. */
export const TIMES =
  /\b\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(?::\d{2}(?:[.,]\d{1,9})?)?(?:Z|[+-]\d{2}:?\d{2})?|\b(?:mon|tue|wed|thu|fri|sat|sun), \d{1,2} [a-z]{3} \d{4} \d{2}:\d{2}:\d{2} gmt\b/gi;

/** Years 2000 to 2100, in s, ms, us or ns since 1970. */
export function timeOfNumber(value: number): number | null {
  for (const unit of [1000, 1, 1e-3, 1e-6]) {
    const ms = value * unit;
    if (ms >= 946_684_800_000 && ms <= 4_102_444_800_000) return ms;
  }
  return null;
}

/** ms since 1970; null: no time (a date alone is none). What names no zone is UTC. */
export function timeOf(text: string): number | null {
  if (text.length < 10 || text.length > 40) return null;
  if (ISO.test(text)) {
    const hasZone = /(Z|UTC|[+-]\d{2}:?\d{2})$/i.test(text.slice(11));
    const iso = text
      .replace(" ", "T")
      .replace(",", ".")
      .replace(/\s?UTC$/i, "Z")
      .replace(" ", "");
    const ms = Date.parse(hasZone ? iso.replace(/([+-]\d{2})(\d{2})$/, "$1:$2") : `${iso}Z`);
    return Number.isNaN(ms) ? null : ms;
  }
  if (NAMED.test(text)) {
    const ms = Date.parse(text);
    return Number.isNaN(ms) ? null : ms;
  }
  return /^\d{10}(\.\d+)?$|^\d{13}(\d{3}){0,2}(\.\d+)?$/.test(text) ? timeOfNumber(Number(text)) : null;
}
