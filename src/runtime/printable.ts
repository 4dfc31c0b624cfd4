/** Texts from the network, for a terminal. */

/** What would move a terminal's cursor or colour it is written as its number. */
export function printable(text: string): string {
  return text.replaceAll(/[\p{C}\p{Zl}\p{Zp}]/gu, (character) => {
    const code = character.codePointAt(0)!.toString(16);
    return `\\u{${code}}`;
  });
}
