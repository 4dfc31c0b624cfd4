/** The command line of `xcopy intercept` as data: examples and options. */
import type { CommandSpec } from "./command.ts";
import { background, CONFIGURATION, daemonLog, KEY_PLACES, REPORTING, RIGHTS, SIGNALS } from "./common.ts";

/** TCP port of the channel, that of tcpcopy/intercept 1.x. */
export const CHANNEL_PORT = 36524;

export const INTERCEPT: CommandSpec = {
  name: "intercept",
  table: "intercept",
  summary: "catches the responses of a target and sends their headers to the copies",
  examples: [
    ["xcopy intercept -o :8080", "on the target: catch the responses of port 8080 to copies"],
    ["xcopy intercept -o 10.0.0.2:80,[2001:db8::2]:80", "two services of this host"],
    ["xcopy intercept -o :8080 --dry-run", "say what would be done, and do nothing"],
    [
      "xcopy intercept -i eth0 -F 'tcp and src port 8080'",
      "on a third host, which the target routes its responses to",
    ],
    [
      "xcopy intercept --mode nfqueue -o :8080 -x 10.0.0.9",
      "without eBPF; the client 10.0.0.9 still gets its responses",
    ],
    ["xcopy intercept -o :8080 --compat --compat-from 10.0.0.1", "for the tcpcopy 1.x on 10.0.0.1"],
  ],
  groups: {
    "What is caught": [
      {
        name: "service",
        short: "o",
        value: "LIST",
        values: "anything",
        multiple: true,
        common: true,
        help: "catch responses to copied requests from these ports of this host: [address]:port, [address]:first-last",
        details:
          "Several stand with commas between them, IPv6 addresses in brackets. With an address only the responses of this address are caught",
      },
      {
        name: "filter",
        short: "F",
        value: "FILTER",
        values: "anything",
        common: true,
        help: "on a third host (mode assistant): catch every packet that matches, written as for tcpdump (pcap-filter(7))",
      },
      {
        name: "interface",
        short: "i",
        value: "LIST",
        values: "interfaces",
        multiple: true,
        common: true,
        help: "catch on these interfaces, with commas between them",
        default: "all that are up",
      },
      {
        name: "mode",
        value: "MODE",
        values: ["target", "assistant", "nfqueue"],
        common: true,
        help: "where and how responses are caught: target, assistant or nfqueue",
        details:
          "target: by eBPF, on the target. assistant: by eBPF, on a third host. nfqueue: by a netfilter queue, without eBPF",
        default: "assistant with -F or where -o names other hosts, nfqueue with -x or -q, else target",
      },
      {
        name: "pass",
        short: "x",
        value: "LIST",
        values: "anything",
        multiple: true,
        help: "mode nfqueue: let the responses to these clients pass, addresses with commas between them",
        details: "Responses to all other clients are dropped",
      },
      {
        name: "queue-length",
        short: "q",
        value: "PACKETS",
        values: "anything",
        help: "mode nfqueue: most packets that wait in the queue, 1 to 1048576",
        details: "Values up to 1024 mean the default",
        default: "16384",
      },
      {
        name: "queue",
        value: "NUMBER",
        values: "anything",
        help: "mode nfqueue: the number of the netfilter queue, 0 to 65535",
        details: "Without -o xcopy makes no rule and only reads this queue",
        default: "0",
      },
      {
        name: "translate",
        short: "D",
        value: "A-B",
        values: "anything",
        multiple: true,
        help: "handle responses to address A as responses to B, for clients at B that the target sees as A",
        details: "Needed where the target runs in a container. Several pairs stand with commas between them",
      },
      {
        name: "dnat",
        help: "find the copy by the client's address and the ports alone",
        details: "For a target that responds from another address than requests are sent to",
      },
    ],
    "Which copies may connect": [
      {
        name: "bind",
        short: "b",
        value: "LIST",
        values: "anything",
        multiple: true,
        common: true,
        help: "listen for copies on these addresses of this host, with commas between them",
        default:
          "with a key all; with --insecure or --compat the address that -o names, else the one that the default route sends from",
      },
      {
        name: "port",
        short: "p",
        value: "PORT",
        values: "anything",
        common: true,
        help: "listen for copies on this TCP port, 1 to 65535",
        default: `${CHANNEL_PORT}`,
      },
      {
        name: "key-file",
        value: "FILE",
        values: "file",
        common: true,
        help: "accept only copies that have the key in this file, which only its owner may read",
        details: "xcopy key makes one",
        default: "the environment's XCOPY_KEY, else /etc/xcopy/xcopy.key",
      },
      {
        name: "insecure",
        help: "use no key, accept any copy; for trials in networks where nobody else can connect",
        details: "It takes no registrations then: mode target only, and no UDP",
      },
      {
        name: "flows",
        short: "s",
        value: "COUNT",
        values: "anything",
        help: "most copied connections known at a time, 1024 to 16777216",
        details: "Beyond that the one that was idle longest is forgotten",
        default: "1048576, in mode target 262144",
      },
      {
        name: "compat",
        help: "accept tcpcopy 1.x as well, which has no key and handles IPv4 only",
        details: "Without a key nobody else is accepted. Called as intercept it is always on",
      },
      {
        name: "compat-from",
        value: "LIST",
        values: "anything",
        multiple: true,
        help: "with --compat: accept tcpcopy 1.x from these addresses and networks only, with commas between them",
        details: "Called as intercept: from everywhere, if it is not given",
      },
      {
        name: "combine",
        short: "n",
        value: "COUNT",
        values: "anything",
        help: "with --compat: send up to this many responses at once, 0 to 16",
        default: "16",
      },
      {
        name: "disable-combined",
        help: "with --compat: send each response alone, for a tcpcopy built with --disable-combined",
      },
      {
        name: "single",
        help: "with --compat: for a tcpcopy built with --single, which registers no connections; it gets all responses",
      },
      {
        name: "protected",
        short: "c",
        help: "with --single: refuse another tcpcopy while one is connected",
        default: "the new one replaces it",
      },
    ],
    "Options from a file": CONFIGURATION,
    "What is reported": REPORTING,
    "What xcopy may do": RIGHTS,
    "How it is done": [
      {
        name: "dry-run",
        common: true,
        help: "say what would be attached, caught and dropped, and change nothing",
      },
      {
        name: "hook",
        value: "HOOK",
        values: ["auto", "tcx", "clsact", "xdp"],
        help: "where eBPF programs are attached: auto, tcx, clsact or, in mode assistant, xdp",
        details:
          "auto: tcx where the kernel has it, and XDP where the interfaces of -i serve nothing else and their drivers are known to support it well",
        default: "auto",
      },
      {
        name: "linger",
        value: "SECONDS",
        values: "anything",
        help: "keep dropping responses to copied requests for this long after the intercept or a copy is gone, 0 to 3600 s",
        default: "120; in mode nfqueue none after its end",
      },
      ...background("intercept"),
    ],
  },
  manual: {
    description: [
      "xcopy intercept runs where the responses of a target come by, and is needed only by copies that send from the real clients' addresses (xcopy copy -s). It drops the responses to copied requests, so that none reaches a client, and sends their headers to the copy that asked, over a connection that the copy makes.",
      "On the target (-o) it takes only responses to copied requests: everybody else keeps using the service. On a third host (-F) it takes everything that matches the filter: the target routes its responses to that host.",
      "Copies and intercepts share a key, which xcopy key makes. From the first message on all that they say to each other is encrypted.",
    ],
    exits: [0, 1, 2, 4, 5],
    environment: [KEY_PLACES.environment],
    files: [
      KEY_PLACES.file,
      ["/run/xcopy/", "What running processes attached, for xcopy cleanup"],
      [daemonLog("intercept"), "Messages with -d, where -l names no other file"],
    ],
    signals: SIGNALS,
    seeAlso: ["pcap-filter(7)", "nft(8)"],
  },
};
