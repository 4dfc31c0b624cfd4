/** The key that copies and intercepts of the tests share. */
export const KEY = "the key of the tests, which nobody guesses";

/** The environment that gives it to an intercept, or to a copy with -s; nothing where the arguments say what key there is. */
export function keyFor(args: readonly string[]): Record<string, string> {
  const isSaid = args.some((word) => ["--key-file", "--insecure", "--compat"].includes(word));
  return isSaid ? {} : { XCOPY_KEY: KEY };
}
