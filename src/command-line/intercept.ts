/** The command line of `xcopy intercept` as data: examples and options. */
import type { CommandSpec } from "./command.ts";
import { background, CONFIGURATION, REPORTING, RIGHTS } from "./common.ts";

/** TCP port of the channel, that of tcpcopy/intercept 1.x. */
export const CHANNEL_PORT = 36524;

export const INTERCEPT: CommandSpec = {
  name: "intercept",
  table: "intercept",
  summary: "catches the responses of a target and sends their headers to the copies",
  examples: [
    [
      "xcopy intercept -o :8080",
      "on the target: port 8080's responses to copied requests do not leave the host",
    ],
    ["xcopy intercept -o 10.0.0.2:80,[2001:db8::2]:80", "two services of this host"],
    [
      "xcopy intercept -i eth0 -F 'tcp and src port 8080'",
      "on a third host that the target routes its responses to",
    ],
    [
      "xcopy intercept --mode nfqueue -o :8080 -x 10.0.0.9",
      "without eBPF; the client 10.0.0.9 still gets its responses",
    ],
    ["xcopy intercept -o :8080 --compat --compat-from 10.0.0.1", "for the tcpcopy 1.x on 10.0.0.1"],
    ["xcopy intercept -o :8080 --dry-run", "say what would be done, do nothing"],
  ],
  groups: {
    "What is caught": [
      {
        name: "service",
        short: "o",
        value: "LIST",
        multiple: true,
        help: "[address]:port or [address]:first-last with commas between several, IPv6 addresses in brackets: catch the responses to copied requests from these ports of this host (of this address only)",
      },
      {
        name: "filter",
        short: "F",
        value: "FILTER",
        help: "on a third host (mode assistant): catch every packet that matches this, in the language of tcpdump (pcap-filter)",
      },
      {
        name: "interface",
        short: "i",
        value: "LIST",
        multiple: true,
        help: "catch on these interfaces with commas between them (default: all that are up)",
      },
      {
        name: "mode",
        value: "MODE",
        help: "target (eBPF, on the target), assistant (eBPF, on a third host) or nfqueue (a netfilter queue) (default: assistant with -F or where -o names other hosts, nfqueue with -x or -q, else target)",
      },
      {
        name: "pass",
        short: "x",
        value: "LIST",
        multiple: true,
        help: "mode nfqueue: let responses to these clients (addresses, with commas between them) pass; responses to all other clients are dropped",
      },
      {
        name: "queue-length",
        short: "q",
        value: "PACKETS",
        help: "mode nfqueue: most packets that wait in the queue, 1 to 1048576; values up to 1024 mean the default (default: 16384)",
      },
      {
        name: "queue",
        value: "NUMBER",
        help: "mode nfqueue: number of the netfilter queue, 0 to 65535; without -o xcopy makes no rule and only reads this queue (default: 0)",
      },
      {
        name: "translate",
        short: "D",
        value: "A-B",
        multiple: true,
        help: "handle responses to address A as responses to B, for clients at B that the target sees as A (containers); commas between several pairs",
      },
      {
        name: "dnat",
        help: "find the copy by the client's address and the ports alone, for a target that answers from another address than requests are sent to",
      },
    ],
    "Which copies may connect": [
      {
        name: "bind",
        short: "b",
        value: "LIST",
        multiple: true,
        help: "listen for copies on these addresses (default: with a key on all; with --insecure or --compat on the address that -o names, else on the address that the default route sends from)",
      },
      {
        name: "port",
        short: "p",
        value: "PORT",
        help: `listen on this port, 1 to 65535 (default: ${CHANNEL_PORT})`,
      },
      {
        name: "key-file",
        value: "FILE",
        help: "accept only copies that have the key in this file, which only its owner may read (xcopy key makes one; default: the environment's XCOPY_KEY, else /etc/xcopy/xcopy.key)",
      },
      {
        name: "insecure",
        help: "without a key, to try it out where nobody else can connect: accept any copy, but take no registrations: mode target only, no UDP",
      },
      {
        name: "flows",
        short: "s",
        value: "COUNT",
        help: "most flows that are known at a time, 1024 to 16777216; beyond that the flow that was idle longest is forgotten (default: 1048576, in mode target 262144)",
      },
      {
        name: "compat",
        help: "accept tcpcopy 1.x as well, which has no key and handles IPv4 only (called as intercept: always); without a key nobody else is accepted",
      },
      {
        name: "compat-from",
        value: "LIST",
        multiple: true,
        help: "with --compat: accept tcpcopy 1.x from these addresses and networks only, with commas between them (called as intercept: from everywhere, if it is not given)",
      },
      {
        name: "combine",
        short: "n",
        value: "COUNT",
        help: "with --compat: send up to this many responses at once, 0 to 16 (default: 16)",
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
        help: "with --single: refuse another tcpcopy while one is connected (default: the new one replaces it)",
      },
    ],
    "Options from a file": CONFIGURATION,
    "What is reported": REPORTING,
    "What xcopy may do": RIGHTS,
    "How it is done": [
      { name: "dry-run", help: "say what would be attached, caught and dropped, and touch nothing" },
      {
        name: "hook",
        value: "HOOK",
        help: "where programs are attached: auto, tcx, clsact or, in mode assistant, xdp (default: auto, which is tcx where the kernel has it, and XDP where the interfaces of -i serve nothing else and their drivers are known to support it well)",
      },
      {
        name: "linger",
        value: "SECONDS",
        help: "after the intercept ends or is killed, or a copy is gone, go on dropping responses to copied requests for this long, 0 to 3600 (default: 120; after the end none in mode nfqueue)",
      },
      ...background("intercept"),
    ],
  },
};
