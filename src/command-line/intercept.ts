/** `xcopy intercept` as it describes itself: examples and options. */
import type { CommandSpec } from "./command.ts";
import { REPORTING } from "./common.ts";

/** TCP port of the channel, that of tcpcopy/intercept 1.x. */
export const CHANNEL_PORT = 36524;

export const INTERCEPT: CommandSpec = {
  name: "intercept",
  summary: "catches the responses of a target and sends their headers to the copies",
  examples: [
    ["xcopy intercept -o :8080", "on the target: responses to copied requests never leave port 8080"],
    ["xcopy intercept -o 10.0.0.2:80,[2001:db8::2]:80", "two services of this host"],
    ["xcopy intercept -i eth0 -F 'tcp and src port 8080'", "on a third host that the target routes by"],
    ["xcopy intercept --mode nfqueue -o :8080 -x 10.0.0.9", "without eBPF; 10.0.0.9 is served as before"],
    ["xcopy intercept -o :8080 --compat", "for tcpcopy 1.x"],
    ["xcopy intercept -o :8080 --dry-run", "say what would be done, do nothing"],
  ],
  groups: {
    "What is caught": [
      {
        name: "service",
        short: "o",
        value: "LIST",
        multiple: true,
        help: "[address]:port or [address]:first-last with commas between several, IPv6 addresses in brackets: catch what these ports of this host (of this address only) answer to copied requests",
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
        help: "mode nfqueue: let responses to these clients (addresses, with commas between them) pass; to all others none does",
      },
      {
        name: "queue-length",
        short: "q",
        value: "PACKETS",
        help: "mode nfqueue: most packets that wait, 1 to 1048576; up to 1024 means the default (default: 16384)",
      },
      {
        name: "queue",
        value: "NUMBER",
        help: "mode nfqueue: the queue, 0 to 65535; without -o no rule is made and this one is read (default: 0)",
      },
      {
        name: "translate",
        short: "D",
        value: "A-B",
        multiple: true,
        help: "take responses to address A as if they went to B, for clients that the target sees as A (containers); commas between several pairs",
      },
      {
        name: "dnat",
        help: "find the copy by the client's address and the ports alone: the target answers from another address than it was sent to",
      },
    ],
    "Whom it is sent to": [
      {
        name: "bind",
        short: "b",
        value: "LIST",
        multiple: true,
        help: "listen for copies on these addresses (default: with a key on all; without one on the address that -o names, else on the one this host uses towards others)",
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
        help: "take copies that know the secret in this file only, at least 16 bytes (default: XCOPY_KEY)",
      },
      {
        name: "flows",
        short: "s",
        value: "COUNT",
        help: "most flows that are known at a time, 1024 to 16777216; the longest idle one makes way (default: 1048576, in mode target 262144)",
      },
      {
        name: "compat",
        help: "take tcpcopy 1.x as well, which proves nothing and sees IPv4 only (called as intercept: always)",
      },
      {
        name: "combine",
        short: "n",
        value: "COUNT",
        help: "with --compat: send up to this many responses at once, 0 to 16 (default: 16)",
      },
      {
        name: "disable-combined",
        help: "with --compat: send each alone, for a tcpcopy that was built so",
      },
      {
        name: "single",
        help: "with --compat: for a tcpcopy that was built so and registers nothing; it gets all responses",
      },
      {
        name: "protected",
        short: "c",
        help: "with --single: refuse another tcpcopy while one is connected (default: it takes its place)",
      },
    ],
    "What is reported": REPORTING,
    "How it is done": [
      { name: "dry-run", help: "say what would be attached, caught and dropped, and touch nothing" },
      {
        name: "hook",
        value: "HOOK",
        help: "where programs are attached: auto, tcx, clsact or, in mode assistant, xdp (default: auto, which is tcx where the kernel has it, and XDP where the interfaces of -i serve nothing else and their drivers are known to be good at it)",
      },
      {
        name: "linger",
        value: "SECONDS",
        help: "when it ends or is killed, go on dropping what the target still answers for this long, 0 to 3600 (default: 120; none in mode nfqueue)",
      },
      {
        name: "daemon",
        short: "d",
        help: "go to the background once it works; messages go to -l (default: /var/log/xcopy-intercept.log)",
      },
      {
        name: "pid-file",
        short: "P",
        value: "FILE",
        help: "write the process id to this file, and remove it at the end",
      },
    ],
  },
};
