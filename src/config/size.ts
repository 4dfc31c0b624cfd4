/** Sizes and times as users write them: `100M`, `5m`. */
import { Failure } from "../native/failure.ts";

const SIZES: Record<string, number> = { "": 1, k: 1e3, M: 1e6, G: 1e9, T: 1e12 };
const TIMES: Record<string, number> = { "": 1, s: 1, m: 60, h: 3600, d: 86400 };

/** Bytes, from `least` to 1 PB. Throws a Failure (exit code 2) that names the option. */
export function parseSize(option: string, text: string, least: number): number {
  const match = /^([0-9]{1,15}(?:\.[0-9]{1,6})?)([kMGT]?)$/.exec(text);
  const bytes = match ? Number(match[1]) * SIZES[match[2]!]! : Number.NaN;
  if (bytes >= least && bytes <= 1e15) return Math.floor(bytes);
  throw new Failure(
    `Cannot use ${option} "${text}": not a size of at least ${least} bytes`,
    'Give bytes, or units of 10^3, 10^6 or 10^9 bytes with k, M or G: "100M".',
    2,
  );
}

/** Seconds, from 1 s to 20 days (a timer of JavaScript takes no more). Throws a Failure (exit code 2) that names the option. */
export function parseTime(option: string, text: string): number {
  const match = /^([0-9]{1,9}(?:\.[0-9]{1,6})?)([smhd]?)$/.exec(text);
  const seconds = match ? Number(match[1]) * TIMES[match[2]!]! : Number.NaN;
  if (seconds >= 1 && seconds <= 20 * 86400) return seconds;
  throw new Failure(
    `Cannot use ${option} "${text}": not a time from 1s to 20d`,
    'Give seconds, or minutes, hours or days with m, h or d: "5m".',
    2,
  );
}
