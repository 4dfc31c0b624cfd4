/** Text that came from the network, for terminals and logs. */

/**
 * The text with everything that would move a cursor, colour, reorder or hide what is around it (control and format characters,
 * unassigned ones, line and paragraph separators) as its number: `\u{1b}`.
 */
export function printable(text: string): string {
  return text.replaceAll(
    /[\p{C}\p{Zl}\p{Zp}]/gu,
    (character) => `\\u{${character.codePointAt(0)!.toString(16)}}`,
  );
}
