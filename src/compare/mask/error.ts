/** Masks what errors of MySQL quote. */
import { MASKED } from "./text.ts";

/** Names in quotes that an error of MySQL is about; all else in quotes is data of users. */
const NAMED =
  /(?:\b(?:table|column|key|database|schema|index|constraint|field|function|procedure|trigger|view|user|variable|storage engine|clause|for)\b ?)$/i;

/** The message of an error of MySQL without the values that it quotes: `Duplicate entry '***' for key 'PRIMARY'`. */
export function maskError(message: string, found: (secret: string) => void): string {
  return message.replace(/(?<!\w)'((?:[^'\\]|\\.|'')*)'?/g, (whole, value: string, at: number) => {
    if (value === "" || NAMED.test(message.slice(Math.max(0, at - 20), at))) return whole;
    found(value);
    return `'${MASKED}'`;
  });
}
