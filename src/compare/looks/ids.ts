/** What looks like an id: a number, a UUID, a hash, a date, a token. For path segments, keys of objects, and values that differ. */

const UUID = /^\{?[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\}?$/i;
const HEX = /^(0x)?[0-9a-f]{8,}$/i;
const DATE = /^\d{4}-\d{2}(-\d{2})?([T ]\d{2}:?\d{2}(:?\d{2}(\.\d+)?)?(Z|[+-]\d{2}:?\d{2})?)?$/i;
/** Crockford's base 32, https://github.com/ulid/spec. */
const ULID = /^[0-7][0-9A-HJKMNP-TV-Z]{25}$/i;
const DIGITS = /^\d+$/;
const BASE64 = /^[A-Za-z0-9+/_-]+={0,2}$/;
/** Lower case with digits at two places at least, the first of which are not its end: `4fzyo82mvyr`, not `covid19vaccine`. */
const BASE36 = /^[a-z]*\d+[a-z]+\d+[a-z0-9]*$/;
/** Header and claims of a JSON Web Token (RFC 7519), with or without its signature. */
const JWT = /^eyJ[\w-]+\.[\w-]*(\.[\w-]*)?$/;

const LOWER = 1;
const UPPER = 2;
const DIGIT = 3;

function classOf(code: number): number {
  if (code >= 97 && code <= 122) return LOWER;
  if (code >= 65 && code <= 90) return UPPER;
  return code >= 48 && code <= 57 ? DIGIT : 0;
}

/**
 * Whether letters and digits change as they do in base64 or base 36 of random bytes, and not as in words, `camelCase`, or
 * `iPhone13ProMax`: of a random text every second character or so is of another class than the one before.
 */
function isMixed(text: string, least: number): boolean {
  let changes = 0;
  let digits = 0;
  let before = 0;
  for (let index = 0; index < text.length; index++) {
    const now = classOf(text.charCodeAt(index));
    if (now === DIGIT) digits++;
    // A capital begins a word.
    if (before !== 0 && now !== 0 && now !== before && !(before === UPPER && now === LOWER)) changes++;
    before = now;
  }
  return (digits > 0 || text.length >= 20) && changes / (text.length - 1) >= least;
}

function hasDigit(text: string): boolean {
  return /\d/.test(text);
}

/** Whether a word (without separators but those of UUIDs, dates and base64) is nothing that a person would have named so. */
export function isLikelyId(text: string): boolean {
  const { length } = text;
  if (length === 0) return false;
  if (DIGITS.test(text)) return true;
  if (length < 7) return false;
  if (DATE.test(text) || UUID.test(text) || ULID.test(text) || JWT.test(text)) return true;
  if (HEX.test(text)) return length >= 16 || hasDigit(text);
  if (length > 8192 || !BASE64.test(text)) return false;
  // Words with hyphens are what base64url of random bytes is hardly ever.
  const hyphens = text.split(/[-_]/).length - 1;
  if (hyphens > length / 10) return false;
  if (length >= 16) return isMixed(text, 0.28);
  if (length < 8 || hyphens > 0) return false;
  return isMixed(text, 0.4) || BASE36.test(text);
}

/** Whether a value is hardly guessed: an id of at least some 32 bits, so that two that were made apart never are equal. */
export function isRandomId(text: string): boolean {
  return text.length >= 8 && isLikelyId(text) && !DATE.test(text) && !(DIGITS.test(text) && text.length < 9);
}

/**
 * Whether two ids are of one form: a UUID is not the same digits without hyphens, hexadecimal is not base64, capitals are not small letters,
 * and of two lengths the shorter is at least three quarters of the other.
 */
export function isSameForm(one: string, other: string): boolean {
  const [short, long] = [one.length, other.length].sort((first, second) => first - second);
  if (short! < 0.75 * long! || UUID.test(one) !== UUID.test(other)) return false;
  // Of fewer characters chance has some without a letter above f, or without a capital.
  if (short! < 12) return true;
  if (HEX.test(one) !== HEX.test(other)) return false;
  const hasCapitals = (text: string) => /[A-Z]/.test(text);
  const hasSmall = (text: string) => /[a-z]/.test(text);
  return hasCapitals(one) === hasCapitals(other) || hasSmall(one) === hasSmall(other);
}

/** Hash of a text, 32 bits (FNV-1a over its UTF-16 units, of long ones over both ends). */
export function hashOf(text: string): number {
  let hash = 0x811c9dc5 ^ text.length;
  const { length } = text;
  for (let index = 0; index < length; index++) {
    if (index === 2048 && length > 4096) index = length - 2048;
    hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193);
  }
  return hash >>> 0;
}
