/** `--mask`: what else must not be written anywhere, as a regular expression. */

export interface Mask {
  /** As the user wrote it. */
  text: string;
}

/** A value of --mask. Throws a Failure (exit code 2). */
export function parseMask(text: string): Mask {
  return { text };
}
