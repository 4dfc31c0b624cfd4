/** Reads and checks the options of `xcopy record`, and gives each its default. */

import { MARK } from "../command-line/copy.ts";
import type { Arguments } from "../command-line/reading/arguments.ts";
import { type Logging, readLogging } from "../command-line/reading/logging.ts";
import { parseBuffer } from "../config/capture.ts";
import { parseDecimal, parseMark, parseWhole } from "../config/number.ts";
import { parseSize, parseTime } from "../config/size.ts";
import { Failure } from "../native/failure.ts";
import { parseRecordedServices, type WrittenService } from "./service.ts";

/** Where programs are attached. */
export type Hook = "auto" | "tcx" | "clsact";

export interface RecordOptions extends Logging {
  services: WrittenService[];
  /** Values of -i; empty: every interface that is up. */
  interfaces: readonly string[];
  /** Whether responses are recorded, and pure ACKs. */
  both: boolean;
  acks: boolean;
  /** Share of the connections, over 0 to 1. */
  sample: number;
  /** Bytes; null: whole packets. */
  snaplen: number | null;
  /** `-`: standard output. */
  write: string;
  /** Bytes and seconds after which another file begins; null: never. */
  rotateSize: number | null;
  rotateTime: number | null;
  /** Files; 0: all. */
  keep: number;
  compress: boolean;
  overwrite: boolean;
  /** Packets, seconds and bytes after which all ends; null: never. */
  count: number | null;
  duration: number | null;
  limitBytes: number | null;
  json: boolean;
  /** Seconds; null: not given. */
  statsInterval: number | null;
  dryRun: boolean;
  hook: Hook;
  /** Bytes for captured packets that wait to be written; null: not given (src/host/memory.ts). */
  bufferBytes: number | null;
  mark: number;
}

const LEAST_BYTES = 10_000;

function parseHook(text: string): Hook {
  if (text === "auto" || text === "tcx" || text === "clsact") return text;
  throw new Failure(`Cannot use --capture "${text}": no such hook`, "Give auto, tcx or clsact.", 2);
}

function parseCompression(text: string): true {
  if (text === "zstd") return true;
  throw new Failure(`Cannot use --compress "${text}": no such compression`, "Give zstd.", 2);
}

/** Refuses options that contradict each other, or that have no effect without another. */
function refuseContradictions(options: RecordOptions): void {
  const refuse = (option: string, cause: string, fix: string) => {
    throw new Failure(`Cannot use ${option}: ${cause}`, fix, 2);
  };
  const rotates = options.rotateSize !== null || options.rotateTime !== null;
  if (options.keep > 0 && !rotates) {
    refuse(
      `--keep "${options.keep}"`,
      "without rotation there is one file only",
      "Leave it out, or say with --rotate-size or --rotate-time when a new file begins.",
    );
  }
  if (options.write !== "-") return;
  const stdout = "with -w - there is no file";
  if (rotates) refuse("--rotate-size and --rotate-time", stdout, "Leave them out, or name a file.");
  if (options.daemon) {
    refuse(
      "-d",
      "-w - writes to standard output, which a run in the background has not",
      "Name a file with -w.",
    );
  }
  if (options.overwrite) refuse("--overwrite", stdout, "Leave it out, or name a file.");
  if (options.json) {
    const cause = "with -w - standard output has the packets";
    refuse("--json", cause, "Leave it out, or name a file with -w.");
  }
}

/** Reads all options; nothing outside the command line is looked at. Throws a Failure (exit code 2). */
export function parseRecord(args: Arguments): RecordOptions {
  const all = (name: string) => args.get(name) ?? [];
  const one = (name: string) => args.get(name)?.[0] ?? null;
  const given = <T>(name: string, parse: (text: string) => T): T | null => {
    const text = one(name);
    return text === null ? null : parse(text);
  };
  const services = parseRecordedServices(all("service"));
  const write = one("write");
  if (write === null) {
    throw new Failure(
      "Cannot record anything: no -w names a file",
      'Name a file, for example "-w cap.pcapng", or write to standard output with "-w -".',
      2,
    );
  }
  const options: RecordOptions = {
    services,
    interfaces: all("interface"),
    both: args.has("both"),
    acks: args.has("acks"),
    sample: parseDecimal("-r", one("sample") ?? "100", { first: 0.01, last: 100, unit: "percent" }) / 100,
    snaplen: given("snaplen", (text) =>
      parseWhole("--snaplen", text, { first: 64, last: 65535, unit: "bytes" }),
    ),
    write,
    rotateSize: given("rotate-size", (text) => parseSize("--rotate-size", text, LEAST_BYTES)),
    rotateTime: given("rotate-time", (text) => parseTime("--rotate-time", text)),
    keep:
      given("keep", (text) => parseWhole("--keep", text, { first: 1, last: 100_000, unit: "files" })) ?? 0,
    compress: given("compress", parseCompression) ?? false,
    overwrite: args.has("overwrite"),
    count: given("count", (text) => parseWhole("-c", text, { first: 1, last: 1e12, unit: "packets" })),
    duration: given("duration", (text) => parseTime("--duration", text)),
    limitBytes: given("limit-bytes", (text) => parseSize("--limit-bytes", text, LEAST_BYTES)),
    json: args.has("json"),
    statsInterval: given("stats-interval", (text) =>
      parseDecimal("--stats-interval", text, { first: 0.1, last: 86400, unit: "seconds" }),
    ),
    ...readLogging("record", args),
    dryRun: args.has("dry-run"),
    hook: parseHook(one("capture") ?? "auto"),
    bufferBytes: parseBuffer(one("buffer")),
    mark: parseMark("--mark", one("mark") ?? MARK),
  };
  refuseContradictions(options);
  return options;
}
