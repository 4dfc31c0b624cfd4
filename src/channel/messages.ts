/** The JSON bodies of the channel, and the checks of those that arrive. */
import { JSON_LIMIT } from "./frame.ts";

/** A service whose responses the intercept catches. */
export interface CoveredService {
  /** Null: every address of that host. */
  address: string | null;
  port: number;
}

/** What an intercept tells a copy that it takes. */
export interface Welcome {
  /** How it catches responses; `compat`: the other side is a tcpcopy or intercept 1.x, which tells nothing. */
  mode: "target" | "assistant" | "nfqueue" | "compat";
  /** The copy's place among those that the intercept serves. */
  slot: number;
  /** 16 hexadecimal digits: goes into the SYNs that the intercept learns flows from. Null where it does not. */
  cookie: string | null;
  /** What it catches; empty: not known, or too many to list. */
  services: CoveredService[];
  /** Version of xcopy that the intercept is. */
  version: string;
  /** Whether responses come with their payload, for a copy that reads it; absent: no. */
  payload?: boolean;
}

/** Addresses from first to last, both included, as text. */
export interface AddressRange {
  first: string;
  last: string;
}

/** A question of a copy, and the answer to it: the same `id`. */
export interface Ask {
  id: number;
  what: string;
  [detail: string]: unknown;
}
export interface Facts {
  id: number;
  [fact: string]: unknown;
}

const MODES: readonly unknown[] = ["target", "assistant", "nfqueue"];
const LONGEST_NAME = 64;
/** Items of a list in one message: of any address they fit into JSON_LIMIT. */
export const MOST_LISTED = 500;

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true });

/** The body for `value`; throws a RangeError where it is too long to be sent. */
export function encodeJson(value: unknown): Uint8Array {
  const body = encoder.encode(JSON.stringify(value));
  if (body.length > JSON_LIMIT) throw new RangeError(`Cannot send a message of ${body.length} bytes`);
  return body;
}

/** The body of a WELCOME. */
export function encodeWelcome(welcome: Welcome, authenticated: boolean): Uint8Array {
  const services = welcome.services.length > MOST_LISTED ? [] : welcome.services;
  return encodeJson({ ...welcome, services, authenticated });
}

/** The object of a body; null if it is none. */
function decodeJson(bytes: Uint8Array, from: number, to: number): Record<string, unknown> | null {
  if (to - from > JSON_LIMIT) return null;
  try {
    const value: unknown = JSON.parse(decoder.decode(bytes.subarray(from, to)));
    return typeof value === "object" && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : null;
  } catch {
    return null;
  }
}

function isNumber(value: unknown, most: number): value is number {
  return Number.isInteger(value) && (value as number) >= 0 && (value as number) <= most;
}

function isName(value: unknown): value is string {
  return typeof value === "string" && /^[\x21-\x7e]+$/.test(value) && value.length <= LONGEST_NAME;
}

function isList(value: unknown): value is Record<string, unknown>[] {
  return (
    Array.isArray(value) &&
    value.length <= MOST_LISTED &&
    value.every((item) => typeof item === "object" && item !== null)
  );
}

/** Null if the body is no WELCOME. */
export function readWelcome(bytes: Uint8Array, from: number, to: number): Welcome | null {
  const value = decodeJson(bytes, from, to);
  if (value === null) return null;
  const { mode, slot, cookie, services, version, payload } = value;
  if (!MODES.includes(mode) || !isNumber(slot, 0xffffffff) || !isName(version) || !isList(services))
    return null;
  if (cookie !== null && !(typeof cookie === "string" && /^[0-9a-f]{16}$/.test(cookie))) return null;
  const covered = services.map(({ address, port }) => ({ address, port }));
  const isFit = covered.every(
    ({ address, port }) => (address === null || isName(address)) && isNumber(port, 65535),
  );
  if (!isFit) return null;
  return {
    mode: mode as Welcome["mode"],
    slot,
    cookie: cookie as string | null,
    services: covered as CoveredService[],
    version,
    ...(payload === true ? { payload } : {}),
  };
}

/** Null if the body is no RANGES. The caller has to check whether the texts are addresses. */
export function readRanges(bytes: Uint8Array, from: number, to: number): AddressRange[] | null {
  const ranges = decodeJson(bytes, from, to)?.ranges;
  if (!isList(ranges)) return null;
  return ranges.every(({ first, last }) => isName(first) && isName(last))
    ? ranges.map(({ first, last }) => ({ first: first as string, last: last as string }))
    : null;
}

export function readAsk(bytes: Uint8Array, from: number, to: number): Ask | null {
  const value = decodeJson(bytes, from, to);
  return value && isNumber(value.id, 0xffffffff) && isName(value.what) ? (value as Ask) : null;
}

export function readFacts(bytes: Uint8Array, from: number, to: number): Facts | null {
  const value = decodeJson(bytes, from, to);
  return value && isNumber(value.id, 0xffffffff) ? (value as Facts) : null;
}
