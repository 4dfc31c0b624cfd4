/** The verifier's logs of a load, and the error that is made of them. */
import type { Failure } from "../failure.ts";
import { mapFailure, refusal } from "./errors.ts";
import { reasonIn, writeLog } from "./verifier.ts";

/**
 * Logs of the verifier: its reason and sums alone, and everything. The first is so short that it always fits: before Linux 6.4 a
 * log that does not fit loses its end, and the errno of the load with it.
 */
export const SHORT_LOG = { level: 4, bytes: 1 << 18 } as const;
export const WHOLE_LOG = { level: 1, bytes: (1 << 24) - 1 } as const;

/** The text that a C string in a buffer has. */
export function textIn(log: Uint8Array): string {
  const end = log.indexOf(0);
  return new TextDecoder().decode(end < 0 ? log : log.subarray(0, end));
}

/**
 * The error for a load that failed with errno `code`. `short` is the short log, `whole` makes the whole one, which
 * is written to a file; null: nobody wants it.
 */
export function loadFailure(
  kind: "object" | "program",
  name: string,
  code: number,
  short: string,
  whole: (() => string) | null,
): Failure {
  const what = `load the BPF ${kind} "${name}"`;
  const reason = reasonIn(short);
  if (reason === null) return mapFailure(what, code);
  return refusal(what, code, reason, () => {
    if (whole === null) return null;
    const log = whole();
    // A log that was cut has lost its end.
    return writeLog(name, log.includes(reason) ? log : `${log}\n[...]\n${short}`);
  });
}
