/** The options of `xcopy copy` about traffic that was recorded. */
import type { Option } from "./command.ts";

/** The group "Recorded traffic". */
export const RECORDED: Option[] = [
  {
    name: "speed",
    short: "a",
    value: "FACTOR|max",
    values: ["max"],
    help: "replay at this multiple of the recorded speed, 0.1 to 1000, or max: as fast as the targets answer",
    default: "1; with --users max",
  },
  {
    name: "longest-gap",
    short: "I",
    value: "MS",
    values: "anything",
    help: "shorten gaps between packets to this length, 0 to 86400000 ms",
    default: "0, no gap is shortened",
  },
  {
    name: "loops",
    short: "T",
    value: "COUNT",
    values: "anything",
    help: "replay everything this many times, 1 to 1000000",
    default: "1",
  },
  {
    name: "start",
    value: "TIME",
    values: "anything",
    help: "skip the packets before this time: seconds from the first packet on, or 2026-01-31T22:00:00Z",
  },
  {
    name: "end",
    value: "TIME",
    values: "anything",
    help: "skip the packets after this time, written as for --start",
  },
  {
    name: "rate",
    value: "RATE/s",
    values: "anything",
    help: "start at most this many requests a second, 0.1 to 10000000; the others wait",
    default: "no limit",
  },
  {
    name: "users",
    value: "COUNT",
    values: "anything",
    help: "replay at most this many connections at a time, 1 to 1000000; the next begins when one has ended",
    default: "as recorded",
  },
];
