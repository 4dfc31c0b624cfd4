/** How recorded traffic is replayed: the options that apply only where `-i` names files. */
import type { Arguments } from "../command-line/reading/arguments.ts";
import { Failure } from "../native/failure.ts";
import { isDecimal, parseDecimal, parseWhole } from "./number.ts";

/** A moment of a recording: us since 1970, or us after its first packet. */
export type Moment = { at: number } | { after: number };

export interface TraceOptions {
  /** Multiple of the recorded speed; Infinity: as fast as the targets answer. */
  speed: number;
  /** ms; longer gaps between packets are shortened to this. 0: none is. */
  longestGap: number;
  /** How often all files are replayed. */
  loops: number;
  start: Moment | null;
  end: Moment | null;
  /** Most requests per second that are begun; 0: no limit. */
  rate: number;
  /** Most connections at a time, each begun when another one ends; 0: as recorded. */
  users: number;
}

const SPEEDS = { first: 0.1, last: 1000 };

function parseSpeed(text: string): number {
  if (text === "max") return Number.POSITIVE_INFINITY;
  if (isDecimal(text, SPEEDS)) return Number(text);
  throw new Failure(
    `Cannot use -a "${text}": neither "max" nor a number from ${SPEEDS.first} to ${SPEEDS.last}`,
    'Give 1 for the recorded speed, 10 for ten times that, or "max".',
    2,
  );
}

/** `90`, `90.5` (seconds after the first packet), or a time with its zone in the format of RFC 3339. */
function parseMoment(option: string, text: string): Moment {
  if (isDecimal(text, { first: 0, last: 1e9 })) return { after: Number(text) * 1e6 };
  const form = /^\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)$/;
  const at = form.test(text) ? Date.parse(text.replace(" ", "T")) : Number.NaN;
  if (!Number.isNaN(at)) return { at: at * 1000 };
  throw new Failure(
    `Cannot use ${option} "${text}": neither seconds nor a time`,
    'Give seconds after the first packet, "90", or a time with its zone, "2026-01-31T22:00:00+01:00".',
    2,
  );
}

/** Long names of the options about recorded traffic. */
export const TRACE_OPTIONS = ["speed", "longest-gap", "loops", "start", "end", "rate", "users"];

/** Reads the options about recorded traffic. Throws a Failure (exit code 2). */
export function parseTrace(args: Arguments): TraceOptions {
  const one = (name: string) => args.get(name)?.[0] ?? null;
  const [gap, loops, start, end, users] = ["longest-gap", "loops", "start", "end", "users"].map(one);
  const rate = one("rate");
  return {
    speed: parseSpeed(one("speed") ?? (args.has("users") ? "max" : "1")),
    longestGap: gap ? parseDecimal("-I", gap, { first: 0, last: 86_400_000, unit: "ms" }) : 0,
    loops: loops ? parseWhole("-T", loops, { first: 1, last: 1_000_000, unit: "times" }) : 1,
    start: start ? parseMoment("--start", start) : null,
    end: end ? parseMoment("--end", end) : null,
    rate: rate === null ? 0 : parseRate("--rate", rate),
    users: users ? parseWhole("--users", users, { first: 1, last: 1_000_000, unit: "users" }) : 0,
  };
}

/** `500/s`, or plain `500`. Throws a Failure (exit code 2). */
export function parseRate(option: string, text: string): number {
  const number = text.endsWith("/s") ? text.slice(0, -2) : text;
  const range = { first: 0.1, last: 1e7 };
  if (isDecimal(number, range)) return Number(number);
  throw new Failure(
    `Cannot use ${option} "${text}": not a number from ${range.first} to ${range.last} per second`,
    'Give requests per second, for example "500/s".',
    2,
  );
}
