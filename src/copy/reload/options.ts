/** Which options changed between two readings of the configuration: what a running copy takes, and what needs a restart. */
import { isDeepStrictEqual } from "node:util";
import { number } from "../../runtime/figures.ts";
import { type CopyOptions, signSpan } from "../options.ts";

/** A number that changes while a copy runs. */
interface LiveNumber {
  option: string;
  of(options: CopyOptions): unknown;
  text(options: CopyOptions): string;
}

const seconds = (us: number) => `${us / 1e6}`;
const rate = (value: number) => (value === 0 ? "none" : `${number(value)}/s`);

function lateText({ late }: CopyOptions): string {
  return late === null ? "wait" : `${late.spreads ? "spread" : "drop"}:${seconds(late.after)}`;
}

const NUMBERS: LiveNumber[] = [
  { option: "-r", of: (o) => o.sample, text: (o) => `${Number((o.sample * 100).toFixed(4))}` },
  { option: "-g", of: (o) => o.ramp, text: (o) => seconds(o.ramp) },
  { option: "--limit", of: (o) => o.limit, text: (o) => rate(o.limit) },
  { option: "--rate", of: (o) => o.trace.rate, text: (o) => rate(o.trace.rate) },
  {
    option: "--users",
    of: (o) => o.trace.users,
    text: (o) => (o.trace.users ? number(o.trace.users) : "none"),
  },
  { option: "--late", of: (o) => o.late, text: lateText },
  { option: "--turn-timeout", of: (o) => o.turnTimeout, text: (o) => `${o.turnTimeout}` },
  { option: "-R", of: (o) => o.rtt, text: (o) => `${o.rtt}` },
  { option: "--jitter", of: (o) => o.jitter, text: (o) => `${o.jitter}` },
  { option: "-t", of: (o) => [o.timeout, o.datagramTimeout], text: (o) => `${o.timeout}` },
  { option: "-k", of: (o) => [o.keepalive, o.datagramKeepalive], text: (o) => `${o.keepalive}` },
  {
    option: "--cpu-limit",
    of: (o) => o.scheduling.cpuLimit,
    text: ({ scheduling: { cpuLimit } }) => (cpuLimit === 0 ? "none" : `${Math.round(cpuLimit * 100)}`),
  },
  { option: "--drain", of: (o) => o.drain, text: (o) => `${o.drain}` },
];

/** The numbers that changed, each as `-r 10 -> 50`. */
export function changedNumbers(before: CopyOptions, after: CopyOptions): string[] {
  return NUMBERS.flatMap(({ option, of, text }) =>
    isDeepStrictEqual(of(before), of(after)) ? [] : [`${option} ${text(before)} -> ${text(after)}`],
  );
}

/** Options whose value is fixed when a copy starts, each with what of it is compared; every field of CopyOptions is here or live. */
const FIXED: Record<Exclude<keyof CopyOptions, Live>, string> = {
  isReloadable: "--config",
  pool: "-c",
  intercepts: "-s",
  connections: "-C",
  keyFile: "--key-file",
  insecure: "--insecure",
  probeFrom: "--probe-from",
  compat: "--compat",
  inputs: "-i",
  traceOptions: "an option about recorded traffic",
  memory: "-m",
  inject: "--inject",
  output: "-o",
  mtu: "-M",
  noFragment: "--no-fragment",
  maxSessions: "--max-sessions",
  ports: "--ports",
  part: "-f",
  replicas: "-n",
  fullSessions: "-O",
  noWait: "-W",
  pace: "--pace",
  proxyProtocol: "--proxy-protocol",
  json: "--json",
  logFormat: "--log-format",
  daemon: "-d",
  pidFile: "-P",
  statsInterval: "--stats-interval",
  log: "-l",
  dryRun: "--dry-run",
  mark: "--mark",
  protocols: "--protocol",
  speaksMysql: "an option about MySQL",
  mysql: "an option about MySQL",
  comparison: "an option about the comparison",
  audience: "--report, --web or --web-token",
};
type Live =
  | "transfers"
  | "trace"
  | "timeout"
  | "keepalive"
  | "datagramTimeout"
  | "datagramKeepalive"
  | "scheduling"
  | "sample"
  | "ramp"
  | "limit"
  | "jitter"
  | "late"
  | "turnTimeout"
  | "rtt"
  | "drain"
  | "force"
  | "capture"
  | "captureOptions";

/** Parts of options of which other parts are live. */
const FIXED_PARTS: [option: string, of: (options: CopyOptions) => unknown][] = [
  ["-a", (o) => o.trace.speed],
  ["-I", (o) => o.trace.longestGap],
  ["-T", (o) => o.trace.loops],
  ["--start", (o) => o.trace.start],
  ["--end", (o) => o.trace.end],
  ["--workers", (o) => o.scheduling.workers],
  ["--cpus", (o) => o.scheduling.cpus],
  ["--nice", (o) => o.scheduling.nice],
  ["--capture", (o) => o.capture.backEnd],
  ["--direction", (o) => o.capture.direction],
  ["-B", (o) => o.capture.bufferBytes],
  ["-S", (o) => o.capture.snaplen],
  // It is a constant of the kernel programs.
  ["-k of less than 180 s", signSpan],
];

/** Live where requests are captured, and fixed where a recording is read by another thread. */
const OF_LIVE_TRAFFIC: [option: string, of: (options: CopyOptions) => unknown][] = [
  ["-r", (o) => o.sample],
  ["-x", (o) => o.transfers],
];

/** The changed options that need a restart, by their names. */
export function needRestart(before: CopyOptions, after: CopyOptions, isLive: boolean): string[] {
  const whole = Object.entries(FIXED).flatMap(([field, option]) => {
    const key = field as keyof typeof FIXED;
    return isDeepStrictEqual(before[key], after[key]) ? [] : [option];
  });
  const parts = [...FIXED_PARTS, ...(isLive ? [] : OF_LIVE_TRAFFIC)].flatMap(([option, of]) =>
    isDeepStrictEqual(of(before), of(after)) ? [] : [option],
  );
  return [...new Set([...whole, ...parts])];
}
