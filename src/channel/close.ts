/** The reasons for which channels end, with the same texts on both sides where both know the reason. */
import { FRAME_HEADER, REFUSE, writeFrame } from "./frame.ts";
import type { Outgoing } from "./outgoing.ts";

/** The refusals; the code in a REFUSE frame is the index in this list: only append to it. */
const REFUSALS = [
  "version",
  "copy without key",
  "intercept without key",
  "wrong key",
  "limited",
  "full",
  "other protocol",
  "registration",
] as const;

export type Refusal = (typeof REFUSALS)[number];

/** Whether the intercept refused, and will refuse the same copy again. */
export function isRefusal(code: CloseCode): code is Refusal {
  return (REFUSALS as readonly string[]).includes(code);
}

/**
 * - the refusals: `version`, `copy without key`, `intercept without key` (one has a key, the other none), `wrong key`,
 *   `limited` (too many failures from this address), `full` (the intercept takes no more copies), `other protocol`
 *   (tcpcopy's where xcopy's was expected, or the other way round), `registration` (of flows, without a key);
 * - `not named`: a tcpcopy from an address that --compat-from does not name;
 * - `refused`: for a reason that this version has no name for;
 * - `stranger`: the first bytes were not a hello;
 * - `late`: the handshake took too long; `crowded`: closed to make room for newer handshakes;
 * - `malformed`: what came after the hello is invalid;
 * - `tampered`: a record is not the one that the other side made next: it was changed, left out, repeated or moved on its way;
 * - `bye`: the other side ended the channel; `ended`: the connection ended without a BYE; `cut off`: in the middle of a
 *   record; `stopped`: we ended it.
 */
export type CloseCode =
  | Refusal
  | "refused"
  | "not named"
  | "stranger"
  | "late"
  | "crowded"
  | "malformed"
  | "tampered"
  | "bye"
  | "ended"
  | "cut off"
  | "stopped";

export const CLOSE_CODES: readonly CloseCode[] = [
  ...REFUSALS,
  "refused",
  "not named",
  "stranger",
  "late",
  "crowded",
  "malformed",
  "tampered",
  "bye",
  "ended",
  "cut off",
  "stopped",
];

/** Texts of the refusals that say no more than their code. */
export const TEXTS = {
  "copy without key": "the intercept has a key, the copy has none",
  "intercept without key": "the copy has a key, the intercept has none",
  "wrong key": "the copy and the intercept have different keys (compare the fingerprints that both print)",
  registration: "an intercept without a key takes no registrations (--insecure)",
  limited: "too many handshakes failed from this address lately; try again in a minute",
} as const;

export const TAMPERED_TEXT =
  "somebody on the way changes what is sent: a record was changed, left out, repeated or moved";
export const CUT_OFF_TEXT = "the connection ended in the middle of a record";
/** See Seal.isSpent. */
export const SPENT_TEXT = "it has sent as much as one connection may";

export const LATE_TEXT = "the handshake took longer than 3 s";

/** us that a handshake may take, from the start of the connection. */
export const HANDSHAKE_SPAN = 3_000_000;

export function versionText(copy: number, intercept: number): string {
  const older = copy < intercept ? "copy" : "intercept";
  return `the copy speaks version ${copy} of the protocol, the intercept version ${intercept}: update xcopy on the host of the ${older}`;
}

const MOST_TEXT = 300;
const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** A text of the other side, made safe for a log: one line of printable characters, from at most MOST_TEXT bytes. */
export function readText(bytes: Uint8Array, from: number, to: number): string {
  const text = decoder.decode(bytes.subarray(from, Math.min(to, from + MOST_TEXT)));
  return text.replaceAll(/[\p{C}\p{Zl}\p{Zp}]/gu, " ").trim();
}

export function textBytes(text: string): Uint8Array {
  return encoder.encode(text).subarray(0, MOST_TEXT);
}

/** Body: u16 code, then UTF-8 text. */
export function writeRefusal(out: Outgoing, code: Refusal, text: string): void {
  const words = textBytes(text);
  const body = new Uint8Array(2 + words.length);
  body[1] = REFUSALS.indexOf(code);
  body.set(words, 2);
  writeFrame(out, REFUSE, body);
}

/** Most bytes of a refusal, with its header. */
export const MOST_REFUSAL = FRAME_HEADER + 2 + MOST_TEXT;

export function readRefusal(
  bytes: Uint8Array,
  view: DataView,
  from: number,
  to: number,
): { code: CloseCode; text: string } {
  if (to - from < 2) return { code: "refused", text: "" };
  return { code: REFUSALS[view.getUint16(from)] ?? "refused", text: readText(bytes, from + 2, to) };
}
