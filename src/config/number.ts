/** Numbers as users write them. */
import { Failure } from "../native/failure.ts";

export interface Range {
  first: number;
  last: number;
  /** What the number counts, for the message: `bytes`. */
  unit?: string;
}

const WHOLE = /^[0-9]{1,15}$/;
const DECIMAL = /^[0-9]{1,15}(\.[0-9]{1,6})?$/;
const HEXADECIMAL = /^0x[0-9a-f]{1,8}$/i;

function refuse(option: string, text: string, kind: string, range: Range): Failure {
  const unit = range.unit ? ` ${range.unit}` : "";
  return new Failure(
    `Cannot use ${option} "${text}": not a ${kind} from ${range.first} to ${range.last}`,
    `Give a ${kind} from ${range.first} to ${range.last}${unit}.`,
    2,
  );
}

function within(value: number, range: Range): boolean {
  return value >= range.first && value <= range.last;
}

/** Whether a text is a whole decimal number within a range. */
export function isWhole(text: string, range: Range): boolean {
  return WHOLE.test(text) && within(Number(text), range);
}

/** Whether a text is a decimal number, with or without a fraction, within a range. */
export function isDecimal(text: string, range: Range): boolean {
  return DECIMAL.test(text) && within(Number(text), range);
}

/** A whole decimal number within a range. Throws a Failure that names the option. */
export function parseWhole(option: string, text: string, range: Range): number {
  if (!isWhole(text, range)) throw refuse(option, text, "whole number", range);
  return Number(text);
}

/** A decimal number with or without a fraction, within a range. Throws a Failure that names the option. */
export function parseDecimal(option: string, text: string, range: Range): number {
  if (!isDecimal(text, range)) throw refuse(option, text, "number", range);
  return Number(text);
}

/** A socket mark: 32 bits, decimal or `0x...`, not 0, which unmarked packets have. Throws a Failure that names the option. */
export function parseMark(option: string, text: string): number {
  const value = Number(text);
  if ((WHOLE.test(text) || HEXADECIMAL.test(text)) && within(value, { first: 1, last: 0xffffffff }))
    return value;
  throw new Failure(
    `Cannot use ${option} "${text}": not a number from 1 to 0xffffffff`,
    "Give a number that no other program on this host marks packets with, for example 0xc0.",
    2,
  );
}
