/** Reads and checks the options of `xcopy copy`, and gives each its default. */
import { SIGN_SPAN } from "../capture/history.ts";
import { MARK } from "../command-line/copy.ts";
import type { Arguments } from "../command-line/reading/arguments.ts";
import { type Logging, readLogging } from "../command-line/reading/logging.ts";
import { type Address, parseAddress, unusable } from "../config/address.ts";
import { CAPTURE_OPTIONS, type CaptureOptions, parseCapture } from "../config/capture.ts";
import { type Injection, parseInjection } from "../config/injection.ts";
import { INTERCEPT_PORT, type Intercept, parseIntercepts } from "../config/intercepts.ts";
import { MYSQL_OPTIONS, parseMysql } from "../config/mysql.ts";
import { parseDecimal, parseMark, parseWhole, type Range } from "../config/number.ts";
import { type LateRule, type Pace, parseLate, parsePace } from "../config/pace.ts";
import { parsePool } from "../config/pool.ts";
import { type Part, type PortRange, parsePart, parsePorts } from "../config/ports.ts";
import { type ProtocolChoice, parseProtocols } from "../config/protocol.ts";
import { parseRate, parseTrace, TRACE_OPTIONS, type TraceOptions } from "../config/trace.ts";
import { parseTransfers, type Transfer } from "../config/transfer.ts";
import { parseWorkers, type WorkerOptions } from "../config/workers.ts";
import { Failure } from "../native/failure.ts";
import type { MysqlConfig } from "../protocol/mysql/config.ts";
import {
  type AudienceOptions,
  type CompareOptions,
  parseAudience,
  parseCompare,
} from "./comparison/options.ts";

export interface CopyOptions extends Logging {
  /** Whether it has a file of --config, which may ask for something else later. */
  isReloadable: boolean;
  transfers: Transfer[];
  /** Empty: this host's own address. */
  pool: Address[];
  /** Empty: answers come back to this host's own address. */
  intercepts: Intercept[];
  /** TCP connections to each. */
  connections: number;
  /** Null: see readKey. */
  keyFile: string | null;
  /** Whether to talk to intercepts without a key. */
  insecure: boolean;
  /** Source addresses of the preflight's connections, at most one of each family; empty: see `probeSource` (plan/sources.ts). */
  probeFrom: Address[];
  /** Whether the intercepts are those of tcpcopy 1.x. */
  compat: boolean;
  /** Values of -i: interfaces, or files with recorded traffic; empty: every interface that is up. */
  inputs: readonly string[];
  /** How recorded traffic is replayed, and the long names of the options about it that were given. */
  trace: TraceOptions;
  traceOptions: string[];
  /** Bytes for requests that wait to be sent; null: not given (src/host/memory.ts). */
  memory: number | null;
  /** How packets are sent, and over which interface; null: that of the route. */
  inject: Injection;
  output: string | null;
  /** Largest IP packet to send, null: what the interface and the route take. */
  mtu: number | null;
  /** Seconds without an answer after which a session is given up. */
  timeout: number;
  /** Seconds without any packet after which a session is forgotten. */
  keepalive: number;
  /** The same of UDP: seconds without an answer, and without any datagram. */
  datagramTimeout: number;
  datagramKeepalive: number;
  /** Whether datagrams are left out that do not fit into one packet. */
  noFragment: boolean;
  maxSessions: number;
  /** How many workers there are, and what they get of this host's CPUs. */
  scheduling: WorkerOptions;
  /** Null: the ports this host does not use itself. */
  ports: PortRange | null;
  /** The part of those ports that is used; null: all. */
  part: Part | null;
  /** Share of the sessions that are copied, over 0 to 1, and us in which it grows to that from 0. */
  sample: number;
  ramp: number;
  /** Most new turns per second; 0: no limit. */
  limit: number;
  /** Copies of each session to each of its targets, and ms over which those after the first are spread. */
  replicas: number;
  jitter: number;
  /** Whether sessions are left alone that began before xcopy. */
  fullSessions: boolean;
  /** Whether a turn is sent as captured, without waiting for the answer of the turn before. */
  noWait: boolean;
  /** When a turn goes, once the one before is answered. */
  pace: Pace;
  /** What becomes of turns that are late; null: they wait. */
  late: LateRule | null;
  /** Seconds after which a turn goes on without the answer of the turn before. */
  turnTimeout: number;
  /** ms of silence that end an answer shorter than production's; 0: measured. */
  rtt: number;
  /** Version of the PROXY protocol header that opens each connection; 0: none. */
  proxyProtocol: -1 | 0 | 1 | 2;
  /** Seconds. */
  drain: number;
  json: boolean;
  /** Seconds; null: not given. */
  statsInterval: number | null;
  dryRun: boolean;
  force: boolean;
  capture: CaptureOptions;
  /** Long names of the options about live capture that were given. */
  captureOptions: string[];
  mark: number;
  /** Which protocol module reads the sessions of a service. */
  protocols: ProtocolChoice[];
  /** Whether an option about MySQL is given. */
  speaksMysql: boolean;
  mysql: MysqlConfig;
  /** What is compared of the answers; null: nothing. */
  comparison: CompareOptions | null;
  audience: AudienceOptions;
}

const MEGABYTE = 1 << 20;
/** Seconds, for UDP: what resolvers wait, and what Linux's connection tracking does (nf_conntrack_udp_timeout_stream). */
/** s: longer than TCP keep-alives are apart (2 h) and than the connections of a pool are idle. */
const KEEPALIVE = 604_800;
const DATAGRAM_TIMEOUT = 5;
const DATAGRAM_KEEPALIVE = 120;

function parseProxyProtocol(text: string): -1 | 1 | 2 {
  if (text === "none") return -1;
  if (text === "v1" || text === "v2") return text === "v1" ? 1 : 2;
  throw new Failure(`Cannot use --proxy-protocol "${text}": no such version`, "Give v1, v2 or none.", 2);
}

/** `--probe-from`: one address, or one of each family. */
function parseProbeSources(text: string | null): Address[] {
  if (text === null) return [];
  const sources = text.split(",").map((part) => {
    const address = parseAddress(part.trim());
    if (address && !unusable(address)) return address;
    const fix = 'Give one address, or one of each family: "10.1.0.250,2001:db8:1::250".';
    throw new Failure(`Cannot use --probe-from "${part.trim()}": not the address of a host`, fix, 2);
  });
  const [first, second] = sources;
  if (sources.length < 2 || (sources.length === 2 && first!.family !== second!.family)) return sources;
  const cause = "several addresses of one family";
  throw new Failure(`Cannot use --probe-from "${text}": ${cause}`, "Give one of each family.", 2);
}

/** Refuses options that contradict each other, or that have no effect without another. */
function refuseContradictions(args: Arguments): void {
  const refuse = (option: string, cause: string, fix: string) => {
    throw new Failure(`Cannot use ${option}: ${cause}`, fix, 2);
  };
  const one = (name: string) => args.get(name)?.[0];
  if (args.has("daemon") && args.get("input")?.includes("-")) {
    const cause = "-i - reads standard input, which a run in the background has not";
    refuse("-d", cause, "Leave it out, or name a file with -i.");
  }
  const noWait = "with -W requests do not wait for responses";
  const pace = one("pace");
  if (args.has("no-wait") && pace !== undefined && parsePace(pace) !== "clock") {
    refuse(`--pace "${pace}"`, noWait, "Leave -W or --pace out.");
  }
  const late = one("late");
  const spreads = late !== undefined && parseLate(late)?.spreads === true;
  if (args.has("no-wait") && spreads) refuse(`--late "${late}"`, noWait, "Leave -W or --late out.");
  if (args.has("compat") && spreads) {
    refuse(
      `--late "${late}"`,
      "it reads the responses of the target, and an intercept 1.x sends only their headers",
      "Run xcopy intercept on the target, or leave -s and --compat out.",
    );
  }
  if (args.has("no-wait") && args.has("turn-timeout")) {
    refuse(`--turn-timeout "${one("turn-timeout")}"`, noWait, "Leave -W or --turn-timeout out.");
  }
  const understood = args.has("protocol") ? "--protocol" : MYSQL_OPTIONS.find((name) => args.has(name));
  if (understood !== undefined && args.has("compat")) {
    const option = understood.startsWith("--") ? understood : `--${understood}`;
    const cause =
      "the protocol module reads the responses of the target, and an intercept 1.x sends only their headers";
    refuse(option, cause, "Run xcopy intercept on the target, or leave -s and --compat out.");
  }
  if (understood !== undefined && args.has("no-wait") && !args.get("protocol")?.includes("http")) {
    refuse("-W", "a MySQL server reads no command before it has answered the one before", "Leave -W out.");
  }
  if (args.has("compat") && args.has("insecure"))
    refuse("--insecure", "an intercept 1.x has no key in any case", "Leave it out.");
  if (!args.has("intercepts")) {
    for (const name of ["port", "key-file", "insecure", "probe-from", "connections", "compat"]) {
      if (!args.has(name)) continue;
      const value = one(name) ? ` "${one(name)}"` : "";
      refuse(`--${name}${value}`, "it is about intercepts, and there is no -s", "Name an intercept with -s.");
    }
  }
  if (args.has("probe-from") && args.has("clients")) {
    const cause = "with -c each target is tried from the addresses of -c";
    refuse(`--probe-from "${one("probe-from")}"`, cause, "Leave one of them out.");
  }
  if (args.has("jitter") && !args.has("replicas")) {
    const cause = "it spreads the copies of a connection, and without -n there is only one";
    refuse(`--jitter "${one("jitter")}"`, cause, "Leave it out, or give the number of copies with -n.");
  }
}

/** Reads all options, and besides the command line only files of secrets. Throws a Failure (exit code 2). */
export function parseCopy(args: Arguments): CopyOptions {
  const all = (name: string) => args.get(name) ?? [];
  const one = (name: string) => args.get(name)?.[0] ?? null;
  const whole = (option: string, name: string, range: Range, otherwise: number) => {
    const text = one(name);
    return text === null ? otherwise : parseWhole(option, text, range);
  };
  const decimal = (option: string, name: string, range: Range, otherwise: number) => {
    const text = one(name);
    return text === null ? otherwise : parseDecimal(option, text, range);
  };
  const [memory, mtu, ports, shift] = [one("memory"), one("mtu"), one("ports"), one("shift")];
  const [interval, limit, proxyProtocol] = [one("stats-interval"), one("limit"), one("proxy-protocol")];
  const timeout = whole("-t", "timeout", { first: 1, last: 86400, unit: "seconds" }, 600);
  const delay = { first: 0, last: 60000, unit: "ms" };
  const speaksMysql = MYSQL_OPTIONS.some((name) => args.has(name));
  refuseContradictions(args);
  const transfers = parseTransfers(all("transfer"));
  return {
    isReloadable: args.has("config"),
    transfers,
    pool: parsePool(all("clients")),
    intercepts: parseIntercepts(
      all("intercepts"),
      whole("-p", "port", { first: 1, last: 65535 }, INTERCEPT_PORT),
    ),
    connections: whole("-C", "connections", { first: 1, last: 16, unit: "connections" }, 1),
    keyFile: one("key-file"),
    insecure: args.has("insecure"),
    probeFrom: parseProbeSources(one("probe-from")),
    compat: args.has("compat"),
    inputs: all("input"),
    trace: parseTrace(args),
    traceOptions: TRACE_OPTIONS.filter((name) => args.has(name)),
    memory:
      memory === null ? null : parseWhole("-m", memory, { first: 16, last: 65536, unit: "MB" }) * MEGABYTE,
    mtu: mtu === null ? null : parseWhole("-M", mtu, { first: 576, last: 65535, unit: "bytes" }),
    timeout,
    keepalive: whole("-k", "keepalive", { first: 1, last: 864000, unit: "seconds" }, KEEPALIVE),
    datagramTimeout: args.has("timeout") ? timeout : DATAGRAM_TIMEOUT,
    datagramKeepalive: whole(
      "-k",
      "keepalive",
      { first: 1, last: 864000, unit: "seconds" },
      DATAGRAM_KEEPALIVE,
    ),
    noFragment: args.has("no-fragment"),
    maxSessions: whole("--max-sessions", "max-sessions", { first: 1, last: 16777216 }, 262144),
    scheduling: parseWorkers(args),
    ports: ports === null ? null : parsePorts(ports),
    part: shift === null ? null : parsePart(shift),
    sample: decimal("-r", "sample", { first: 0.01, last: 100, unit: "percent" }, 100) / 100,
    ramp: Math.round(decimal("-g", "gradual", { first: 1, last: 86400, unit: "seconds" }, 0) * 1e6),
    limit: limit === null ? 0 : parseRate("--limit", limit),
    replicas: whole("-n", "replicas", { first: 1, last: 10000, unit: "copies" }, 1),
    jitter: decimal("--jitter", "jitter", delay, 0),
    fullSessions: args.has("full-sessions"),
    noWait: args.has("no-wait"),
    pace: parsePace(one("pace") ?? "clock"),
    late: parseLate(one("late") ?? "wait"),
    turnTimeout: decimal("--turn-timeout", "turn-timeout", { first: 0.001, last: 86400, unit: "seconds" }, 5),
    rtt: decimal("-R", "rtt", delay, 0),
    proxyProtocol: proxyProtocol === null ? 0 : parseProxyProtocol(proxyProtocol),
    drain: decimal("--drain", "drain", { first: 0, last: 3600, unit: "seconds" }, 2),
    json: args.has("json"),
    statsInterval:
      interval === null
        ? null
        : parseDecimal("--stats-interval", interval, { first: 0.1, last: 86400, unit: "seconds" }),
    ...readLogging("copy", args),
    dryRun: args.has("dry-run"),
    force: args.has("force"),
    inject: parseInjection(one("inject") ?? "auto"),
    output: one("output"),
    capture: parseCapture(args),
    captureOptions: CAPTURE_OPTIONS.filter((name) => args.has(name)),
    mark: parseMark("--mark", one("mark") ?? MARK),
    protocols: parseProtocols(all("protocol"), speaksMysql),
    speaksMysql,
    mysql: parseMysql(args),
    comparison: parseCompare(args, transfers),
    audience: parseAudience(args),
  };
}

/** us in which a sign of life of each connection is captured: often enough for -k, and at least once a minute. */
export function signSpan({ keepalive }: CopyOptions): number {
  return Math.min(SIGN_SPAN, (keepalive * 1e6) / 3);
}
