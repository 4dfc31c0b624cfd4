/** The command line of `xcopy record` as data: examples and options. */
import type { CommandSpec } from "./command.ts";
import { background, CONFIGURATION, REPORTING, RIGHTS, SIGNALS } from "./common.ts";
import { MARK } from "./copy.ts";

export const RECORD: CommandSpec = {
  name: "record",
  table: "record",
  summary: "records the requests to a service on this host, for replay",
  examples: [
    ["xcopy record -x 80 -w cap.pcapng", "requests to port 80"],
    ["xcopy record -x 80 --both -w - | tshark -r -", "responses too, for tshark"],
    ["xcopy record -x 80 -w cap.pcapng --compress zstd", "compressed, cap.pcapng.zst"],
    ["xcopy record -x 80 -w cap.pcapng --rotate-size 100M --keep 10", "the last gigabyte of them"],
    ["xcopy record -x 80,443 -w cap-%F-%H%M.pcapng --rotate-time 5m", "files named by their time"],
  ],
  groups: {
    "What is recorded": [
      {
        name: "service",
        short: "x",
        value: "LIST",
        values: "anything",
        multiple: true,
        common: true,
        help: "record the requests to this port: [address:]port",
        details:
          "Separate several by commas; IPv6 addresses are in brackets. A target after it, as in xcopy copy, is ignored",
      },
      {
        name: "interface",
        short: "i",
        value: "LIST",
        values: "interfaces",
        multiple: true,
        common: true,
        help: "capture on these interfaces, separated by commas",
        default: "all that are up",
      },
      {
        name: "both",
        common: true,
        help: "record responses as well",
        default: "requests only, which is all that copying needs",
      },
      {
        name: "acks",
        help: "record pure ACKs as well, which say when a client had read a response",
        details: "Those are packets without data, SYN, FIN or RST",
        default: "only those that end a handshake",
      },
      {
        name: "sample",
        short: "r",
        value: "PERCENT",
        values: "anything",
        common: true,
        help: "record this share of the connections, 0.01 to 100",
        default: "100",
      },
      {
        name: "snaplen",
        value: "BYTES",
        values: "anything",
        help: "record at most this much of each packet, from its IP header on, 64 to 65535 bytes",
        details: "What is cut cannot be copied",
        default: "whole packets",
      },
    ],
    "Where it is written": [
      {
        name: "write",
        short: "w",
        value: "FILE",
        values: "file",
        common: true,
        help: "write to this pcapng file, or to standard output (-)",
        details:
          "Only its owner may read it. Its name may have conversions of strftime(3), in local time: %Y %m %d %H %M %S %y %j %s %F %T %%",
      },
      {
        name: "rotate-size",
        value: "SIZE",
        values: "anything",
        common: true,
        help: "begin a new file before one exceeds this, such as 100M",
        details:
          "At least 10k. The files are FILE-0001.pcapng, FILE-0002.pcapng, ...; numbers of existing files are skipped",
      },
      {
        name: "rotate-time",
        value: "TIME",
        values: "anything",
        common: true,
        help: "begin a new file after this time, such as 5m or 1h",
        details: "From 1s to 20d. A file that has no packet yet goes on",
      },
      {
        name: "keep",
        value: "COUNT",
        values: "anything",
        common: true,
        help: "keep only this many files, the newest, 1 to 100000",
        default: "all",
      },
      {
        name: "compress",
        value: "zstd",
        values: ["zstd"],
        common: true,
        help: "compress the files, which then end in .zst",
        details: "Limits of size then hold for the compressed files, roughly",
      },
      { name: "overwrite", help: "replace existing files" },
    ],
    "When it ends": [
      {
        name: "count",
        short: "c",
        value: "COUNT",
        values: "anything",
        help: "end after this many packets, at least 1",
      },
      {
        name: "duration",
        value: "TIME",
        values: "anything",
        common: true,
        help: "end after this time, such as 90s, 5m or 1h",
        details: "From 1s to 20d",
      },
      {
        name: "limit-bytes",
        value: "SIZE",
        values: "anything",
        help: "end before all files together get larger than this, such as 10G, at least 10k",
      },
    ],
    "Options from a file": CONFIGURATION,
    "What is reported": REPORTING,
    "What xcopy may do": RIGHTS,
    "How it is done": [
      {
        name: "dry-run",
        common: true,
        help: "say what would be done, and change nothing",
        details: "That is what would be captured and written",
      },
      {
        name: "capture",
        value: "HOOK",
        values: ["auto", "tcx", "clsact"],
        help: "where eBPF programs are attached: auto, tcx or clsact",
        details: "auto: tcx where the kernel has it",
        default: "auto",
      },
      {
        name: "buffer",
        short: "B",
        value: "MB",
        values: "anything",
        help: "most memory for captured packets that wait to be written, 1 to 4096 MB",
        default: "about 1 % of this host's, 32 to 512",
      },
      {
        name: "mark",
        value: "NUMBER",
        values: "anything",
        help: "the mark (SO_MARK) of packets that xcopy sends; packets with it are never recorded",
        details: "From 1 to 0xffffffff",
        default: MARK,
      },
      ...background("record"),
    ],
  },
  manual: {
    description: [
      "xcopy record writes what xcopy copy would copy to a file: the requests to a service, as pcapng. xcopy copy -i replays it, and tcpdump and Wireshark read it.",
    ],
    exits: [0, 1, 2, 4, 5],
    signals: SIGNALS,
    seeAlso: ["tshark(1)", "pcap-filter(7)"],
  },
};
