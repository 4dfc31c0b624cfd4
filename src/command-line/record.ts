/** The command line of `xcopy record` as data: examples and options. */
import type { CommandSpec } from "./command.ts";
import { background, CONFIGURATION, REPORTING, RIGHTS } from "./common.ts";
import { MARK } from "./copy.ts";

export const RECORD: CommandSpec = {
  name: "record",
  table: "record",
  summary: "writes the requests that reach a service on this host to a file, to be copied later",
  examples: [
    ["xcopy record -x 80 -w cap.pcapng", "requests to port 80"],
    ["xcopy record -x 80 -w cap.pcapng --rotate-size 100M --keep 10", "the last gigabyte of them"],
    ["xcopy record -x 80,443 -w cap-%F-%H%M.pcapng --rotate-time 5m", "files named by their time"],
    ["xcopy record -x 80 -w cap.pcapng --compress zstd", "compressed, cap.pcapng.zst"],
    ["xcopy record -x 80 --both -w - | tshark -r -", "also responses, for tshark"],
  ],
  groups: {
    "What is recorded": [
      {
        name: "service",
        short: "x",
        value: "LIST",
        multiple: true,
        help: "[address:]port with commas between several, IPv6 addresses in brackets: requests to this port (of this address only); a target after it, as in xcopy copy, is ignored",
      },
      {
        name: "interface",
        short: "i",
        value: "LIST",
        multiple: true,
        help: "capture on these interfaces with commas between them (default: all that are up)",
      },
      {
        name: "both",
        help: "record responses as well (default: requests only, which is all that copying needs)",
      },
      {
        name: "acks",
        help: "record pure ACKs as well, which say when a client had read a response: packets without data, SYN, FIN or RST (default: only those that end a handshake)",
      },
      {
        name: "sample",
        short: "r",
        value: "PERCENT",
        help: "record this share of the connections, 0.01 to 100 (default: 100)",
      },
      {
        name: "snaplen",
        value: "BYTES",
        help: "record no more than this of each packet, from its IP header on, 64 to 65535: what is cut cannot be copied (default: whole packets)",
      },
    ],
    "Where it is written": [
      {
        name: "write",
        short: "w",
        value: "FILE",
        help: "this file, a pcapng that only its owner may read, or - for standard output; with conversions of strftime(3), in local time: %Y %m %d %H %M %S %y %j %s %F %T %%",
      },
      {
        name: "rotate-size",
        value: "SIZE",
        help: "begin a new file before the current one gets larger than this, at least 10k (100M): FILE-0001.pcapng, FILE-0002.pcapng, ...; numbers of existing files are skipped",
      },
      {
        name: "rotate-time",
        value: "TIME",
        help: "begin a new file after this time, at least 1s (5m, 1h), unless the current one has no packet yet",
      },
      {
        name: "keep",
        value: "COUNT",
        help: "keep only this many of these files, the newest, 1 to 100000 (default: all)",
      },
      {
        name: "compress",
        value: "zstd",
        help: "compress the files, which then end in .zst; limits of size then hold for the compressed files, roughly",
      },
      { name: "overwrite", help: "replace existing files" },
    ],
    "When it ends": [
      { name: "count", short: "c", value: "COUNT", help: "after this many packets, at least 1" },
      { name: "duration", value: "TIME", help: "after this time, at least 1s" },
      {
        name: "limit-bytes",
        value: "SIZE",
        help: "before all files together get larger than this, at least 10k",
      },
    ],
    "Options from a file": CONFIGURATION,
    "What is reported": REPORTING,
    "What xcopy may do": RIGHTS,
    "How it is done": [
      { name: "dry-run", help: "say what would be captured and written, and touch nothing" },
      {
        name: "capture",
        value: "HOOK",
        help: "where programs are attached: auto, tcx or clsact (default: auto, which is tcx where the kernel has it)",
      },
      {
        name: "buffer",
        short: "B",
        value: "MB",
        help: "memory for captured packets that wait to be written, 1 to 4096 (default: about 1 % of this host's, 32 to 512)",
      },
      {
        name: "mark",
        value: "NUMBER",
        help: `the mark (SO_MARK) of packets that xcopy sends, which are never recorded (default: ${MARK})`,
      },
      ...background("record"),
    ],
  },
};
