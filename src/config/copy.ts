/** The options of `xcopy copy`: what each is called, what it may be, what it is without being given. */
import { Failure } from "../native/failure.ts";
import type { Address } from "./address.ts";
import type { Arguments } from "./arguments.ts";
import type { CommandSpec } from "./command.ts";
import { parseDecimal, parseMark, parseWhole, type Range } from "./number.ts";
import { parsePool } from "./pool.ts";
import { type PortRange, parsePorts } from "./ports.ts";
import { parseTransfers, type Transfer } from "./transfer.ts";

/** Where the kernel programs are hung: `auto` takes tcx where the kernel has it. */
export type Hook = "auto" | "tcx" | "clsact";

export interface CopyOptions {
  transfers: Transfer[];
  /** Empty: this host's own address. */
  pool: Address[];
  /** Values of -i; empty: every interface that is up. */
  interfaces: readonly string[];
  /** Bytes. */
  memory: number;
  /** Largest IP packet to send, null: what the interface and the route take. */
  mtu: number | null;
  /** Seconds without an answer after which a session is given up. */
  timeout: number;
  maxSessions: number;
  /** Null: the ports this host does not use itself. */
  ports: PortRange | null;
  /** Seconds. */
  drain: number;
  json: boolean;
  /** Seconds; null: not given. */
  statsInterval: number | null;
  log: string | null;
  dryRun: boolean;
  force: boolean;
  hook: Hook;
  mark: number;
}

const MARK = "0x78637079";

export const COPY: CommandSpec = {
  name: "copy",
  summary: "copies the requests that reach a service on this host to a target",
  examples: [
    ["xcopy copy -x 80-10.0.0.2:8080", "what reaches port 80 also goes to 10.0.0.2:8080"],
    ["xcopy copy -x 80-10.0.0.2 -x 443-10.0.0.3", "two services, each to the same port of its target"],
    ["xcopy copy -x 80-10.0.0.2 --dry-run", "say what would be done, do nothing"],
  ],
  groups: {
    "What is copied where": [
      {
        name: "transfer",
        short: "x",
        value: "LIST",
        multiple: true,
        help: "[address:]port-target[:port] with commas between several, IPv6 addresses in brackets: requests to this port (of this address only) go to the target (without a port, to the same)",
      },
      {
        name: "interface",
        short: "i",
        value: "LIST",
        multiple: true,
        help: "capture on these interfaces with commas between them (default: all that are up)",
      },
      {
        name: "clients",
        short: "c",
        value: "LIST",
        multiple: true,
        help: "send from these addresses, which the target must answer by way of this host: addresses, a.b.c.x (1 to 254), first-last or network/length, at most 4096 (default: this host's own address)",
      },
      {
        name: "ports",
        value: "FIRST-LAST",
        help: "send from these ports (default: all from 1024 that this host does not use for its own connections)",
      },
    ],
    Limits: [
      {
        name: "memory",
        short: "m",
        value: "MB",
        help: "most memory for requests that wait to be sent, 16 to 65536 (default: 256)",
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
        help: "largest packet to send, 576 to 65535 (default: what interface and route take)",
      },
      {
        name: "timeout",
        short: "t",
        value: "SECONDS",
        help: "give a connection up when the target owes an answer for this long, 1 to 86400 (default: 600)",
      },
      {
        name: "drain",
        value: "SECONDS",
        help: "at the end wait this long for answers, 0 to 3600 (default: 2)",
      },
    ],
    "What is reported": [
      { name: "json", help: "print the account as one JSON object, the last line of standard output" },
      {
        name: "stats-interval",
        value: "SECONDS",
        help: "report this often as well, 0.1 to 86400: with --json a JSON object per line, else a line of text (default: 10, and on a terminal a line that is kept up to date)",
      },
      { name: "log", short: "l", value: "FILE", help: "append messages to this file as well, with the time" },
    ],
    "How it is done": [
      { name: "dry-run", help: "say what would be captured, sent and dropped, and touch nothing" },
      { name: "force", help: "start even if a target does not answer" },
      {
        name: "capture",
        value: "HOOK",
        help: "where programs are attached: auto, tcx or clsact (default: auto, which is tcx where the kernel has it)",
      },
      {
        name: "mark",
        value: "NUMBER",
        help: `the mark (SO_MARK) of packets of ours, which are never captured (default: ${MARK})`,
      },
    ],
  },
  refused: {
    d: [
      "xcopy does not run in the background by itself yet",
      'Start it from a service manager, or with "nohup".',
    ],
    s: [
      "xcopy has no intercept yet",
      "Leave it out: answers of the target come back to this host and end here.",
    ],
    ...Object.fromEntries(
      [..."BCDFHILOPRSTUWafgknopr"].map((letter) => [
        letter,
        ["it is an option of tcpcopy that xcopy does not have yet", "Leave it out."],
      ]),
    ),
  },
};

const MEGABYTE = 1 << 20;

function parseHook(text: string): Hook {
  if (text === "auto" || text === "tcx" || text === "clsact") return text;
  throw new Failure(`Cannot use --capture "${text}": no such hook`, "Give auto, tcx or clsact.", 2);
}

/** Reads all options; nothing outside the command line is looked at. Throws a Failure (exit code 2). */
export function parseCopy(args: Arguments): CopyOptions {
  const all = (name: string) => args.get(name) ?? [];
  const one = (name: string) => args.get(name)?.[0] ?? null;
  const whole = (option: string, name: string, range: Range, otherwise: number) => {
    const text = one(name);
    return text === null ? otherwise : parseWhole(option, text, range);
  };
  const [mtu, ports, interval, drain] = [one("mtu"), one("ports"), one("stats-interval"), one("drain")];
  return {
    transfers: parseTransfers(all("transfer")),
    pool: parsePool(all("clients")),
    interfaces: all("interface"),
    memory: whole("-m", "memory", { first: 16, last: 65536, unit: "MB" }, 256) * MEGABYTE,
    mtu: mtu === null ? null : parseWhole("-M", mtu, { first: 576, last: 65535, unit: "bytes" }),
    timeout: whole("-t", "timeout", { first: 1, last: 86400, unit: "seconds" }, 600),
    maxSessions: whole("--max-sessions", "max-sessions", { first: 1, last: 16777216 }, 262144),
    ports: ports === null ? null : parsePorts(ports),
    drain: drain === null ? 2 : parseDecimal("--drain", drain, { first: 0, last: 3600, unit: "seconds" }),
    json: args.has("json"),
    statsInterval:
      interval === null
        ? null
        : parseDecimal("--stats-interval", interval, { first: 0.1, last: 86400, unit: "seconds" }),
    log: one("log"),
    dryRun: args.has("dry-run"),
    force: args.has("force"),
    hook: parseHook(one("capture") ?? "auto"),
    mark: parseMark("--mark", one("mark") ?? MARK),
  };
}
