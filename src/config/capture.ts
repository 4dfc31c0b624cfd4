/** `--capture` and the options that go with it: how requests are captured, which ones, and how much of each packet. */
import type { Arguments } from "../command-line/reading/arguments.ts";
import { Failure } from "../native/failure.ts";
import { parseWhole } from "./number.ts";

/** The back ends, the best first; `auto` takes the first of those before xdp that works. */
export const BACK_ENDS = ["tcx", "clsact", "packet", "raw", "pcap", "xdp", "xdp-generic"] as const;
export type BackEnd = (typeof BACK_ENDS)[number];

/** Whether the user asked for a back end that needs eBPF; `auto` does not. */
export function needsBpf({ backEnd }: CaptureOptions): boolean {
  return ["tcx", "clsact", "xdp", "xdp-generic"].includes(backEnd);
}

/** Whether requests come in to the services, or leave to them. */
export type RequestDirection = "in" | "out";

export interface CaptureOptions {
  backEnd: "auto" | BackEnd;
  direction: RequestDirection;
  /** In pcap-filter language; null: none. */
  filter: string | null;
  /** Bytes for captured requests that wait to be read; null: not given (src/host/memory.ts). */
  bufferBytes: number | null;
  /** Most bytes of a packet that are captured. */
  snaplen: number;
}

/** Long names of the options that apply to live traffic only. */
export const CAPTURE_OPTIONS = ["capture", "direction", "filter", "buffer", "snaplen"];

const MEGABYTE = 1 << 20;
/** The largest IP packet that is captured, with BIG TCP. */
export const WHOLE_PACKETS = 524_288;
/** The largest without it: a -S of so many bytes leaves packets whole, however large they are. */
const LARGEST = 65535;

/** Throws a Failure (exit code 2). */
export function parseCapture(args: Arguments): CaptureOptions {
  const one = (name: string) => args.get(name)?.[0];
  const backEnd = parseBackEnd(one("capture") ?? "auto");
  const direction = parseDirection(one("direction") ?? "in");
  if (direction === "out") refuseIncomingOnly(backEnd);
  return {
    backEnd,
    direction,
    filter: one("filter") ?? null,
    bufferBytes: parseBuffer(one("buffer") ?? null),
    snaplen: parseSnaplen(one("snaplen") ?? `${LARGEST}`),
  };
}

function parseSnaplen(text: string): number {
  const bytes = parseWhole("-S", text, { first: 128, last: LARGEST, unit: "bytes" });
  return bytes === LARGEST ? WHOLE_PACKETS : bytes;
}

/** Bytes of `-B`, which is written in MB; null: not given. Throws a Failure (exit code 2). */
export function parseBuffer(text: string | null): number | null {
  return text === null ? null : parseWhole("-B", text, { first: 1, last: 4096, unit: "MB" }) * MEGABYTE;
}

function parseBackEnd(text: string): "auto" | BackEnd {
  const found = (["auto", ...BACK_ENDS] as const).find((name) => name === text);
  if (found) return found;
  const fix = "Give auto, tcx, clsact, packet, raw, pcap, xdp or xdp-generic.";
  throw new Failure(`Cannot use --capture "${text}": no such way to capture`, fix, 2);
}

function refuseIncomingOnly(backEnd: "auto" | BackEnd): void {
  const why = backEnd.startsWith("xdp") ? "XDP sees" : backEnd === "raw" ? "raw IP sockets see" : null;
  if (why === null) return;
  throw new Failure(
    `Cannot use --capture "${backEnd}" with --direction "out": ${why} only what comes in`,
    "Leave --capture out, or use tcx, clsact, packet or pcap.",
    2,
  );
}

function parseDirection(text: string): RequestDirection {
  if (text === "in" || text === "out") return text;
  throw new Failure(`Cannot use --direction "${text}": no such direction`, "Give in or out.", 2);
}
