/** The command line of `xcopy copy` as data: examples, options, and the options of tcpcopy that it refuses. */
import type { CommandSpec } from "./command.ts";
import { background, CONFIGURATION, REPORTING, RIGHTS } from "./common.ts";
import { COMPARISON } from "./comparison.ts";

/**
 * SO_MARK of our packets without --mark. Bits that nobody known tests under a mask (Calico 0xffff0000, kube-proxy 0xc000, mwan3
 * 0x3f00, Cilium 0x1f00, Tailscale 0xff0000), and a value that nobody known compares with: test/command-line/mark.test.ts.
 */
export const MARK = "0xc0";

export const COPY: CommandSpec = {
  name: "copy",
  table: "copy",
  summary: "copies the requests that reach a service on this host to a target",
  examples: [
    ["xcopy copy -x 80-10.0.0.2:8080", "what reaches port 80 also goes to 10.0.0.2:8080"],
    ["xcopy copy -x 80-10.0.0.2 -x 443-10.0.0.3", "two services, each to the same port of its target"],
    ["xcopy copy -x udp:53-10.0.0.2:5353", "a UDP service; tcp: and udp: may stand side by side"],
    ["xcopy copy -x 80-10.0.0.2,80-10.0.0.3", "one service to two targets, each gets all of it"],
    [
      "xcopy copy -x '80-10.0.0.2|10.0.0.3*2'",
      "each connection to one of two targets, to the second twice as many",
    ],
    ["xcopy copy -x 80-10.0.0.2 -r 10 -g 60", "a tenth of the connections, reached in 60 s"],
    [
      "xcopy copy -x 80-10.0.0.2 -s 10.0.0.2",
      "from the clients' addresses; xcopy intercept runs on 10.0.0.2",
    ],
    ["xcopy copy -i online.pcap -x 80-10.0.0.2", "replay a recording instead of live traffic"],
    ["xcopy copy -x 3306-10.0.0.2 -u app@secret", "MySQL, with the passwords of the target"],
    ["xcopy copy -x 80-10.0.0.2 --compare", "say what it answers otherwise (see --report, --web)"],
    ["xcopy copy -x 80-10.0.0.2 --dry-run", "say what would be done, do nothing"],
  ],
  groups: {
    "What is copied where": [
      {
        name: "transfer",
        short: "x",
        value: "LIST",
        multiple: true,
        help: "[udp:][address:]port-target[:port] with commas between several, IPv6 addresses in brackets: requests to this port of this address (without one, of any address of this host: what it only forwards is left out) go to the target (without a port, to the same); to all targets where the same port is given several times; with | between targets each connection goes to one of them, to target*3 three times as many (weights 1 to 1000); target:port@MAC gives the MAC address of the next hop, which is looked up otherwise, port@MAC-target the source MAC address of the frames",
      },
      {
        name: "input",
        short: "i",
        value: "LIST",
        multiple: true,
        help: "capture on these interfaces (any: on all) with commas between them, or replay these files: pcap or pcapng, also gzip or zstd, directories with such files, or - for standard input (default: capture on all interfaces that are up)",
      },
      {
        name: "filter",
        short: "F",
        value: "FILTER",
        help: "of the requests that -x names copy only those that match this filter, written as for tcpdump (man 7 pcap-filter); it runs in the kernel",
      },
      {
        name: "direction",
        value: "in|out",
        help: "copy requests that come in to the services of -x, or that leave this host for them, on the clients' side (default: in)",
      },
      {
        name: "clients",
        short: "c",
        value: "LIST",
        multiple: true,
        help: "send from these addresses, to which the target must have a route through this host: single addresses, a.b.c.x (1 to 254), first-last or network/length, at most 4096 in all (default: this host's own address)",
      },
      {
        name: "ports",
        value: "FIRST-LAST",
        help: "send from these ports (default: all from 1024 up that this host does not use for its own connections)",
      },
      {
        name: "shift",
        short: "f",
        value: "K[/N]",
        help: "send from part K of N equal parts of these ports, K from 0 to 1023: xcopy processes with the same N and different K use different ports and can run side by side (without N: 16 parts, for K of 16 or more the next power of two above K; default: all ports)",
      },
      {
        name: "proxy-protocol",
        value: "VERSION",
        help: "open each connection with a PROXY protocol header of this version, v1 or v2, which names the real client, for a target that expects one; none leaves out those that clients (load balancers) send (default: these go to the target as they came)",
      },
    ],
    "Protocols that are understood": [
      {
        name: "protocol",
        value: "[PORT=]NAME",
        multiple: true,
        help: "read the connections of all transfers, or of the service at this port only, as mysql, http or none: the exact end of each answer is then known, without waiting for silence, and mysql sessions log in, prepare and reconnect as the target needs it (default: mysql if the target greets as a MySQL server does, which is tried where a port is 3306 or an option about MySQL is given; else none)",
      },
      {
        name: "user",
        short: "u",
        value: "LIST",
        multiple: true,
        help: "passwords of MySQL users at the target, user@password with commas between several; user>other@password logs in as other instead of user",
      },
      {
        name: "mysql-users",
        value: "FILE",
        help: "the same from a file that only its owner may read, one user a line (default: the credential mysql-users of the service manager, if there is one)",
      },
      {
        name: "mysql-skip-grant",
        help: "the target was started with --skip-grant-tables: it takes any login",
      },
      {
        name: "mysql-database",
        value: "NAME",
        help: "the database of MySQL connections that were open before xcopy started (default: that of the logins seen since then, else none)",
      },
      {
        name: "trust-logins",
        help: "let MySQL clients in at the target whatever production answered to their logins: needed where that is not seen: without eBPF, and for recordings of requests only (default: only those that production has let in)",
      },
      { name: "read-only", help: "send only MySQL statements that cannot write" },
      { name: "skip-ddl", help: "send no MySQL statements that define data (CREATE, ALTER, DROP, ...)" },
      {
        name: "account-statements",
        help: "send MySQL statements about accounts and the server too (GRANT, SET PASSWORD, KILL, SHUTDOWN, ...)",
      },
    ],
    "Real client addresses": [
      {
        name: "intercepts",
        short: "s",
        value: "LIST",
        multiple: true,
        help: "send from the clients' own addresses (or those of -c): the answers are caught and sent here by the intercepts at these addresses, address[:port] with commas between them (default: none, and answers come back to this host's own address)",
      },
      {
        name: "port",
        short: "p",
        value: "PORT",
        help: "port of the intercepts that name none in -s, 1 to 65535 (default: 36524)",
      },
      {
        name: "key-file",
        value: "FILE",
        help: "the key that the intercepts have too: a file that only its owner may read (xcopy key makes one; default: the environment's XCOPY_KEY, else /etc/xcopy/xcopy.key)",
      },
      {
        name: "insecure",
        help: "without a key, to try it out where nobody else can connect: talk to intercepts that have --insecure too; no UDP",
      },
      {
        name: "probe-from",
        value: "LIST",
        help: "source addresses of the connection that tries the way to each target and back by its intercept before the first request: an unused address of a network of the clients, at most one IPv4 and one IPv6 (with -c: always its addresses; default: 192.0.2.1 and 2001:db8::1)",
      },
      {
        name: "connections",
        short: "C",
        value: "COUNT",
        help: "connections of each worker to each intercept, 1 to 16 (default: 1)",
      },
      { name: "compat", help: "talk to an intercept 1.x of tcpcopy" },
      {
        name: "lonely",
        short: "L",
        help: "for compatibility with tcpcopy, without effect: xcopy always waits for lost intercepts to come back",
      },
    ],
    "How much, how often": [
      {
        name: "sample",
        short: "r",
        value: "PERCENT",
        help: "copy this share of the connections, 0.01 to 100 (default: 100)",
      },
      {
        name: "gradual",
        short: "g",
        value: "SECONDS",
        help: "raise the share of connections from 0 to that of -r over this time, 1 to 86400 (called as tcpcopy, -g without a value means 100)",
      },
      {
        name: "limit",
        value: "RATE/s",
        help: "send at most this many requests a second, each copy of a request counted, 0.1 to 10000000; the others are not sent",
      },
      {
        name: "replicas",
        short: "n",
        value: "COUNT",
        help: "copy each connection this many times, 1 to 10000 (default: 1)",
      },
      {
        name: "jitter",
        value: "MS",
        help: "with -n: delay each copy but the first by its own random time up to this, 0 to 60000 (default: 0, all at once)",
      },
      {
        name: "full-sessions",
        short: "O",
        help: "do not copy connections that were open before xcopy started (default: they are copied from their next request on)",
      },
    ],
    "How fast": [
      {
        name: "pace",
        value: "clock|think|fast",
        help: "when the target has answered, send the next request at the time of production's clock (at once if that is past), after the client's think time, or at once (default: clock)",
      },
      {
        name: "late",
        value: "RULE",
        help: "what becomes of requests that the target is too slow for: wait, drop:SECONDS (those older than this, 0.001 to 86400), or spread[:SECONDS] (HTTP: over more connections of the same client; 0.1 s if not given) (default: wait)",
      },
      {
        name: "no-wait",
        short: "W",
        help: "send requests when the client did, whether or not the target has answered the one before",
      },
      {
        name: "turn-timeout",
        value: "SECONDS",
        help: "send the next request without an answer after this time, 0.001 to 86400 (default: 5)",
      },
      {
        name: "rtt",
        short: "R",
        value: "MS",
        help: "take an answer shorter than production's as complete after this much silence, 0 to 60000 (default: 0, two round trips as measured)",
      },
    ],
    "Recorded traffic (-i with files)": [
      {
        name: "speed",
        short: "a",
        value: "FACTOR|max",
        help: "replay at this multiple of the recorded speed, 0.1 to 1000, or max: as fast as the targets answer (default: 1; with --users max)",
      },
      {
        name: "longest-gap",
        short: "I",
        value: "MS",
        help: "shorten gaps between packets that are longer than this to this length, 0 to 86400000 (default: 0, no gap is shortened)",
      },
      {
        name: "loops",
        short: "T",
        value: "COUNT",
        help: "replay everything this many times, 1 to 1000000 (default: 1)",
      },
      {
        name: "start",
        value: "TIME",
        help: "skip all packets before this time: seconds after the first packet, or a time such as 2026-01-31T22:00:00Z",
      },
      { name: "end", value: "TIME", help: "skip all packets after this time, written as for --start" },
      { name: "rate", value: "RATE/s", help: "start at most this many requests a second; the others wait" },
      {
        name: "users",
        value: "COUNT",
        help: "replay at most this many connections at a time, the next one when one has ended (default: as recorded)",
      },
    ],
    Limits: [
      {
        name: "memory",
        short: "m",
        value: "MB",
        help: "most memory for requests that wait to be sent, 16 to 65536; it is taken when a burst needs it (default: 5 % of this host's, 256 to 2048)",
      },
      {
        name: "max-sessions",
        value: "COUNT",
        help: "most connections copied at a time, 1 to 16777216 (default: 262144)",
      },
      {
        name: "mtu",
        short: "M",
        value: "BYTES",
        help: "largest packet to send, 576 to 65535 (default: the MTU of interface and route)",
      },
      {
        name: "no-fragment",
        help: "do not copy UDP datagrams that do not fit into one packet (default: they are sent in fragments)",
      },
      {
        name: "timeout",
        short: "t",
        value: "SECONDS",
        help: "give a connection up when the target has not sent an expected answer for this long, 1 to 86400 (default: 600; UDP: a datagram counts as unanswered after 5)",
      },
      {
        name: "keepalive",
        short: "k",
        value: "SECONDS",
        help: "forget a connection without any sign of life (requests, acknowledgements, keep-alives) for this long, 1 to 864000 (default: 604800, a week; UDP: 120)",
      },
      {
        name: "drain",
        value: "SECONDS",
        help: "at the end wait this long for answers, 0 to 3600 (default: 2)",
      },
    ],
    CPUs: [
      {
        name: "workers",
        value: "COUNT|auto",
        help: "share the connections among this many threads, 1 to 64, or auto for half of the CPUs and at most 8; limits hold for all of them together (default: 1, with --cpus one for each CPU)",
      },
      {
        name: "cpus",
        value: "LIST",
        help: "run only on these CPUs, such as 2,4-7, each worker on one of them (default: on all)",
      },
      {
        name: "nice",
        value: "NUMBER|idle",
        help: "let other programs go first, 0 to 19 as in nice, or idle: run only when no other program wants to (default: as it is started)",
      },
      {
        name: "cpu-limit",
        value: "PERCENT",
        help: "use at most this much CPU for all workers together, 100 is one CPU; requests for which that is not enough are not copied (default: no limit)",
      },
    ],
    "What the new version did": COMPARISON,
    "Options from a file": CONFIGURATION,
    "What is reported": REPORTING,
    "What xcopy may do": RIGHTS,
    "How it is done": [
      { name: "dry-run", help: "say what would be captured, sent and dropped, and touch nothing" },
      { name: "force", help: "start even if a target does not answer" },
      {
        name: "capture",
        value: "HOW",
        help: "capture by tcx or clsact (eBPF programs), packet (a packet socket), raw (raw IP sockets, as tcpcopy does), pcap (libpcap), xdp (eBPF before the network stack: single packets, as they came from the wire; in the driver if it can) or xdp-generic (the same, never in the driver) (default: auto, the first of tcx, clsact, packet and raw that works)",
      },
      {
        name: "inject",
        value: "HOW",
        help: "send by packet (past routing and netfilter, on Ethernet and on tunnels) or raw (IP packets that the kernel routes and filters) (default: auto, packet, but raw to this host itself)",
      },
      {
        name: "output",
        short: "o",
        value: "INTERFACE",
        help: "send over this interface, to the next hop of its route to the target (default: the interface that the routing table chooses)",
      },
      {
        name: "buffer",
        short: "B",
        value: "MB",
        help: "memory for captured packets that wait to be read, 1 to 4096 (default: about 1 % of this host's, 32 to 512)",
      },
      {
        name: "snaplen",
        short: "S",
        value: "BYTES",
        help: "capture at most this many bytes of each packet, 128 to 65535; requests that are longer are not copied (default: 65535)",
      },
      {
        name: "mark",
        value: "NUMBER",
        help: `the mark (SO_MARK) of packets that xcopy sends, which are never captured (default: ${MARK})`,
      },
      ...background("copy"),
    ],
  },
  refused: Object.fromEntries(
    [..."DHU"].map((letter) => [
      letter,
      ["it is an option of tcpcopy that xcopy does not have yet", "Leave it out."],
    ]),
  ),
};
