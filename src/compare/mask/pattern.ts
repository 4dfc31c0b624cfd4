/**
 * `--mask`: what else must not be written anywhere, as a regular expression. RE2's: it takes time that grows with the text only, whatever
 * expression a user and whatever text a stranger writes; so it has no look-around and no references back.
 */
import { RE2JS } from "re2js";
import { Failure } from "../../native/failure.ts";
import { MASKED } from "./text.ts";

export interface Mask {
  /** As the user wrote it. */
  text: string;
  pattern: RE2JS;
}

/** A value of --mask. Throws a Failure (exit code 2). */
export function parseMask(text: string): Mask {
  const refuse = (cause: string, fix: string) => new Failure(`Cannot use --mask "${text}": ${cause}`, fix, 2);
  const example = "'sk_live_[0-9a-z]+'";
  let pattern: RE2JS;
  try {
    if (text.length > 1000) throw new Error("it is longer than 1,000 characters");
    pattern = RE2JS.compile(text);
  } catch (error) {
    const cause = (error as Error).message.replace(/^error parsing regexp: /, "");
    throw refuse(
      cause,
      `Give a regular expression of RE2 (without look-around and \\1), for example ${example}.`,
    );
  }
  if (pattern.matcher("").find())
    throw refuse(
      "it matches where nothing is",
      `Have it match at least one character, for example ${example}.`,
    );
  return { text, pattern };
}

/** A text without what the user's patterns match; `found` is told of it. */
export function applyMasks(
  text: string,
  masks: readonly Mask[],
  found: (secret: string) => void = () => {},
): string {
  let result = text;
  for (const { pattern } of masks) {
    const matcher = pattern.matcher(result);
    let masked = "";
    let done = 0;
    while (matcher.find()) {
      if (matcher.end() === matcher.start()) continue;
      found(matcher.group()!);
      masked += result.slice(done, matcher.start()) + MASKED;
      done = matcher.end();
    }
    result = masked + result.slice(done);
  }
  return result;
}
