/** Reads and checks the options of `xcopy intercept`, and gives each its default. */

import { CHANNEL_PORT } from "../command-line/intercept.ts";
import type { Arguments } from "../command-line/reading/arguments.ts";
import { type Logging, readLogging } from "../command-line/reading/logging.ts";
import { type Address, parseAddress, sameAddress, unusable } from "../config/address.ts";
import { type Network, parseNetworks } from "../config/networks.ts";
import { parseDecimal, parseWhole, type Range } from "../config/number.ts";
import { type CaughtService, parseServices } from "../config/service.ts";
import { Failure } from "../native/failure.ts";

export type InterceptMode = "target" | "assistant" | "nfqueue";
export type InterceptHook = "auto" | "tcx" | "clsact" | "xdp";

/** Responses to `from` are taken as if they went to `to`. */
export interface Translation {
  from: Address;
  to: Address;
}

/** How to talk to a tcpcopy 1.x: with intercept 1.x these are options of the build. */
export interface CompatOptions {
  /** Most responses in one message; 0: each alone, without a count in front. */
  combined: number;
  /** It registers nothing and gets all responses. */
  single: boolean;
  /** With `single`: another tcpcopy is refused while one is connected. */
  protected: boolean;
  /** Where tcpcopys may connect from. */
  from: Network[];
}

export interface InterceptOptions extends Logging {
  /** Null: chosen by the addresses of the services. */
  mode: InterceptMode | null;
  services: CaughtService[];
  filter: string | null;
  /** Values of -i; empty: every interface that is up. */
  interfaces: readonly string[];
  /** Clients whose responses pass. */
  pass: Address[];
  queue: number;
  /** Packets; null: the default. */
  queueLength: number | null;
  translations: Translation[];
  dnat: boolean;
  /** Empty: chosen by the plan. */
  bind: Address[];
  port: number;
  keyFile: string | null;
  /** Copies need no key, and may register nothing. */
  insecure: boolean;
  /** Null: as many as the mode has by default. */
  maxFlows: number | null;
  /** Null: only copies of our own kind are taken. */
  compat: CompatOptions | null;
  json: boolean;
  /** Seconds; null: not given. */
  statsInterval: number | null;
  dryRun: boolean;
  hook: InterceptHook;
  /** Seconds. */
  linger: number;
}

const MODES: InterceptMode[] = ["target", "assistant", "nfqueue"];
const HOOKS: InterceptHook[] = ["auto", "tcx", "clsact", "xdp"];

/** -q up to this means the default, as in intercept 1.x. */
const NO_QUEUE_LENGTH = 1024;

function refuse(option: string, cause: string, fix: string): Failure {
  return new Failure(`Cannot use ${option}: ${cause}`, fix, 2);
}

function oneOf<T extends string>(option: string, text: string, kind: string, known: readonly T[]): T {
  if ((known as readonly string[]).includes(text)) return text as T;
  throw refuse(
    `${option} "${text}"`,
    `no such ${kind}`,
    `Give ${known.join(", ").replace(/, ([^,]*)$/, " or $1")}.`,
  );
}

/** A comma list of addresses. */
function parseAddresses(option: string, values: readonly string[]): Address[] {
  const addresses: Address[] = [];
  for (const text of values.flatMap((value) => value.split(",").map((part) => part.trim()))) {
    const address = parseAddress(text.replace(/^\[(.*)\]$/, "$1"));
    if (!address)
      throw refuse(`${option} "${text}"`, "not an IP address", "Give addresses, separated by commas.");
    if (!addresses.some(({ bytes }) => sameAddress(bytes, address.bytes))) addresses.push(address);
  }
  return addresses;
}

function parseTranslation(text: string): Translation {
  const [from, to, ...rest] = text.split("-").map(parseAddress);
  const fix = 'Write it as A-B, for example "172.17.0.1-10.0.0.7".';
  if (!from || !to || rest.length > 0) throw refuse(`-D "${text}"`, "not two addresses", fix);
  if (from.family !== to.family) throw refuse(`-D "${text}"`, "one address is IPv4, the other IPv6", fix);
  const cause = unusable(to);
  if (cause) throw refuse(`-D "${text}"`, `the second address cannot be a client, ${cause}`, fix);
  return { from, to };
}

function parseTranslations(values: readonly string[]): Translation[] {
  const translations: Translation[] = [];
  for (const text of values.flatMap((value) => value.split(",").map((part) => part.trim()))) {
    const pair = parseTranslation(text);
    if (translations.some(({ from }) => sameAddress(from.bytes, pair.from.bytes)))
      throw refuse(
        `-D "${text}"`,
        "its first address is in another pair too",
        "Name each first address once.",
      );
    translations.push(pair);
  }
  return translations;
}

/** The mode that the options imply; null where it depends on the addresses of the services. */
function impliedMode(args: Arguments): InterceptMode | null {
  const given = args.get("mode")?.[0];
  if (given !== undefined) return oneOf("--mode", given, "mode", MODES);
  if (args.has("filter")) return "assistant";
  return args.has("pass") || args.has("queue-length") || args.has("queue") ? "nfqueue" : null;
}

/** Options that only some modes have: long name, name in errors, modes. */
const MODES_OF_OPTIONS: [name: string, option: string, modes: InterceptMode[]][] = [
  ["filter", "-F", ["assistant"]],
  ["interface", "-i", ["target", "assistant"]],
  ["pass", "-x", ["nfqueue"]],
  ["queue-length", "-q", ["nfqueue"]],
  ["queue", "--queue", ["nfqueue"]],
  ["dnat", "--dnat", ["assistant", "nfqueue"]],
  ["single", "--single", ["assistant", "nfqueue"]],
  ["hook", "--hook", ["target", "assistant"]],
  ["linger", "--linger", ["target", "assistant"]],
];

/** Throws a Failure (exit code 2) for an option that has no effect in this mode. */
export function refuseForeignOptions(mode: InterceptMode, given: (name: string) => boolean): void {
  for (const [name, option, modes] of MODES_OF_OPTIONS) {
    if (!given(name) || modes.includes(mode)) continue;
    throw refuse(
      option,
      `it has no effect in mode ${mode}`,
      `Leave it out, or choose --mode ${modes.join(" or ")}.`,
    );
  }
}

function refuseLoneOptions(args: Arguments): void {
  const needs: [string, string, string, string][] = [
    ["compat-from", "--compat-from", "compat", "--compat"],
    ["combine", "-n", "compat", "--compat"],
    ["disable-combined", "--disable-combined", "compat", "--compat"],
    ["single", "--single", "compat", "--compat"],
    ["protected", "-c", "single", "--single"],
  ];
  for (const [name, option, other, written] of needs) {
    if (args.has(name) && !args.has(other))
      throw refuse(option, `it has no effect without ${written}`, `Leave it out, or add ${written}.`);
  }
  if (args.has("compat") && !args.has("compat-from"))
    throw refuse(
      "--compat",
      "a tcpcopy 1.x has no key, and any host could take the responses",
      "Name the hosts that tcpcopy runs on with --compat-from, for example --compat-from 10.0.0.1,10.1.0.0/24.",
    );
  if (args.has("combine") && args.has("disable-combined"))
    throw refuse("-n", "with --disable-combined nothing is combined", "Leave one of them out.");
}

function parseCompat(args: Arguments): CompatOptions | null {
  if (!args.has("compat")) return null;
  const most = parseWhole("-n", args.get("combine")?.[0] ?? "16", { first: 0, last: 16, unit: "responses" });
  return {
    combined: args.has("disable-combined") ? 0 : Math.max(1, most),
    single: args.has("single"),
    protected: args.has("protected"),
    from: parseNetworks("--compat-from", args.get("compat-from") ?? []),
  };
}

/** Reads all options; nothing outside the command line is looked at. Throws a Failure (exit code 2). */
export function parseIntercept(args: Arguments): InterceptOptions {
  const all = (name: string) => args.get(name) ?? [];
  const one = (name: string) => args.get(name)?.[0] ?? null;
  const whole = (option: string, name: string, range: Range, otherwise: number) =>
    parseWhole(option, one(name) ?? `${otherwise}`, range);
  const mode = impliedMode(args);
  const filter = one("filter");
  const services = parseServices(all("service"));
  if (services.length === 0 && filter === null && mode !== "nfqueue") {
    throw new Failure(
      "Cannot catch responses: neither -o nor -F says which",
      'Name the service on the target, for example "-o :8080", or on a third host "-F \'tcp and src port 8080\'".',
      2,
    );
  }
  if (services.length > 0 && filter !== null)
    throw refuse("-o", "-F already says what is caught", "Leave one of them out.");
  if (mode) refuseForeignOptions(mode, (name) => args.has(name));
  refuseLoneOptions(args);
  const hook = oneOf("--hook", one("hook") ?? "auto", "hook", HOOKS);
  if (hook === "xdp" && mode === "target")
    throw refuse(
      '--hook "xdp"',
      "in mode target responses are caught on their way out",
      "Give auto, tcx or clsact.",
    );
  const length = whole("-q", "queue-length", { first: 1, last: 1048576, unit: "packets" }, 1);
  const [interval, flows] = [one("stats-interval"), one("flows")];
  return {
    mode,
    services,
    filter,
    interfaces: all("interface"),
    pass: parseAddresses("-x", all("pass")),
    queue: whole("--queue", "queue", { first: 0, last: 65535 }, 0),
    queueLength: length > NO_QUEUE_LENGTH ? length : null,
    translations: parseTranslations(all("translate")),
    dnat: args.has("dnat"),
    bind: parseAddresses("-b", all("bind")),
    port: whole("-p", "port", { first: 1, last: 65535 }, CHANNEL_PORT),
    keyFile: one("key-file"),
    insecure: args.has("insecure"),
    maxFlows: flows === null ? null : parseWhole("-s", flows, { first: 1024, last: 16777216, unit: "flows" }),
    compat: parseCompat(args),
    json: args.has("json"),
    statsInterval:
      interval === null
        ? null
        : parseDecimal("--stats-interval", interval, { first: 0.1, last: 86400, unit: "seconds" }),
    ...readLogging("intercept", args),
    dryRun: args.has("dry-run"),
    hook,
    linger: whole("--linger", "linger", { first: 0, last: 3600, unit: "seconds" }, 120),
  };
}
